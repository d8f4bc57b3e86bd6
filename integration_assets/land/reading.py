"""Reads a table's files: by version, as a stream aligned to the current schema, or only what a slice needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable

from integration_assets.errors import LakeError
from integration_assets.land.store import DAMAGED, Store, VersionsGoneError
from integration_assets.spec.cursor import CursorValue, Slice
from integration_assets.spec.tenants import tenant_value

BATCH_ROWS = 16 * 1024
# deltalake's own writer (compaction) cuts a timestamp's bound down to milliseconds, so a maximum may be that much too low.
_COARSE = timedelta(milliseconds=1)


@dataclass(frozen=True)
class LakeFile:
    """A data file: the version that added it (for a snapshot, the snapshot's), its path in the table's folder, its rows."""

    version: int
    path: str
    rows: int


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """The table's current columns."""
    return pa.schema(table.schema().to_arrow())


def active(table: DeltaTable) -> list[dict[str, Any]]:
    """The files of the snapshot with their statistics (`min.<column>`, `max.<column>`), oldest first."""
    found = pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()
    # pyarrow imports pandas to make a datetime with a zone, which is half of what an empty sync may take.
    zoned = [field.name for field in found.schema if pa.types.is_timestamp(field.type) and field.type.tz]
    naive = [pa.field(field.name, pa.timestamp(field.type.unit)) if field.name in zoned else field for field in found.schema]
    rows: list[dict[str, Any]] = found.cast(pa.schema(naive)).to_pylist()
    for row in rows:
        row.update((name, row[name].replace(tzinfo=UTC)) for name in zoned if row[name] is not None)
    return sorted(rows, key=lambda row: (row["modification_time"], row["path"]))


def snapshot_files(table: DeltaTable) -> list[LakeFile]:
    """The files that make up the table at the version it is opened at."""
    version = table.version()
    return [LakeFile(version, row["path"], row["num_records"] or 0) for row in active(table)]


def files_between(store: Store, table: DeltaTable, after: int, upto: int) -> list[LakeFile]:
    """The files that versions in `(after, upto]` added, in version order; compaction adds none. Raises `VersionsGoneError`."""
    found = []
    for version in range(after + 1, upto + 1):
        actions = store.log_entry(version)
        if actions is None:
            raise VersionsGoneError(f"{store.uri}: the log entry of version {version} is gone")
        if rewrites(actions):
            raise VersionsGoneError(f"{store.uri}: version {version} rewrote or deleted rows")
        adds = [action["add"] for action in actions if action.get("add", {}).get("dataChange")]
        found += [LakeFile(version, unquote(add["path"]), _rows(add)) for add in adds]
    present = {row["path"] for row in active(table)}
    old = [file.path for file in found if file.path not in present]
    infos = store.files.get_file_info(old) if old else []
    for info in infos:
        if info.type != pafs.FileType.File:
            raise VersionsGoneError(f"{store.uri}: {info.path} was vacuumed")
    return found


def rewritten(store: Store, after: int, upto: int) -> bool:
    """Whether a version in `(after, upto]` deleted or changed rows; one whose log entry is gone counts as if it had not."""
    return any(rewrites(store.log_entry(version) or ()) for version in range(after + 1, upto + 1))


def rewrites(actions: Iterable[dict[str, Any]]) -> bool:
    """Whether a version takes rows away; compaction, which only moves them, does not."""
    return any(action.get("remove", {}).get("dataChange") for action in actions)


def _rows(add: dict[str, Any]) -> int:
    return int(json.loads(add.get("stats") or "{}").get("numRecords", 0))


def scan(store: Store, schema: pa.Schema, files: Sequence[LakeFile]) -> pa.RecordBatchReader:
    """The rows of `files` in order, as `schema`; columns that a file lacks are null. Raises `VersionsGoneError` on the way."""
    return pa.RecordBatchReader.from_batches(schema, (batch for file in files for batch in _batches(store, file.path, schema)))


def _open(store: Store, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(store.files.open_input_file(path))
    except FileNotFoundError as error:
        raise VersionsGoneError(f"{store.uri}: {path} is gone") from error
    except pa.ArrowInvalid as error:
        raise LakeError(f"the file {path} of the lake's table at {store.uri} is damaged: {error}", remedy=DAMAGED) from error


def _batches(store: Store, path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with store.guard("read"), _open(store, path) as file:
        there = set(file.schema_arrow.names)
        names = [name for name in schema.names if name in there]
        for batch in file.iter_batches(BATCH_ROWS, columns=names):
            yield _align(batch, schema)


def _align(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    there = set(batch.schema.names)
    arrays = [
        batch.column(field.name).cast(field.type) if field.name in there else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@dataclass(frozen=True)
class Wanted:
    """Which rows are read: those whose cursor lies in the slice, and where the stream has tenants, of the slice's tenant."""

    cursor: str
    slice: Slice
    column: str | None = None
    tenant: str | int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that decide."""
        return (self.cursor,) if self.column is None else (self.cursor, self.column)

    def may_be_in(self, bounds: Mapping[str, tuple[Any, Any]]) -> bool:
        """Whether rows with these lowest and highest values by column can be among them; None is not known."""
        if not _may_hold(*bounds[self.cursor], self.slice):
            return False
        low, high = bounds[self.column] if self.column is not None else (None, None)
        return (low is None or low <= self.tenant) and (high is None or high >= self.tenant)

    def among(self, rows: pa.Table) -> pa.ChunkedArray:
        """A mask of them."""
        values = rows.column(self.cursor)
        mask = pc.is_valid(values)
        if self.slice.start is not None:
            mask = pc.and_(mask, pc.greater_equal(values, pa.scalar(self.slice.start, values.type)))
        if self.slice.end is not None:
            mask = pc.and_(mask, pc.less(values, pa.scalar(self.slice.end, values.type)))
        if self.column is not None:
            whose = rows.column(self.column)
            mask = pc.and_(mask, pc.fill_null(pc.equal(whose, pa.scalar(self.tenant, whose.type)), fill_value=False))
        return mask


def known(
    store: Store, table: DeltaTable, columns: Sequence[str], cursor_field: str, slice_: Slice, tenant_column: str | None = None
) -> Iterator[pa.Table]:
    """`columns` of the rows whose `cursor_field` lies in the slice; files and row groups that cannot hold any are skipped.

    tenant_column : where the slice's tenant is, for a stream that has tenants.
    """
    schema = arrow_schema(table)
    wanted = Wanted(cursor_field, slice_)
    if tenant_column is not None and slice_.tenant is not None:
        wanted = replace(wanted, column=tenant_column, tenant=tenant_value(slice_.tenant, schema.field(tenant_column).type))
    read = pa.schema([schema.field(name) for name in dict.fromkeys([*columns, *wanted.columns])])
    for row in active(table):
        if not wanted.may_be_in({name: (row.get(f"min.{name}"), _highest(row.get(f"max.{name}"))) for name in wanted.columns}):
            continue
        with store.guard("read"), _open(store, row["path"]) as file:
            if not set(wanted.columns) <= set(file.schema_arrow.names):
                continue
            names = [name for name in read.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH_ROWS, columns=names, row_groups=_groups(file, wanted)):
                rows = pa.Table.from_batches([_align(batch, read)])
                yield rows.filter(wanted.among(rows)).select(list(columns))


def _highest(bound: CursorValue | None) -> CursorValue | None:
    """The highest value that a file may have whose log entry says `bound`; None if there is no telling."""
    if not isinstance(bound, datetime):
        return bound
    try:
        return bound + _COARSE
    except OverflowError:
        return None


def _may_hold(low: CursorValue | None, high: CursorValue | None, slice_: Slice) -> bool:
    before = high is not None and slice_.start is not None and high < slice_.start  # type: ignore[operator]
    after = low is not None and slice_.end is not None and low >= slice_.end  # type: ignore[operator]
    return not (before or after)


def _groups(file: pq.ParquetFile, wanted: Wanted) -> list[int]:
    """The row groups that may hold wanted rows."""
    footer = file.metadata
    places = {footer.schema.column(i).path: i for i in range(footer.num_columns)}

    def bounds(number: int, name: str) -> tuple[Any, Any]:
        found = footer.row_group(number).column(places[name]).statistics
        return (found.min, found.max) if found is not None and found.has_min_max else (None, None)

    return [
        number
        for number in range(footer.num_row_groups)
        if wanted.may_be_in({name: bounds(number, name) for name in wanted.columns})
    ]
