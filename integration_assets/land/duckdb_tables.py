"""The tables of the DuckDB warehouse: made from the contract, grown with it, and the ledger of merges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from integration_assets.errors import WarehouseError
from integration_assets.land.merging import Recorded
from integration_assets.land.warehouse import DELETED_AT, EXTRACTED_AT, RUN_ID, MergeResult, Target

LEDGER = "integration_assets.ledger"
_TECHNICAL = {DELETED_AT: "TIMESTAMP WITH TIME ZONE", EXTRACTED_AT: "TIMESTAMP WITH TIME ZONE", RUN_ID: "VARCHAR"}
_COMMENTS = {
    DELETED_AT: "When the API said that the record is gone; null while it is live.",
    EXTRACTED_AT: "When the pull that brought this version began.",
    RUN_ID: "The run that pulled this version.",
}


def first(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """The first row of a result that is read to its end: DuckDB refuses further work on a connection with one half read."""
    rows = con.execute(sql, list(parameters)).fetchall()
    return rows[0] if rows else None


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def qualified(target: Target) -> str:
    """`"source"."stream"`."""
    return f"{quote(target.source)}.{quote(target.stream)}"


def last_merge(con: duckdb.DuckDBPyConnection, source: str, stream: str) -> Recorded | None:
    """What the ledger says of a stream; None if it was never merged."""
    there = first(con, "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'integration_assets' AND table_name = 'ledger'")
    if not there:
        return None
    found = first(
        con,
        f"SELECT lake_version, lake FROM {LEDGER} WHERE source = ? AND stream = ? ORDER BY rowid DESC LIMIT 1",
        [source, stream],
    )
    return Recorded(found[0], found[1]) if found else None


def record(con: duckdb.DuckDBPyConnection, target: Target, result: MergeResult, lake: str | None, run_id: str) -> None:
    """Write a merge's row into the ledger."""
    con.execute("CREATE SCHEMA IF NOT EXISTS integration_assets")
    con.execute(
        f"""CREATE TABLE IF NOT EXISTS {LEDGER} (
            source VARCHAR NOT NULL, stream VARCHAR NOT NULL, lake_version BIGINT NOT NULL, merged_at TIMESTAMPTZ NOT NULL,
            run_id VARCHAR, rows_read BIGINT, inserted BIGINT, updated BIGINT, deleted BIGINT, lake VARCHAR)"""
    )
    con.execute(
        f"INSERT INTO {LEDGER} VALUES (?, ?, ?, get_current_timestamp(), ?, ?, ?, ?, ?, ?)",
        [
            target.source,
            target.stream,
            result.lake_version_after,
            run_id,
            result.rows_read,
            result.inserted,
            result.updated,
            result.deleted,
            lake,
        ],
    )


def columns(con: duckdb.DuckDBPyConnection, target: Target) -> dict[str, str]:
    """The table's columns and their DuckDB types, in order; empty if there is no table."""
    rows = con.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? ORDER BY column_index",
        [target.source, target.stream],
    ).fetchall()
    return dict(rows)


def ensure(con: duckdb.DuckDBPyConnection, target: Target) -> None:
    """Make the table, or grow it by the contract's new columns. Raises `WarehouseError` when a type changed."""
    wanted = _contract_types(con, target.contract_schema)
    technical = dict(_TECHNICAL)
    if not (target.disposition == "merge" or target.tombstones):
        del technical[DELETED_AT]
    there = columns(con, target)
    name = qualified(target)
    if not there:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(target.source)}")
        described = [_column(column, type_, target.key) for column, type_ in (wanted | technical).items()]
        con.execute(f"CREATE TABLE {name} ({', '.join(described)})")
    for column, type_ in wanted.items():
        old = there.get(column, type_)
        if old != type_:
            raise WarehouseError(
                f"the column is {old} in the warehouse's table {target.source}.{target.stream} and {type_} in the contract",
                source=target.source,
                stream=target.stream,
                field=column,
                remedy=f"Give the new type a new column name, or convert the table yourself: ALTER TABLE {name} ALTER"
                f" {quote(column)} TYPE {type_}.",
            )
    new = {column: type_ for column, type_ in (wanted | technical).items() if there and column not in there}
    for column, type_ in new.items():
        con.execute(f"ALTER TABLE {name} ADD COLUMN {quote(column)} {type_}")
    if new or not there:
        _comment(con, target, new or wanted | technical)
        _live_view(con, target)


def _contract_types(con: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    """The contract's columns as DuckDB itself names their types."""
    con.register("contract", schema.empty_table())
    try:
        return {row[0]: row[1] for row in con.execute("DESCRIBE SELECT * FROM contract").fetchall()}
    finally:
        con.unregister("contract")


def _column(name: str, type_: str, key: tuple[str, ...]) -> str:
    return f"{quote(name)} {type_}{' NOT NULL' if name in key else ''}"


def _comment(con: duckdb.DuckDBPyConnection, target: Target, names: dict[str, str]) -> None:
    for column in names:
        text = target.descriptions.get(column) or _COMMENTS.get(column)
        if text:
            literal = text.replace("'", "''")
            con.execute(f"COMMENT ON COLUMN {qualified(target)}.{quote(column)} IS '{literal}'")


def _live_view(con: duckdb.DuckDBPyConnection, target: Target) -> None:
    if not target.tombstones:
        return
    shown = ", ".join(quote(name) for name in columns(con, target) if name not in _TECHNICAL)
    view = f"{quote(target.source)}.{quote(target.stream + '_live')}"
    con.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT {shown} FROM {qualified(target)} WHERE {DELETED_AT} IS NULL")
