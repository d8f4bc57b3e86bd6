"""What a run's receipts say: whether they add up, what the contract turned away, and what the API changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.orchestrate.checks.names import ADDS_UP, HELD, NO_DRIFT, REJECT_RATIO
from integration_assets.orchestrate.metadata import Metadata, bullets
from integration_assets.orchestrate.specs import lake_key
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.errors import RejectThresholdError

_SHOWN = 10
_NEAR = 0.5
"""The share of the threshold from which a slice is near to being refused."""


def adds_up(key: dg.AssetKey, receipts: Sequence[Receipt]) -> dg.AssetCheckResult:
    """Law 1, slice by slice."""
    wrong = [receipt for receipt in receipts if not receipt.adds_up]
    names = ("fetched", "accepted", "rejected", "duplicate", "filtered")
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=ADDS_UP,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(wrong)} of {len(receipts)} receipts do not add up" if wrong else f"{len(receipts)} receipts add up",
        metadata={
            **{name: sum(getattr(receipt, name) for receipt in receipts) for name in names},
            **({"slices that do not": bullets([str(list(receipt.slice)) for receipt in wrong[:_SHOWN]])} if wrong else {}),
        },
    )


def held(
    key: dg.AssetKey, receipts: Sequence[Receipt], refusals: Sequence[RejectThresholdError], rejects: Metadata
) -> dg.AssetCheckResult:
    """Whether any record is in quarantine. One is worth a look, and stops nothing: that is the ratio's affair."""
    rejected = sum(receipt.rejected for receipt in receipts) + sum(refusal.rejected for refusal in refusals)
    records = sum(receipt.fetched for receipt in receipts) + sum(refusal.records for refusal in refusals)
    found = [*(refusal.reasons for refusal in refusals), *(receipt.reasons for receipt in receipts)]
    reasons = list(dict.fromkeys(reason for some in found for reason in some))[:_SHOWN]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=HELD,
        passed=not rejected,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rejected:,} of {records:,} records are in quarantine" if rejected else f"{records:,} records held",
        metadata={"rejected": rejected, **({"reasons": dg.MetadataValue.md(bullets(reasons))} if reasons else {}), **rejects},
    )


def reject_ratio(
    key: dg.AssetKey, stream: Stream, receipts: Sequence[Receipt], refusals: Sequence[RejectThresholdError] = ()
) -> dg.AssetCheckResult:
    """How near the worst slice came to being refused whole; an error when one was."""
    limit = stream.reject_threshold
    shares = [_share(receipt.rejected, receipt.rejected + receipt.accepted + receipt.duplicate) for receipt in receipts]
    worst = max([*shares, *(_share(refusal.rejected, refusal.records) for refusal in refusals)], default=0.0)
    near = worst > _NEAR * limit and worst > 0
    said = f"At most {worst:.2%} of a slice's records were rejected; {limit:.2%} are allowed."
    if refusals:
        said = f"{len(refusals)} slices were refused whole. {refusals[0]}" if len(refusals) > 1 else str(refusals[0])
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=REJECT_RATIO,
        passed=not near and not refusals,
        severity=dg.AssetCheckSeverity.ERROR if refusals else dg.AssetCheckSeverity.WARN,
        description=f"{said} A little more, and a slice is refused whole." if near and not refusals else said,
        metadata={"share": worst, "allowed": limit, "slices": len(receipts) + len(refusals), "slices refused": len(refusals)},
    )


def no_drift(key: dg.AssetKey, receipts: Sequence[Receipt]) -> dg.AssetCheckResult:
    """What the API changed, counted per field over all slices."""
    counted: dict[str, dict[str, int]] = {}
    for receipt in receipts:
        for kind, found in receipt.drift.items():
            for field, count in found.items():
                of_kind = counted.setdefault(kind, {})
                of_kind[field] = of_kind.get(field, 0) + count
    fields = [f"{kind}: {field}" for kind in counted for field in counted[kind]]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NO_DRIFT,
        passed=not fields,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(fields[:_SHOWN]) if fields else "No field is new, missing or of another type.",
        metadata={"drift": dg.MetadataValue.json(counted)},
    )


def nothing_yet(source: Source, stream: Stream, name: str) -> dg.AssetCheckResult:
    """A check of the lake that is evaluated before the first pull."""
    return dg.AssetCheckResult(
        asset_key=lake_key(source, stream),
        check_name=name,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description="Nothing was pulled yet.",
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
