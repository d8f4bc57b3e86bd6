"""What every warehouse's merge begins with: which of the lake's files it takes, and what it does with their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.errors import WarehouseError
from integration_assets.land.store import VersionsGoneError
from integration_assets.land.warehouse import DELETED, EXTRACTED_AT, RUN_ID, SWEPT_AT, Target

if TYPE_CHECKING:
    from integration_assets.land.lake import LakeTable
    from integration_assets.land.reading import LakeFile
    from integration_assets.land.state import LakeState

Action = Literal["merge", "append", "replace", "history", "rebuild"]


@dataclass(frozen=True)
class Recorded:
    """The last merge: the lake version it reached, and the lake table's name at that version, which older ones have as its id."""

    version: int
    lake: str | None


@dataclass(frozen=True)
class Changes:
    """Rows of the table that are new, changed, and marked or taken as deleted."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Plan:
    """One merge to do.

    lake, version : the lake table's name at the version that the table will have reached, and that version.
    before        : the version from which the files begin; None begins with the first.
    files         : the data files to read, in the lake's order; none where nothing but the version is new.
    snapshot      : `files` are the whole table instead of what is new.
    schema        : the columns of the files that the table takes.
    action        : what to do with the rows; None leaves the table's rows alone. `replace` empties the table and appends,
                    `rebuild` empties it and merges, into a history where it is one.
    pulled_at     : of the files' rows only those with this `_extracted_at` count, which may be none; None takes all.
    """

    lake: str | None
    version: int
    before: int | None
    files: Sequence[LakeFile]
    snapshot: bool
    schema: pa.Schema
    action: Action | None
    pulled_at: datetime | None


def plan_merge(target: Target, lake_table: LakeTable, last: Recorded | None, *, there: bool, rebuild: bool) -> Plan | None:
    """What a merge has to do; None when the table is up to date or the lake is not there.

    last    : what the warehouse recorded of the stream's last merge.
    there   : whether the warehouse has the table; one that was dropped is built again from the snapshot.
    rebuild : read the snapshot although single versions were wanted.
    Raises `WarehouseError` when the lake lacks a column of the contract.
    """
    version = lake_table.version()
    # A lake table that was deleted and made anew counts its versions from zero, one from a backup has some of them twice.
    before = last.version if last and there and lake_table.is_at(last.lake, last.version) else None
    if version is None or (version == before and not rebuild):
        return None
    state = lake_table.state(version)
    if before is None and there and not state.sequence:
        # Made anew, and nothing was pulled into it yet: the table's rows are better than none.
        return None
    files, snapshot = _new_files(lake_table, before, version, rebuild=rebuild)
    forgotten = snapshot and before is not None and lake_table.rewritten(before, version)
    action = _action(target, files, snapshot=snapshot, forgotten=forgotten)
    pulled_at = None
    if target.disposition == "replace" and state.receipt and not state.receipt.accepted:
        # The newest full snapshot had no record; the stream allows that, or it would not have been committed.
        files, action = [], "replace"
    elif target.disposition == "replace" and snapshot and files:
        pulled_at = _newest_pull(lake_table, files, state)
    elif target.disposition == "replace" and files:
        files = [file for file in files if file.version == files[-1].version]
    return Plan(
        lake_table.name_at(version), version, before, files, snapshot, staged_schema(target, lake_table), action, pulled_at
    )


def _new_files(lake_table: LakeTable, before: int | None, version: int, *, rebuild: bool) -> tuple[list[LakeFile], bool]:
    """The files to merge, and whether they are the whole snapshot instead of what is new."""
    if before is not None and not rebuild:
        try:
            return lake_table.files(before, version), False
        except VersionsGoneError:
            pass  # what is new cannot be told any more: the whole snapshot is merged
    return lake_table.snapshot_files(version), True


def _newest_pull(lake_table: LakeTable, files: Sequence[LakeFile], state: LakeState) -> datetime | None:
    """When the newest full snapshot was pulled, as its commit says: its rows may all have been deleted since."""
    if state.receipt and state.receipt.started_at:
        return datetime.fromisoformat(state.receipt.started_at)
    # The log that had the receipt is gone, and the rows have to tell.
    found = [pc.max(batch.column(0)).as_py() for batch in lake_table.scan(files, [EXTRACTED_AT])]
    return max((moment for moment in found if moment is not None), default=None)


def _action(target: Target, files: Sequence[LakeFile], *, snapshot: bool, forgotten: bool) -> Action | None:
    """What to do with the rows of `files`. `forgotten`: rows that the table may have were deleted from the lake."""
    # Rows without a key cannot be told from those that are there: the snapshot takes their place.
    keyless = target.disposition == "append" and not target.key
    if snapshot and (forgotten or keyless or target.disposition == "replace"):
        return "rebuild" if target.disposition in {"merge", "history"} else "replace"
    return cast("Action", target.disposition) if files else None


def staged_schema(target: Target, lake_table: LakeTable) -> pa.Schema:
    """The lake's columns that the table takes. Raises `WarehouseError` if the lake does not have them yet."""
    schema = lake_table.schema()
    names = [*target.contract_schema.names, DELETED, EXTRACTED_AT, RUN_ID]
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise WarehouseError(
            f"the lake's table at {lake_table.uri} has no column {', '.join(missing)}",
            field=missing[0],
            remedy="Sync the stream with this code first; that adds the contract's columns to the lake.",
        )
    # Of a stream that was ever swept, whether or not it still is.
    swept = [SWEPT_AT] if SWEPT_AT in schema.names else []
    return pa.schema([schema.field(name) for name in [*names, *swept]])
