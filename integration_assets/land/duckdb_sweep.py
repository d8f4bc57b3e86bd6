"""A list of keys held against a DuckDB table: anti-joins there, of keys that were loaded from staged Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from integration_assets.land.duckdb_merge import listed
from integration_assets.land.duckdb_tables import columns, first, qualified, quote
from integration_assets.land.sweeping import Differences, Lists
from integration_assets.land.warehouse import DELETED, DELETED_AT, EXTRACTED_AT, Target

if TYPE_CHECKING:
    from integration_assets.land.lake import LakeTable
    from integration_assets.land.reading import LakeFile

# No stream can be named so.
_LISTED, _TOUCHED, _GONE, _BACK = (f"temp.main._{name}" for name in ("listed", "touched", "gone", "back"))


def compare(con: duckdb.DuckDBPyConnection, target: Target, lake_table: LakeTable, lists: Lists) -> Differences:
    """How the list and the table differ; no differences where there is no table."""
    if not columns(con, target):
        return Differences()
    key = listed(target.key)
    _load(con, _LISTED, lake_table, lists.listed, [*target.key, DELETED])
    _load(con, _TOUCHED, lake_table, lists.touched, target.key)
    con.execute(f"CREATE OR REPLACE TEMP VIEW _there AS SELECT DISTINCT {key} FROM {_LISTED} WHERE {DELETED} IS NOT TRUE")
    con.execute(f"CREATE OR REPLACE TEMP VIEW _mine AS {_mine(con, target, lists)}")
    untouched = f"ANTI JOIN {_TOUCHED} USING ({key})"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE {_GONE} AS SELECT {listed(lists.carried)}, {EXTRACTED_AT} FROM _mine
            ANTI JOIN _there USING ({key}) {untouched} WHERE {DELETED_AT} IS NULL{_old(target, lists)}"""
    )
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE {_BACK} AS SELECT {key}, {EXTRACTED_AT} FROM _mine
            SEMI JOIN _there USING ({key}) {untouched} WHERE {DELETED_AT} IS NOT NULL"""
    )
    return Differences(
        listed=_count(con, f"SELECT DISTINCT {key} FROM {_LISTED}"),
        flagged=_count(con, f"SELECT DISTINCT {key} FROM {_LISTED} ANTI JOIN _there USING ({key})"),
        live=_count(con, f"SELECT 1 FROM _mine WHERE {DELETED_AT} IS NULL"),
        unlisted=_count(con, f"FROM {_GONE}"),
        returned=_count(con, f"FROM {_BACK}"),
        unknown=_count(con, f"SELECT 1 FROM _there ANTI JOIN {qualified(con, target)} USING ({key})"),
        gone=lambda: _rows(con, _GONE),
        back=lambda: _rows(con, _BACK),
    )


def _mine(con: duckdb.DuckDBPyConnection, target: Target, lists: Lists) -> str:
    """The table's rows that are compared."""
    if lists.tenant is None:
        return f"SELECT * FROM {qualified(con, target)}"
    column, value = lists.tenant
    # A view takes no parameters.
    literal = str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
    return f"SELECT * FROM {qualified(con, target)} WHERE {quote(column)} = {literal}"


def _old(target: Target, lists: Lists) -> str:
    """That the row's version is no later than it may be."""
    if lists.until is None or target.version is None:
        return ""
    version = quote(target.version)
    return f" AND ({version} IS NULL OR {version} <= TIMESTAMPTZ '{lists.until.isoformat()}')"


def _load(
    con: duckdb.DuckDBPyConnection, name: str, lake_table: LakeTable, files: Sequence[LakeFile], names: Sequence[str]
) -> None:
    known = lake_table.schema()
    con.register("arriving", pa.schema([known.field(one) for one in names]).empty_table())
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM arriving")
    con.unregister("arriving")
    for batch in lake_table.scan(files, list(names)) if files else ():
        con.register("arriving", pa.Table.from_batches([batch]))
        con.execute(f"INSERT INTO {name} SELECT * FROM arriving")
        con.unregister("arriving")


def _count(con: duckdb.DuckDBPyConnection, rows: str) -> int:
    found: tuple[Any, ...] | None = first(con, f"SELECT count(*) FROM ({rows})")
    return int(found[0]) if found else 0


def _rows(con: duckdb.DuckDBPyConnection, name: str) -> Iterator[pa.RecordBatch]:
    yield from con.sql(f"FROM {name}").to_arrow_reader(64 * 1024)
