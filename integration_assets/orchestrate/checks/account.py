"""What a run's receipts say: whether they add up, what the contract turned away, and what the API changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.orchestrate.checks.names import ADDS_UP, HELD, NO_DRIFT, REJECT_RATIO
from integration_assets.orchestrate.metadata import bullets
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


def held(key: dg.AssetKey, receipts: Sequence[Receipt], refusal: RejectThresholdError | None = None) -> dg.AssetCheckResult:
    """Whether any record is in quarantine. One is worth a look, and stops nothing: that is the ratio's affair."""
    rejected = sum(receipt.rejected for receipt in receipts) + (refusal.rejected if refusal else 0)
    records = sum(receipt.fetched for receipt in receipts) + (refusal.records if refusal else 0)
    found = [*(refusal.reasons if refusal else ()), *(reason for receipt in receipts for reason in receipt.reasons)]
    reasons = list(dict.fromkeys(found))[:_SHOWN]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=HELD,
        passed=not rejected,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rejected:,} of {records:,} records are in quarantine" if rejected else f"{records:,} records held",
        metadata={"rejected": rejected, **({"reasons": dg.MetadataValue.md(bullets(reasons))} if reasons else {})},
    )


def reject_ratio(
    key: dg.AssetKey, stream: Stream, receipts: Sequence[Receipt], refusal: RejectThresholdError | None = None
) -> dg.AssetCheckResult:
    """How near the worst slice came to being refused whole; an error when one was."""
    limit = stream.reject_threshold
    shares = [_share(receipt.rejected, receipt.rejected + receipt.accepted + receipt.duplicate) for receipt in receipts]
    worst = _share(refusal.rejected, refusal.records) if refusal else max(shares, default=0.0)
    near = worst > _NEAR * limit and any(receipt.rejected for receipt in receipts)
    said = f"At most {worst:.2%} of a slice's records were rejected; {limit:.2%} are allowed."
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=REJECT_RATIO,
        passed=not near and refusal is None,
        severity=dg.AssetCheckSeverity.ERROR if refusal else dg.AssetCheckSeverity.WARN,
        description=str(refusal) if refusal else f"{said} A little more, and a slice is refused whole." if near else said,
        metadata={"share": worst, "allowed": limit, "slices": len(receipts) + (1 if refusal else 0)},
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
