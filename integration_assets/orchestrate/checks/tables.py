"""What the warehouse's table itself says: that no key is there twice, and that it has what the lake says it must have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.orchestrate.checks.names import EQUALS_LAKE, KEYS_UNIQUE
from integration_assets.orchestrate.specs import warehouse_key
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.land.fingerprint import Fingerprint
    from integration_assets.land.lake import LakeTable
    from integration_assets.land.warehouse import Target, Warehouse
    from integration_assets.spec.cursor import CursorValue

_WINDOW = timedelta(days=2)
_TRIES = 3


def has_key(stream: Stream) -> bool:
    """Whether the warehouse's table has one row a key, or in a history one current row. An append table has one row a version."""
    return bool(stream.key) and stream.disposition != "append"


def keys_unique(source: Source, stream: Stream, doubled: int | None) -> dg.AssetCheckResult:
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
            else "Each key is there once."
        ),
        metadata={"key": ", ".join(stream.key), **({} if doubled is None else {"doubled keys": doubled})},
    )


@dataclass(frozen=True)
class Compared:
    """Lake and table, counted and hashed at the lake's version that the table has reached.

    since  : what was compared: rows whose version is at or after it; None for all.
    ahead  : the lake's versions that the table does not have yet.
    failed : why there is nothing to compare; then the fingerprints are None.
    """

    lake: Fingerprint | None = None
    table: Fingerprint | None = None
    since: CursorValue | None = None
    ahead: int = 0
    failed: str | None = None


def compared(aim: Target, warehouse: Warehouse, lake_table: LakeTable, *, whole: bool) -> Compared:
    """Count and hash both sides. A merge of another run in between makes it begin again, a few times."""
    from integration_assets.land.fingerprint import lake_fingerprint, recent
    from integration_assets.land.store import VersionsGoneError

    for _ in range(_TRIES):
        reached, newest = warehouse.version(aim.source, aim.stream), lake_table.version()
        if reached is None or newest is None or reached > newest:
            return Compared(failed="The table was never merged from this lake.")
        then = lake_table.at(reached)
        since = None if whole else recent(aim, then, lambda moment: moment - _WINDOW)
        try:
            lake = lake_fingerprint(aim, then, since)
        except VersionsGoneError:
            return Compared(failed=f"The lake's version {reached}, which the table has, was vacuumed. Merge first.")
        table = warehouse.fingerprint(aim, since)
        if warehouse.version(aim.source, aim.stream) == reached:
            return Compared(lake, table, since, newest - reached)
    return Compared(failed="Other runs kept merging into the table. Look again later.")


def equals_lake(source: Source, stream: Stream, found: Compared) -> dg.AssetCheckResult:
    """Whether both sides are alike. A difference means that something else than a merge wrote the table."""
    if found.lake is None or found.table is None:
        passed, said, metadata = False, found.failed or "", {}
    else:
        passed = found.lake == found.table
        rows = "all rows" if found.since is None else f"the rows since {found.since}"
        said = (
            f"Of {rows} the lake and the table have {found.table}; {found.table.live:,} are live."
            if passed
            else f"Of {rows} the lake has {found.lake}, the table {found.table}."
        )
        metadata = {
            "rows compared": found.table.rows,
            "rows of the lake": found.lake.rows,
            "rows live": found.table.live,
            "lake versions ahead": found.ahead,
        }
    return dg.AssetCheckResult(
        asset_key=warehouse_key(source, stream),
        check_name=EQUALS_LAKE,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if found.failed else dg.AssetCheckSeverity.ERROR,
        description=said,
        metadata=metadata,
    )
