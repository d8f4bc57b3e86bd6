"""What a warehouse must do: one table per stream, brought up to a lake version in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from integration_assets.errors import WarehouseError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from integration_assets.land.fingerprint import Fingerprint
    from integration_assets.land.lake import LakeTable
    from integration_assets.land.sweeping import Differences, Lists
    from integration_assets.spec.contract_data import Contract
    from integration_assets.spec.cursor import CursorValue
    from integration_assets.spec.source import Source, Stream

DELETED = "_deleted"
"""In the lake: whether the row is a tombstone."""
SWEPT_AT = "_swept_at"
"""In the lake, of streams that were swept: when the sweep that landed the row began; null for a row that was pulled."""
DELETED_AT = "_deleted_at"
EXTRACTED_AT = "_extracted_at"
RUN_ID = "_run_id"
VALID_FROM = "_valid_from"
VALID_TO = "_valid_to"
IS_CURRENT = "_is_current"

COMMENTS = {
    VALID_FROM: "The version from which on the record had these values.",
    VALID_TO: "The version that ended them, the next one or a deletion; null while they hold.",
    IS_CURRENT: "Whether the record has these values now.",
    DELETED_AT: "When the API said that the record is gone; null while it is live.",
    EXTRACTED_AT: "When the pull that brought this version began.",
    RUN_ID: "The run that pulled this version.",
}
"""What the project's own columns mean; the tables carry it as column comments."""


@dataclass(frozen=True)
class Target:
    """The table that a stream becomes.

    contract_schema : its columns; nested ones stay nested.
    descriptions    : column comments by name.
    version         : the column that orders a record's versions; None orders by the time of extraction.
    disposition     : `append`, `merge`, `replace` or `history`. A view `<stream>_current` shows a history's current rows.
    tombstones      : the API says when a record is gone, or a sweep finds out; a view `<stream>_live` then shows those that are
                      not.
    json            : columns that hold JSON text.
    contract_hash   : the contract's; labels the table where the warehouse has labels.
    partition_by    : a date or timestamp column whose days the table is partitioned by, where the warehouse has partitions;
                      None takes `version`. One that never changes makes merges cheapest.
    cluster_by      : columns that the table is sorted by, where the warehouse does that; empty takes `key`.
    maximum_bytes_billed : a merge that would scan more is refused, where the warehouse bills by bytes; None takes its default.
    """

    source: str
    stream: str
    contract_schema: pa.Schema
    descriptions: Mapping[str, str]
    key: tuple[str, ...]
    version: str | None
    disposition: str
    tombstones: bool = False
    json: tuple[str, ...] = ()
    contract_hash: str = ""
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()
    maximum_bytes_billed: int | None = None

    @classmethod
    def of(cls, source: Source, stream: Stream, contract: Contract) -> Target:
        """The table that the stream becomes."""
        return cls(
            source=source.name,
            stream=stream.name,
            contract_schema=contract.arrow_schema,
            descriptions={column.name: column.description for column in contract.columns},
            key=stream.key,
            version=stream.version_column,
            disposition=stream.disposition,
            tombstones=stream.tombstone is not None or stream.sweep is not None,
            json=tuple(column.name for column in contract.columns if column.format == "json"),
            contract_hash=contract.hash,
            partition_by=stream.partition_by,
            maximum_bytes_billed=stream.maximum_bytes_billed,
        )


@dataclass(frozen=True)
class MergeResult:
    """What one merge did.

    lake_version_before, lake_version_after : the lake's version that the warehouse had, and has; None for none.
    rows_read                  : record versions read from the lake.
    inserted, updated, deleted : rows of the table that are new, changed, and marked or taken as deleted.
    rows_total                 : rows in the table afterwards, deleted ones included.
    seconds                    : wall time, waiting for the warehouse included.
    table                      : the table's name.
    bytes_billed               : what the merge cost, where the warehouse bills by bytes.
    slot_seconds               : the warehouse's own working time, where it says so.
    dry_run_bytes              : what the merge would scan at most, told by a dry run before it: nothing pruned.
    """

    lake_version_before: int | None
    lake_version_after: int | None
    rows_read: int
    inserted: int
    updated: int
    deleted: int
    rows_total: int
    seconds: float
    table: str
    bytes_billed: int | None = None
    slot_seconds: float | None = None
    dry_run_bytes: int | None = None


def moment(target: Target) -> str:
    """The column whose value is a version's place in its record's history."""
    return target.version or EXTRACTED_AT


def own_columns(target: Target) -> tuple[str, ...]:
    """The project's own columns that the table has beside the contract's."""
    history = (VALID_FROM, VALID_TO, IS_CURRENT) if target.disposition == "history" else ()
    deleted = (DELETED_AT,) if target.disposition in {"merge", "history"} or target.tombstones else ()
    return (*history, *deleted, EXTRACTED_AT, RUN_ID)


def view(target: Target) -> tuple[str, str] | None:
    """Suffix and condition of the view beside the table: the rows that are so now, without our own columns; None for no view."""
    if target.disposition == "history":
        return "_current", IS_CURRENT
    return ("_live", f"{DELETED_AT} IS NULL") if target.tombstones else None


def check_shape(target: Target, there: Collection[str]) -> None:
    """See that a table is, or is not, a history, as its stream says. `there`: its columns, none for no table.

    Raises `WarehouseError`.
    """
    history = VALID_FROM in there
    if there and history != (target.disposition == "history"):
        raise WarehouseError(
            f"the warehouse's table {target.source}.{target.stream} is {'a' if history else 'no'} history, and the stream's"
            f" disposition is {target.disposition}",
            source=target.source,
            stream=target.stream,
            field="disposition",
            remedy="Drop the table: the next merge builds it again from the lake, which has every version.",
        )


def identity(target: Target) -> tuple[str, ...]:
    """The columns that no two rows of the table share: the key, and in an append table the version with it."""
    versioned = target.disposition == "append" and target.version and target.version not in target.key
    return (*target.key, target.version) if target.key and versioned and target.version else target.key


class Warehouse(Protocol):
    """Where people query. Every method raises `WarehouseError`, or `WarehouseBusyError` when others hold it too long."""

    def check(self) -> None:
        """Prove that the warehouse can be written."""

    def held(self) -> AbstractContextManager[None]:
        """Several calls of this thread one after the other, with nobody in between where only one can be in at a time."""

    def merge(self, target: Target, lake_table: LakeTable, run_id: str) -> MergeResult:
        """Bring the table up to the lake's newest version, and record that version, in one transaction. Repeatable."""

    def version(self, source: str, stream: str) -> int | None:
        """The lake version that the stream's table has reached; None if it was never merged."""

    def doubled_keys(self, target: Target) -> int:
        """How many keys have more than one row; 0 in a table without a key. For an append table, keys with their version.

        For a history, the keys with more than one current row, or with a version twice, or with ranges that overlap.
        """

    def fingerprint(self, target: Target, since: CursorValue | None = None) -> Fingerprint:
        """Count and hash of the table's rows whose version is at or after `since`, to be held against the lake's."""

    def compare(self, target: Target, lake_table: LakeTable, lists: Lists) -> AbstractContextManager[Differences]:
        """How the API's list of keys differs from the table; the rows can be read inside. Nothing is written."""

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        """The rows that `sql` selects."""

    def table_name(self, target: Target) -> str:
        """The table's qualified name, as SQL takes it."""
