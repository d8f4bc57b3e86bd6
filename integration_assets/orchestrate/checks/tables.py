"""What the warehouse's table itself says."""

from __future__ import annotations

import dagster as dg

from integration_assets.orchestrate.checks.names import KEYS_UNIQUE
from integration_assets.orchestrate.specs import warehouse_key
from integration_assets.spec.source import Source, Stream


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
