"""Streams rows as Parquet straight into a table's folder. Nothing is visible until the files are committed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from integration_assets.errors import IntegrationError, LakeError
from integration_assets.land.store import Store
from integration_assets.spec.records import TENANT

ROW_GROUP_ROWS = 64 * 1024
ROW_GROUP_BYTES = 16 * 2**20
FILE_BYTES = 256 * 2**20
_SAMPLE, _SAMPLE_BYTES = 10_000, 4 * 2**20


@dataclass(frozen=True)
class DataFile:
    """A Parquet file in a table's folder: relative path, size in bytes, rows, and statistics as Delta writes them."""

    path: str
    size: int
    rows: int
    stats: str

    def add(self) -> AddAction:
        """The action that makes the file part of the table."""
        return AddAction(self.path, self.size, {}, time.time_ns() // 1_000_000, data_change=True, stats=self.stats)


class Writer:
    """A context that writes Parquet files of one schema; leaving it without a commit deletes them.

    Memory holds at most one row group: 64 Ki rows or 16 MiB. The commit must happen inside the context.

    share : how many writers work at once in this process; a row group is so many times smaller, in bytes.
    """

    def __init__(self, store: Store, schema: pa.Schema, share: int = 1) -> None:
        self._store = store
        self._schema = schema.remove_metadata()
        self._group_bytes = ROW_GROUP_BYTES // share
        self._name = uuid4().hex
        self._waiting: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._open: tuple[str, pa.NativeFile, pq.ParquetWriter, list[Any]] | None = None
        self._started: list[str] = []
        self._files: list[DataFile] = []
        self._shared: set[str] = set()
        self._kept = False
        self._failed: IntegrationError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._kept:
            self.discard()

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The files finished so far."""
        return tuple(self._files)

    def write(self, data: pa.Table | pa.RecordBatch) -> None:
        """Write rows that have exactly the schema's columns, in any order. Raises `LakeError`."""
        table = self._fit(pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data)
        if not table.num_rows:
            return
        self._waiting.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= ROW_GROUP_ROWS or self._bytes >= self._group_bytes:
            self._flush()

    def write_no_rows(self) -> None:
        """Write a file without a row, if there is none yet: a full snapshot that is empty is worth a commit of its own."""
        if not self._rows and not self._started:
            with self._store.guard("write"):
                self._open_file(self._schema.empty_table())

    def finish(self) -> tuple[DataFile, ...]:
        """Write what waits, close the last file and return all of them."""
        self._flush()
        self._close_file()
        return self.files

    def adopt(self, files: Sequence[DataFile]) -> None:
        """Let files that an earlier run finished come first. They are never deleted here: another run may have them too."""
        self._files = [*files, *self._files]
        self._shared.update(file.path for file in files)

    def seal(self) -> tuple[DataFile, ...]:
        """As `finish`; from now on these files are others' too, who go on from them, and none of them is deleted here.

        Raises the error with which writing failed before: rows are missing from such files.
        """
        if self._failed is not None:
            raise self._failed
        files = self.finish()
        self._shared.update(file.path for file in files)
        return files

    def shares(self, file: DataFile) -> bool:
        """Whether the file may be another run's too."""
        return file.path in self._shared

    def keep(self) -> None:
        """Leave the files alone from now on: they are committed, or may be."""
        self._kept = True

    def discard(self) -> None:
        """Delete all files of this writer, as far as that is possible; what stays is an orphan that a vacuum finds."""
        self._waiting.clear()
        if self._open:
            sink, self._open = self._open[1], None
            with suppress(OSError):
                sink.close()
        for path in self._started:
            if path not in self._shared:
                with suppress(IntegrationError):
                    self._store.delete(path)
        self._started.clear()
        self._files.clear()

    def _fit(self, table: pa.Table) -> pa.Table:
        if set(table.column_names) != set(self._schema.names):
            odd = sorted(set(table.column_names) ^ set(self._schema.names))
            raise LakeError(
                f"rows for {self._store.uri} differ from its schema in the columns {', '.join(odd)}",
                remedy="Write the columns that the table was prepared with.",
            )
        try:
            return table.select(self._schema.names).cast(self._schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise LakeError(
                f"rows for {self._store.uri} do not fit its schema: {error}", remedy="Cast them to the contract's types."
            ) from error

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting.clear()
        self._rows = self._bytes = 0
        with self._writing():
            _, sink, parquet, _ = self._open or self._open_file(table)
            parquet.write_table(table, row_group_size=ROW_GROUP_ROWS)
        if sink.tell() >= FILE_BYTES:
            self._close_file()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Remember that writing failed: what was to be written is gone then."""
        try:
            with self._store.guard("write"):
                yield
        except IntegrationError as error:
            self._failed = error
            raise

    def _open_file(self, first: pa.Table) -> tuple[str, pa.NativeFile, pq.ParquetWriter, list[Any]]:
        path = f"part-{self._name}-{len(self._started):05d}.zstd.parquet"
        self._started.append(path)
        footers: list[Any] = []
        sink = self._store.handler.open_output_stream(path)
        parquet = pq.ParquetWriter(
            sink,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=_repetitive(first),
            metadata_collector=footers,
        )
        self._open = (path, sink, parquet, footers)
        return self._open

    def _close_file(self) -> None:
        if not self._open:
            return
        path, sink, parquet, footers = self._open
        with self._writing():
            parquet.close()
            size = sink.tell()
            sink.close()
        self._open = None
        self._files.append(DataFile(path, size, footers[0].num_rows, statistics(footers[0], self._schema)))


def _repetitive(table: pa.Table) -> list[str]:
    """Text columns worth a dictionary; for the others it costs a quarter of the writing time and saves nothing."""
    rows = _SAMPLE_BYTES * table.num_rows // max(1, table.nbytes)  # where texts are long, so few that they are no burden
    sample = table.slice(0, max(1, min(_SAMPLE, rows)))
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    return [name for name in texts if pc.count_distinct(sample.column(name)).as_py() * 4 <= sample.num_rows]


def statistics(footer: pq.FileMetaData, schema: pa.Schema) -> str:
    """Delta's statistics of a file, as JSON: rows, and min, max and nulls of whole numbers, dates and timestamps.

    Text is left out on purpose: the log is kept for years, and a record that is deleted must not live on in it. Tenants' keys
    are in the log anyway, with their watermarks.
    """
    lows: dict[str, int | str] = {}
    highs: dict[str, int | str] = {}
    nulls: dict[str, int] = {}
    wanted = set(skipping_columns(schema))
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    for position in range(footer.num_columns):
        name = footer.schema.column(position).path
        if name not in wanted:
            continue
        found = [group.column(position).statistics for group in groups]
        if not all(one is not None and one.has_null_count for one in found):
            continue
        nulls[name] = sum(one.null_count for one in found)
        bounded = [one for one in found if one.has_min_max]
        if bounded and all(one.has_min_max or not one.num_values for one in found):
            with suppress(OverflowError):  # the end of time cannot be rounded up: its file goes without the bound
                lows[name] = _bound(min(one.min for one in bounded))
                highs[name] = _bound(max(one.max for one in bounded), up=True)
    return json.dumps({"numRecords": footer.num_rows, "minValues": lows, "maxValues": highs, "nullCount": nulls})


def skipping_columns(schema: pa.Schema) -> Sequence[str]:
    """The columns whose statistics are kept; text only where the schema says that it is a tenant's key and no person's data."""
    return [
        field.name
        for field in schema
        if pa.types.is_integer(field.type)
        or pa.types.is_date32(field.type)
        or pa.types.is_timestamp(field.type)
        or TENANT in (field.metadata or {})
    ]


def _bound(value: int | date | datetime, *, up: bool = False) -> int | str:
    """A bound as Delta writes it. Timestamps have milliseconds there, so they are rounded outwards."""
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        rest = timedelta(microseconds=moment.microsecond % 1000)
        if rest:
            moment += timedelta(milliseconds=1) - rest if up else -rest
        text = moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
        return f"{text}Z" if value.tzinfo else text
    return value.isoformat() if isinstance(value, date) else value
