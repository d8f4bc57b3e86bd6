"""The SQL of a merge: staged lake rows into a table, by disposition. All of it repeatable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from integration_assets.land.duckdb_tables import columns, first, qualified, quote
from integration_assets.land.merging import Changes
from integration_assets.land.warehouse import DELETED, DELETED_AT, EXTRACTED_AT, RUN_ID, SWEPT_AT, Target

STAGED = "temp.main._staged"  # no stream can be named so
CHOSEN = "temp.main._chosen"
ARRIVAL = "_arrival"


def stage(con: duckdb.DuckDBPyConnection, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Copy lake rows into a temporary table, which spills to disk, numbered in order of arrival; returns how many."""
    rows = 0
    _insert(con, _numbered(pa.Table.from_batches([], schema), 0), f"CREATE OR REPLACE TEMP TABLE {STAGED} AS")
    for batch in batches:
        _insert(con, _numbered(pa.Table.from_batches([batch]), rows), f"INSERT INTO {STAGED} BY NAME")
        rows += batch.num_rows
    return rows


def _numbered(table: pa.Table, start: int) -> pa.Table:
    if SWEPT_AT not in table.column_names:
        table = table.append_column(SWEPT_AT, pa.nulls(table.num_rows, pa.timestamp("us", "UTC")))
    return table.append_column(ARRIVAL, pa.array(np.arange(start, start + table.num_rows, dtype=np.int64)))


def _insert(con: duckdb.DuckDBPyConnection, table: pa.Table, into: str) -> None:
    con.register("arriving", table)
    try:
        con.execute(f"{into} SELECT * FROM arriving")
    finally:
        con.unregister("arriving")


