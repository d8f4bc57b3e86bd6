"""What a sweep holds against each other: the list of keys that the API gave, and the rows that warehouse and lake have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.land.scratch import scratch
from integration_assets.land.warehouse import DELETED, EXTRACTED_AT, RUN_ID, SWEPT_AT, Target

if TYPE_CHECKING:
    from integration_assets.land.lake import LakeTable
    from integration_assets.land.reading import LakeFile

_MOMENT = pa.timestamp("us", "UTC")
_MEMORY = "1GB"
_FILE, _ROW = "_file", "_row"


@dataclass(frozen=True)
class Lists:
    """Keys to hold against the warehouse's table, as Parquet files in the lake table's folder that belong to no version of it.

    listed  : the API's list: key columns and `_deleted`, true where the list itself says that the record is gone.
    touched : the same of what landed in the lake since the sweep began, or is not merged yet: left alone, gone or not.
    carried : columns of a row that its deletion has to name: key, version, cursor.
    tenant  : column and value of the rows that are compared; None for all.
    until   : a row whose version is later is left alone; None for no such bound. Only where versions are times.
    """

    listed: Sequence[LakeFile]
    touched: Sequence[LakeFile]
    carried: tuple[str, ...]
    tenant: tuple[str, str | int] | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Differences:
    """How the list and the table differ. The rows can be read as long as the comparison is open.

    listed, flagged : different keys of the list, and how many of them it says are gone.
    live            : rows of the table that are not deleted.
    unlisted        : how many of those the list does not have; `gone` gives them: the carried columns and `_extracted_at`.
    returned        : deleted rows that the list has; `back` gives their keys and `_extracted_at`.
    unknown         : keys of the list that the table has no row of.
    """

    listed: int = 0
    flagged: int = 0
    live: int = 0
    unlisted: int = 0
    returned: int = 0
    unknown: int = 0
    gone: Callable[[], Iterator[pa.RecordBatch]] = lambda: iter(())
    back: Callable[[], Iterator[pa.RecordBatch]] = lambda: iter(())


@dataclass(frozen=True)
class Stamp:
    """What the rows that a sweep lands say of it: when it began to read the list, and its run."""

    swept_at: datetime
    run_id: str


def list_schema(lake_schema: pa.Schema, key: Sequence[str]) -> pa.Schema:
    """The columns of a staged list of keys."""
    return pa.schema([*(lake_schema.field(name) for name in key), pa.field(DELETED, pa.bool_())])


def swept_schema(lake_schema: pa.Schema) -> pa.Schema:
    """The lake's columns for a stream that is swept."""
    comment = {"description": "When the sweep that landed the row began; null for a row that was pulled."}
    return lake_schema.append(pa.field(SWEPT_AT, _MOMENT, metadata=comment))


def tombstones(rows: Iterable[pa.RecordBatch], schema: pa.Schema, sweep: Stamp) -> Iterator[pa.Table]:
    """The lake's rows that delete the warehouse's `rows`: as they were pulled, and not as anything later may have made them.

    rows : the carried columns and `_extracted_at`.
    """
    for batch in rows:
        made = {name: batch.column(name) for name in batch.schema.names if name != EXTRACTED_AT}
        yield _landing(made, schema, sweep, _just_after(batch.column(EXTRACTED_AT)), deleted=True)


def revivals(
    lake_table: LakeTable, target: Target, wanted: Iterable[pa.RecordBatch], schema: pa.Schema, sweep: Stamp
) -> Iterator[pa.Table]:
    """The lake's rows that bring the `wanted` keys back, with the values that they had when a sweep deleted them.

    A key that the API itself said is gone stays so until it gives a newer version. Reads the keys of the whole lake table, then
    those of its files that have one of the rows. What does not fit into a gigabyte waits on the local disk.
    """
    if SWEPT_AT not in lake_table.schema().names:
        return
    files = lake_table.snapshot_files()
    names = [name for name in schema.names if name not in {DELETED, EXTRACTED_AT, RUN_ID, SWEPT_AT}]
    with scratch(_MEMORY) as con:
        if not _load(con, lake_table, files, target, wanted):
            return
        for (number,) in con.execute(f"SELECT DISTINCT {_FILE} FROM _last ORDER BY 1").fetchall():
            begin = 0
            for batch in lake_table.scan([files[number]], names):
                found = con.sql(
                    f"SELECT {_ROW} - ? AS {_ROW}, {EXTRACTED_AT} FROM _last WHERE {_FILE} = ? AND {_ROW} >= ? AND {_ROW} < ?",
                    params=[begin, number, begin, begin + batch.num_rows],
                ).to_arrow_table()
                begin += batch.num_rows
                if found.num_rows:
                    rows = pa.Table.from_batches([batch]).take(found.column(_ROW))
                    made = dict(zip(names, rows.columns, strict=True))
                    yield _landing(made, schema, sweep, _just_after(found.column(EXTRACTED_AT)), deleted=False)


