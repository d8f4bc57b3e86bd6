"""The tables of the DuckDB warehouse: made from the contract, grown with it, and the ledger of merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from integration_assets.errors import WarehouseError
from integration_assets.land.merging import Recorded
from integration_assets.land.warehouse import (
    COMMENTS,
    DELETED_AT,
    EXTRACTED_AT,
    IS_CURRENT,
    RUN_ID,
    VALID_FROM,
    VALID_TO,
    MergeResult,
    Target,
    own_columns,
    view,
)

_OWN = "integration_assets"
_MOMENT = "TIMESTAMP WITH TIME ZONE"
_TYPES = {DELETED_AT: _MOMENT, EXTRACTED_AT: _MOMENT, RUN_ID: "VARCHAR", IS_CURRENT: "BOOLEAN"}


def first(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """The first row of a result that is read to its end: DuckDB refuses further work on a connection with one half read."""
    rows = con.execute(sql, list(parameters)).fetchall()
    return rows[0] if rows else None


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def catalog(con: duckdb.DuckDBPyConnection) -> str:
    """The file's own name within DuckDB. Without it, a source named as the file or as `temp` would be ambiguous."""
    found = first(con, "SELECT current_database()")
    assert found is not None  # noqa: S101 - the query has one row
    return quote(found[0])


def qualified(con: duckdb.DuckDBPyConnection, target: Target) -> str:
    """`"file"."source"."stream"`."""
    return f"{catalog(con)}.{quote(target.source)}.{quote(target.stream)}"


def last_merge(con: duckdb.DuckDBPyConnection, source: str, stream: str) -> Recorded | None:
    """What the ledger says of a stream; None if it was never merged."""
    if not _columns(con, _OWN, "ledger"):
        return None
    ledger = f"{catalog(con)}.{_OWN}.ledger"
    found = first(
        con,
        f"SELECT lake_version, lake FROM {ledger} WHERE source = ? AND stream = ? ORDER BY rowid DESC LIMIT 1",
        [source, stream],
    )
    return Recorded(found[0], found[1]) if found else None


def record(con: duckdb.DuckDBPyConnection, target: Target, result: MergeResult, lake: str | None, run_id: str) -> None:
    """Write a merge's row into the ledger."""
    own = f"{catalog(con)}.{_OWN}"
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {own}")
    con.execute(
        f"""CREATE TABLE IF NOT EXISTS {own}.ledger (
            source VARCHAR NOT NULL, stream VARCHAR NOT NULL, lake_version BIGINT NOT NULL, merged_at TIMESTAMPTZ NOT NULL,
            run_id VARCHAR, rows_read BIGINT, inserted BIGINT, updated BIGINT, deleted BIGINT, lake VARCHAR)"""
    )
    con.execute(
        f"INSERT INTO {own}.ledger VALUES (?, ?, ?, get_current_timestamp(), ?, ?, ?, ?, ?, ?)",
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
    """The table's columns and their DuckDB types, in order; empty if there is no table. As for transactions, see `_columns`."""
    return _columns(con, target.source, target.stream)


def shown(con: duckdb.DuckDBPyConnection, target: Target) -> list[str]:
    """The columns of the view beside the table, in order; none if there is no view. Not within a transaction."""
    described = view(target)
    return list(_columns(con, target.source, target.stream + described[0])) if described else []


def _columns(con: duckdb.DuckDBPyConnection, schema: str, name: str) -> dict[str, str]:
    """The same of any table or view of the file. DuckDB aborts a transaction in which the name is unknown.

    Asked of `duckdb_columns()` it would cost ten times as much: that reads DuckDB's own hundred views as well. And DESCRIBE takes
    `shop.csv`, where there is no such table, for a file of that name.
    """
    try:
        named = f"{catalog(con)}.{quote(schema)}.{quote(name)}"
        rows = con.execute("SELECT name, type FROM pragma_table_info(?)", [named]).fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):  # none there, or a view of columns that someone renamed
        return {}
    return dict(rows)


def ensure(con: duckdb.DuckDBPyConnection, target: Target, there: Mapping[str, str], view_there: Sequence[str]) -> None:
    """Make the table, or grow it by the contract's new columns. Raises `WarehouseError` when a type changed.

    there, view_there : what `columns` and `shown` gave before the transaction began.
    """
    contract = _contract_types(con, target.contract_schema)
    span = contract[target.version] if target.version else _MOMENT
    types = _TYPES | {VALID_FROM: span, VALID_TO: span}
    wanted = contract | {column: types[column] for column in own_columns(target)}
    name = qualified(con, target)
    if not there:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {catalog(con)}.{quote(target.source)}")
        described = [_column(column, type_, target.key) for column, type_ in wanted.items()]
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
    new = {column: type_ for column, type_ in wanted.items() if there and column not in there}
    for column, type_ in new.items():
        con.execute(f"ALTER TABLE {name} ADD COLUMN {quote(column)} {type_}")
    if new or not there:
        _comment(con, target, new or wanted)
    if target.disposition == "history":
        _ensure_gone(con, target, span, anew=not there)
    _view(con, target, view_there)


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
        text = target.descriptions.get(column) or COMMENTS.get(column)
        if text:
            literal = text.replace("'", "''")
            con.execute(f"COMMENT ON COLUMN {qualified(con, target)}.{quote(column)} IS '{literal}'")


def gone_table(con: duckdb.DuckDBPyConnection, target: Target) -> str:
    """The table of a history's tombstones: a deletion ends a row's range and is no row itself, but has to be remembered."""
    return f"{catalog(con)}.{_OWN}.{quote(f'gone-{target.source}-{target.stream}')}"


def _ensure_gone(con: duckdb.DuckDBPyConnection, target: Target, span: str, *, anew: bool) -> None:
    types = columns(con, target)
    own = [f"{quote(name)} {types[name]}" for name in target.key] + [f"{VALID_FROM} {span}", f"{EXTRACTED_AT} {_MOMENT}"]
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {catalog(con)}.{_OWN}")
    name, listed = gone_table(con, target), ", ".join(own)
    con.execute(f"CREATE OR REPLACE TABLE {name} ({listed})" if anew else f"CREATE TABLE IF NOT EXISTS {name} ({listed})")


def _view(con: duckdb.DuckDBPyConnection, target: Target, there: Sequence[str]) -> None:
    """Show what is so now in a view, which names its columns and so is made again when there are more."""
    suffix, condition = view(target) or ("", "")
    wanted, name = [name for name in columns(con, target) if name not in COMMENTS], f"{target.stream}{suffix}"
    if not suffix or list(there) == wanted:
        return
    listed = ", ".join(quote(name) for name in wanted)
    # From within the schema, for DuckDB cuts the catalog off a view's tables, and what is left may be ambiguous.
    con.execute(f"USE {catalog(con)}.{quote(target.source)}")
    con.execute(f"CREATE OR REPLACE VIEW {quote(name)} AS SELECT {listed} FROM {quote(target.stream)} WHERE {condition}")
    con.execute(f"USE {catalog(con)}.main")