def merge(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Apply each key's newest staged version unless the table has a newer one; tombstones mark their row as deleted."""
    of_key = newest(target.key, (target.version,) if target.version else ())
    live = f"SELECT * FROM {STAGED} WHERE {DELETED} IS NOT TRUE QUALIFY {of_key}"
    choose(con, target, live, same_key(target), _not_older(target))
    applied = put(con, target, {name: _value(name) for name in _written(con, target)})
    if not any_deleted(con):
        return applied
    # After the live rows, so that a record that came and went within one merge keeps its values, as in two merges.
    gone = f"SELECT * FROM (SELECT * FROM {STAGED} QUALIFY {of_key}) WHERE {DELETED}"
    choose(con, target, gone, same_key(target), _not_older(target))
    return Changes(applied.inserted, applied.updated, _mark_deleted(con, target))


def any_deleted(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether a tombstone is staged."""
    return first(con, f"SELECT 1 FROM {STAGED} WHERE {DELETED} LIMIT 1") is not None


def choose(con: duckdb.DuckDBPyConnection, target: Target, source: str, same: str, newer: str) -> None:
    """Note which of the staged rows in `source` are to be applied, by arrival, and the `rowid` of the row that each replaces.

    same  : whether the staged row `s` is of the table's row `t`.
    newer : whether it may then replace it.
    """
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE {CHOSEN} AS SELECT s.{ARRIVAL} AS arrival, t.rowid AS old
            FROM ({source}) s LEFT JOIN {qualified(con, target)} t ON {same} WHERE t.rowid IS NULL OR {newer}"""
    )


def put(con: duckdb.DuckDBPyConnection, target: Target, values: Mapping[str, str]) -> Changes:
    """Put the chosen rows into the table, `values` over the staged row `s`; what is not in `values` stays as it was.

    Rows are written anew instead of updated: of ten million rows DuckDB updates 100,000 in 12 s and writes them anew in 3 s.
    """
    kept = [name for name in columns(con, target) if name not in values]
    name, old = qualified(con, target), f"LEFT JOIN {qualified(con, target)} t ON t.rowid = c.old" if kept else ""
    given = ", ".join([*values.values(), *(f"t.{quote(column)}" for column in kept)])
    con.execute(
        f"""INSERT INTO {name} ({listed([*values, *kept])}) SELECT {given}
            FROM {CHOSEN} c JOIN {STAGED} s ON s.{ARRIVAL} = c.arrival {old}"""
    )
    con.execute(f"DELETE FROM {name} WHERE rowid IN (SELECT old FROM {CHOSEN} WHERE old IS NOT NULL)")
    return counted(con)


def counted(con: duckdb.DuckDBPyConnection) -> Changes:
    """How many of the chosen rows are new, and how many replace one."""
    found = first(con, f"SELECT count(*) - count(old), count(old) FROM {CHOSEN}")
    return Changes(*found) if found else Changes()


def _mark_deleted(con: duckdb.DuckDBPyConnection, target: Target) -> int:
    """Mark the chosen rows as deleted; an unknown key gets a row, so that a late older version cannot bring it back."""
    changed = {DELETED_AT: _deleted_at(target), EXTRACTED_AT: f"s.{EXTRACTED_AT}", RUN_ID: f"s.{RUN_ID}"}
    if target.version and target.version not in target.key:
        changed[target.version] = f"s.{quote(target.version)}"
    inserted = {name: f"s.{quote(name)}" for name in target.key} | changed
    rows = f"{CHOSEN} c JOIN {STAGED} s ON s.{ARRIVAL} = c.arrival"
    updates = ", ".join(f"{quote(name)} = {value}" for name, value in changed.items())
    con.execute(f"UPDATE {qualified(con, target)} AS t SET {updates} FROM {rows} WHERE t.rowid = c.old")
    con.execute(
        f"""INSERT INTO {qualified(con, target)} ({listed(list(inserted))})
            SELECT {", ".join(inserted.values())} FROM {rows} WHERE c.old IS NULL"""
    )
    done = counted(con)
    return done.inserted + done.updated


def append(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Add the staged rows; with a key, only those whose key and version are not there yet, each once."""
    chosen = f"SELECT * FROM {STAGED} s"
    if target.key:
        identity = [*target.key, *([target.version] if target.version and target.version not in target.key else [])]
        same = " AND ".join(f"t.{quote(name)} IS NOT DISTINCT FROM s.{quote(name)}" for name in identity)
        chosen += f" WHERE NOT EXISTS (SELECT 1 FROM {qualified(con, target)} t WHERE {same})"
        chosen += f" QUALIFY row_number() OVER (PARTITION BY {listed(identity)} ORDER BY {ARRIVAL}) = 1"
    return Changes(inserted=_add(con, target, chosen))


def _add(con: duckdb.DuckDBPyConnection, target: Target, chosen: str) -> int:
    """Insert the staged rows that `chosen` selects; how many they are."""
    written = _written(con, target)
    values = ", ".join(_value(name, target) for name in written)
    into = f"INSERT INTO {qualified(con, target)} ({listed(written)})"
    found = first(con, f"{into} SELECT {values} FROM ({chosen}) s ORDER BY {ARRIVAL}")
    return found[0] if found else 0


def replace_all(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Put the staged rows in place of the table's, of each key the newest: a list that moved may show a record twice."""
    gone = first(con, f"DELETE FROM {qualified(con, target)}")
    of_key = f" QUALIFY {newest(target.key, (target.version,) if target.version else ())}" if target.key else ""
    return Changes(inserted=_add(con, target, f"SELECT * FROM {STAGED}{of_key}"), deleted=gone[0] if gone else 0)


def rebuild(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Merge the staged rows into the emptied table: what was deleted from the lake must not live on in it."""
    gone = first(con, f"DELETE FROM {qualified(con, target)}")
    merged = merge(con, target)
    return Changes(merged.inserted, merged.updated, gone[0] if gone else 0)


def keep_pull(con: duckdb.DuckDBPyConnection, pulled_at: datetime) -> None:
    """Leave only the rows of one pull staged: a lake of full snapshots, of which the last one counts."""
    con.execute(f"DELETE FROM {STAGED} WHERE {EXTRACTED_AT} IS DISTINCT FROM ?", [pulled_at])


def _written(con: duckdb.DuckDBPyConnection, target: Target) -> list[str]:
    """The table's columns that a row sets; a column gone from the contract stays null."""
    given = {*target.contract_schema.names, EXTRACTED_AT, RUN_ID, DELETED_AT}
    return [name for name in columns(con, target) if name in given]


def _value(name: str, target: Target | None = None) -> str:
    if name != DELETED_AT:
        return f"s.{quote(name)}"
    return f"CASE WHEN s.{DELETED} THEN {_deleted_at(target)} END" if target else "NULL"


def deleted_when(target: Target, version: str, pulled: str) -> str:
    """When a tombstone says that its record went: its version where that is a time, else when it was pulled."""
    timed = target.version and pa.types.is_timestamp(target.contract_schema.field(target.version).type)
    return f"CAST({version} AS TIMESTAMPTZ)" if timed else pulled


def _deleted_at(target: Target) -> str:
    said = deleted_when(target, f"s.{quote(target.version or EXTRACTED_AT)}", f"s.{EXTRACTED_AT}")
    return f"coalesce(s.{SWEPT_AT}, {said})"


def newest(of: Iterable[str], by: Iterable[str]) -> str:
    """Whether a staged row is the newest of those with the same `of`: by the greatest `by`, then the later pull, then arrival."""
    order = ", ".join([*(f"{quote(name)} DESC NULLS LAST" for name in by), f"{EXTRACTED_AT} DESC NULLS LAST", f"{ARRIVAL} DESC"])
    return f"row_number() OVER (PARTITION BY {listed(of)} ORDER BY {order}) = 1"


def _not_older(target: Target) -> str:
    """Whether the staged row `s` may overwrite the table's row `t`."""
    as_new = f"(t.{EXTRACTED_AT} IS NULL OR s.{EXTRACTED_AT} >= t.{EXTRACTED_AT})"
    if not target.version:
        return as_new
    s, t = f"s.{quote(target.version)}", f"t.{quote(target.version)}"
    return f"({s} > {t} OR ({s} IS NOT NULL AND {t} IS NULL) OR ({s} IS NOT DISTINCT FROM {t} AND {as_new}))"


def same_key(target: Target) -> str:
    """Whether the staged row `s` and the table's row `t` are of one record."""
    return " AND ".join(f"t.{quote(name)} = s.{quote(name)}" for name in target.key)


def listed(names: Iterable[str]) -> str:
    """Names as SQL lists them."""
    return ", ".join(quote(name) for name in names)