def _load(
    con: duckdb.DuckDBPyConnection,
    lake_table: LakeTable,
    files: Sequence[LakeFile],
    target: Target,
    wanted: Iterable[pa.RecordBatch],
) -> bool:
    """Make `_last`: where each wanted key that a sweep deleted has its last live row, and when the deletion counts as pulled."""
    key = _listed(target.key)
    known = lake_table.schema()
    _fill(con, "_wanted", pa.schema([known.field(name) for name in target.key]), (batch.select(target.key) for batch in wanted))
    if not con.execute("SELECT 1 FROM _wanted LIMIT 1").fetchall():
        return False
    names = list(dict.fromkeys([*target.key, *([target.version] if target.version else []), DELETED, EXTRACTED_AT, SWEPT_AT]))
    placed = pa.schema([*(known.field(name) for name in names), pa.field(_FILE, pa.int32()), pa.field(_ROW, pa.int64())])
    _fill(con, "_rows", placed, _placed(lake_table, files, names), f"SEMI JOIN _wanted USING ({key})")
    by = f"{_quote(target.version)} DESC NULLS LAST, " if target.version else ""
    newest = f"row_number() OVER (PARTITION BY {key} ORDER BY {by}{EXTRACTED_AT} DESC NULLS LAST, {_FILE} DESC, {_ROW} DESC) = 1"
    con.execute(
        f"""CREATE TABLE _last AS SELECT live.{_FILE}, live.{_ROW}, gone.{EXTRACTED_AT}
            FROM (SELECT * FROM _rows WHERE {DELETED} IS NOT TRUE QUALIFY {newest}) live
            JOIN (SELECT * FROM (SELECT * FROM _rows QUALIFY {newest}) WHERE {DELETED} AND {SWEPT_AT} IS NOT NULL) gone
            USING ({key})"""
    )
    return True


def _placed(lake_table: LakeTable, files: Sequence[LakeFile], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Columns of the lake's rows, and where each row is: number of its file, number in it."""
    for number, file in enumerate(files):
        begin = 0
        for batch in lake_table.scan([file], names):
            at = pa.array(np.arange(begin, begin + batch.num_rows, dtype=np.int64))
            begin += batch.num_rows
            columns = [*batch.columns, pa.array(np.full(batch.num_rows, number, dtype=np.int32)), at]
            yield pa.RecordBatch.from_arrays(columns, names=[*names, _FILE, _ROW])


def _fill(
    con: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], only: str = ""
) -> None:
    """Make a table of Arrow batches; `only` narrows each of them as it comes."""
    for number, batch in enumerate(_and_none(schema, batches)):
        con.register("arriving", pa.Table.from_batches([batch]))
        con.execute(f"{f'INSERT INTO {name}' if number else f'CREATE TABLE {name} AS'} SELECT * FROM arriving {only}")
        con.unregister("arriving")


def _and_none(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
    yield from batches


def _landing(
    made: Mapping[str, pa.Array | pa.ChunkedArray], schema: pa.Schema, sweep: Stamp, pulled: pa.Array, *, deleted: bool
) -> pa.Table:
    """Rows of the lake's schema: the columns `made`, the project's own, and nothing in the others."""
    rows = len(pulled)
    own = {
        DELETED: pa.repeat(pa.scalar(deleted), rows),
        EXTRACTED_AT: pulled,
        RUN_ID: pa.repeat(pa.scalar(sweep.run_id, pa.string()), rows),
        SWEPT_AT: pa.repeat(pa.scalar(sweep.swept_at, _MOMENT), rows),
    }
    found = {**made, **own}
    arrays = [found[field.name].cast(field.type) if field.name in found else pa.nulls(rows, field.type) for field in schema]
    return pa.table(arrays, schema=schema)


def _just_after(pulled: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A microsecond later: later than the row that was compared, and earlier than any other pull of its record."""
    return pc.add(pulled.cast(_MOMENT), pa.scalar(timedelta(microseconds=1), pa.duration("us")))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_quote(name) for name in names)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
