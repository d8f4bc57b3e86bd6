"""Evidence that a run leaves behind. What is wrong was stopped before the commit; a check says so where people look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.orchestrate.metadata import bullets
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.errors import RejectThresholdError

ADDS_UP = "accounting_adds_up"
HELD = "contract_held"
NO_DRIFT = "no_drift"
KEYS_UNIQUE = "keys_unique"
_SHOWN = 10


def check_specs(source: Source, stream: Stream) -> list[dg.AssetCheckSpec]:
    """The checks of a stream's two assets. None blocks: what must not pass is refused before the commit."""
    lake, warehouse = lake_key(source, stream), warehouse_key(source, stream)
    return [
        dg.AssetCheckSpec(ADDS_UP, asset=lake, description="Each record fetched is accepted, rejected, duplicate or filtered."),
        dg.AssetCheckSpec(HELD, asset=lake, description="No record was turned away by the contract."),
        dg.AssetCheckSpec(
            NO_DRIFT, asset=lake, description="The API's records have the fields and types that the contract names."
        ),
        dg.AssetCheckSpec(KEYS_UNIQUE, asset=warehouse, description="No key is there twice in the warehouse's table."),
    ]


def lake_checks(source: Source, stream: Stream, receipts: Sequence[Receipt]) -> list[dg.AssetCheckResult]:
    """The lake's three checks over all receipts of a run."""
    key = lake_key(source, stream)
    return [adds_up(key, receipts), held(key, stream, receipts), no_drift(key, receipts)]


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


def held(key: dg.AssetKey, stream: Stream, receipts: Sequence[Receipt]) -> dg.AssetCheckResult:
    """Rejects within the threshold are in quarantine and worth a look."""
    rejected = sum(receipt.rejected for receipt in receipts)
    fetched = sum(receipt.fetched for receipt in receipts)
    reasons = list(dict.fromkeys(reason for receipt in receipts for reason in receipt.reasons))[:_SHOWN]
    share = rejected / fetched if fetched else 0.0
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=HELD,
        passed=not rejected,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rejected:,} of {fetched:,} records are in quarantine" if rejected else f"{fetched:,} records held",
        metadata={
            "rejected": rejected,
            "share": share,
            "threshold": stream.reject_threshold,
            **({"reasons": dg.MetadataValue.md(bullets(reasons))} if reasons else {}),
        },
    )


def refused(source: Source, stream: Stream, error: RejectThresholdError) -> dg.AssetCheckResult:
    """The contract's check for a slice of which nothing was committed."""
    return dg.AssetCheckResult(
        asset_key=lake_key(source, stream),
        check_name=HELD,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(error),
        metadata={"threshold": stream.reject_threshold},
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


def has_key(stream: Stream) -> bool:
    """Whether the warehouse's table has one row a key. An append table has one row a version."""
    return bool(stream.key) and stream.disposition != "append"


def keys_unique(source: Source, stream: Stream, doubled: int | None, rows: int) -> dg.AssetCheckResult:
    """`doubled`: how many keys the warehouse's table has more than once; None where the stream has no key to be unique."""
    return dg.AssetCheckResult(
        asset_key=warehouse_key(source, stream),
        check_name=KEYS_UNIQUE,
        passed=not doubled,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            "Not applicable: the stream keeps every version, or has no key."
            if doubled is None
            else f"{doubled:,} keys are there more than once."
            if doubled
            else f"{rows:,} rows, each key once."
        ),
        metadata={"rows": rows, "key": ", ".join(stream.key), **({} if doubled is None else {"doubled keys": doubled})},
    )
