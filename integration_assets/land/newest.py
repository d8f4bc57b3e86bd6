"""The newest version of each record of a lake table, of those whose cursor lies in a slice. Exact, and bounded in memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.errors import LakeError
from integration_assets.land.duckdb_tables import quote
from integration_assets.land.lake import LakeTable
from integration_assets.land.scratch import scratch
from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import DELETED

ROWS = 4096
"""Rows of a table that is given back, at most."""
_MEMORY = "256MB"
_PULLED = "_extracted_at"
_ARRIVED = "_arrived"


def newest(
    table: LakeTable, columns: Sequence[str], identity: Sequence[str], cursor: str, version: str, slice_: Slice
) -> Generator[pa.Table, None, None]:
    """`columns` and `cursor` of the live records whose newest version lies in the slice, ordered by cursor and identity.

    identity : the columns that name a record.
    version  : the column that orders a record's versions; a later one has no earlier cursor.
    What does not fit into memory waits on the local disk. Raises `LakeError` when the table lacks a column.
    """
    if not table.exists():
        return
    schema = table.schema()
    kept = tuple(dict.fromkeys([*columns, *identity, cursor]))
    read = tuple(dict.fromkeys([*kept, version, DELETED, _PULLED]))
    for name in read:
        if name not in schema.names:
            raise LakeError(f"the table at {table.uri} has no column {name!r} yet", remedy="Sync that stream again first.")
    # What is newer than the slice is read as well: it says which versions in the slice are not the newest.
    rows = table.known(read, cursor, replace(slice_, end=None))
    with scratch(_MEMORY) as con:
        con.execute("SET threads = 2")
        _stage(con, rows, pa.schema([schema.field(name) for name in read]))
        found = con.sql(_chosen(kept, identity, cursor, version, slice_, schema)).to_arrow_reader(ROWS)
        for batch in found:
            yield _back(pa.Table.from_batches([batch]), schema).select(list(dict.fromkeys([*columns, cursor])))


def _stage(con: duckdb.DuckDBPyConnection, rows: Iterator[pa.Table], schema: pa.Schema) -> None:
    arrived = 0
    _insert(con, _plain(schema.empty_table()), arrived, "CREATE TABLE rows AS")
    for table in rows:
        _insert(con, _plain(table), arrived, "INSERT INTO rows BY NAME")
        arrived += table.num_rows


def _insert(con: duckdb.DuckDBPyConnection, table: pa.Table, start: int, into: str) -> None:
    numbers = pa.array(np.arange(start, start + table.num_rows, dtype=np.int64))
    con.register("arriving", table.append_column(_ARRIVED, numbers))
    try:
        con.execute(f"{into} SELECT * FROM arriving")
    finally:
        con.unregister("arriving")


def _chosen(kept: Sequence[str], identity: Sequence[str], cursor: str, version: str, slice_: Slice, schema: pa.Schema) -> str:
    """The query; as in a merge, the version pulled last wins among equals."""
    names, of = ", ".join(map(quote, kept)), ", ".join(map(quote, identity))
    newest_first = f"{quote(version)} DESC NULLS LAST, {_PULLED} DESC, {_ARRIVED} DESC"
    before = ""
    if slice_.end is not None:
        end = _plain(pa.table({"end": pa.array([slice_.end], schema.field(cursor).type)})).column(0)[0].as_py()
        before = f" AND {quote(cursor)} < {end}"
    return f"""SELECT {names} FROM
        (SELECT * FROM rows QUALIFY row_number() OVER (PARTITION BY {of} ORDER BY {newest_first}) = 1)
        WHERE {DELETED} IS NOT TRUE{before} ORDER BY {quote(cursor)}, {of}"""


def _plain(table: pa.Table) -> pa.Table:
    """Timestamps as numbers: DuckDB knows them to the microsecond, a contract may to the nanosecond."""
    return pa.table(
        [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns],
        names=table.column_names,
    )


def _back(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns as the lake has them."""
    return pa.table({name: pc.cast(table.column(name), schema.field(name).type) for name in table.column_names})
