"""The SQL of a merge: staged lake rows into a table, by disposition. All of it repeatable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from integration_assets.land.duckdb_tables import columns, first, qualified, quote
from integration_assets.land.merging import Changes
from integration_assets.land.warehouse import DELETED, DELETED_AT, EXTRACTED_AT, RUN_ID, Target

STAGED = "temp.main._staged"  # no stream can be named so
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
    return table.append_column(ARRIVAL, pa.array(np.arange(start, start + table.num_rows, dtype=np.int64)))


def _insert(con: duckdb.DuckDBPyConnection, table: pa.Table, into: str) -> None:
    con.register("arriving", table)
    try:
        con.execute(f"{into} SELECT * FROM arriving")
    finally:
        con.unregister("arriving")


def merge(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Apply each key's newest staged version unless the table has a newer one; tombstones mark their row as deleted."""
    key = _list(target.key)
    newest = f"row_number() OVER (PARTITION BY {key} ORDER BY {_newest_first(target)}) = 1"
    live = f"SELECT * FROM {STAGED} WHERE {DELETED} IS NOT TRUE QUALIFY {newest}"
    applied = _merge_live(con, target, live)
    if not first(con, f"SELECT 1 FROM {STAGED} WHERE {DELETED} LIMIT 1"):
        return applied
    # After the live rows, so that a record that came and went within one merge keeps its values, as in two merges.
    gone = f"SELECT * FROM (SELECT * FROM {STAGED} QUALIFY {newest}) WHERE {DELETED}"
    return Changes(applied.inserted, applied.updated, _merge_tombstones(con, target, gone))


def _merge_live(con: duckdb.DuckDBPyConnection, target: Target, source: str) -> Changes:
    written = _written(con, target)
    updates = ", ".join(f"{quote(name)} = {_value(name)}" for name in written if name not in target.key)
    actions = con.execute(
        f"""MERGE INTO {qualified(con, target)} AS t USING ({source}) AS s ON {_same_key(target)}
            WHEN MATCHED AND {_not_older(target)} THEN UPDATE SET {updates}
            WHEN NOT MATCHED THEN INSERT ({_list(written)}) VALUES ({", ".join(_value(name) for name in written)})
            RETURNING merge_action""",
    )
    done = _counts(actions)
    return Changes(inserted=done.get("INSERT", 0), updated=done.get("UPDATE", 0))


def _merge_tombstones(con: duckdb.DuckDBPyConnection, target: Target, source: str) -> int:
    """Mark rows as deleted; an unknown key gets a row of its own, so that a late older version cannot bring it back."""
    when = _deleted_at(target)
    changed = {DELETED_AT: when, EXTRACTED_AT: f"s.{EXTRACTED_AT}", RUN_ID: f"s.{RUN_ID}"}
    if target.version and target.version not in target.key:
        changed[target.version] = f"s.{quote(target.version)}"
    inserted = {name: f"s.{quote(name)}" for name in target.key} | changed
    actions = con.execute(
        f"""MERGE INTO {qualified(con, target)} AS t USING ({source}) AS s ON {_same_key(target)}
            WHEN MATCHED AND {_not_older(target)} THEN UPDATE SET {", ".join(f"{quote(n)} = {v}" for n, v in changed.items())}
            WHEN NOT MATCHED THEN INSERT ({_list(list(inserted))}) VALUES ({", ".join(inserted.values())})
            RETURNING merge_action""",
    )
    return sum(_counts(actions).values())


def append(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Add the staged rows; with a key, only those whose key and version are not there yet, each once."""
    written = _written(con, target)
    chosen = f"SELECT * FROM {STAGED} s"
    if target.key:
        identity = [*target.key, *([target.version] if target.version and target.version not in target.key else [])]
        same = " AND ".join(f"t.{quote(name)} IS NOT DISTINCT FROM s.{quote(name)}" for name in identity)
        chosen += f" WHERE NOT EXISTS (SELECT 1 FROM {qualified(con, target)} t WHERE {same})"
        chosen += f" QUALIFY row_number() OVER (PARTITION BY {_list(identity)} ORDER BY {ARRIVAL}) = 1"
    values = ", ".join(_value(name, target) for name in written)
    into = f"INSERT INTO {qualified(con, target)} ({_list(written)})"
    found = first(con, f"{into} SELECT {values} FROM ({chosen}) s ORDER BY {ARRIVAL}")
    return Changes(inserted=found[0] if found else 0)


def replace_all(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Put the staged rows in place of the table's."""
    gone = first(con, f"DELETE FROM {qualified(con, target)}")
    keyless = append(con, target)
    return Changes(inserted=keyless.inserted, deleted=gone[0] if gone else 0)


def rebuild(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Merge the staged rows into the emptied table: what was deleted from the lake must not live on in it."""
    gone = first(con, f"DELETE FROM {qualified(con, target)}")
    merged = merge(con, target)
    return Changes(merged.inserted, merged.updated, gone[0] if gone else 0)


def keep_pull(con: duckdb.DuckDBPyConnection, pulled_at: datetime) -> None:
    """Leave only the rows of one pull staged: a lake of full snapshots, of which the last one counts."""
    con.execute(f"DELETE FROM {STAGED} WHERE {EXTRACTED_AT} IS DISTINCT FROM ?", [pulled_at])


def _counts(actions: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts: dict[str, int] = {}
    while block := actions.fetchmany(10_000):
        for (action,) in block:
            counts[action] = counts.get(action, 0) + 1
    return counts


def _written(con: duckdb.DuckDBPyConnection, target: Target) -> list[str]:
    """The table's columns that a row sets; a column gone from the contract stays null."""
    given = {*target.contract_schema.names, EXTRACTED_AT, RUN_ID, DELETED_AT}
    return [name for name in columns(con, target) if name in given]


def _value(name: str, target: Target | None = None) -> str:
    if name != DELETED_AT:
        return f"s.{quote(name)}"
    return f"CASE WHEN s.{DELETED} THEN {_deleted_at(target)} END" if target else "NULL"


def _deleted_at(target: Target) -> str:
    timed = target.version and pa.types.is_timestamp(target.contract_schema.field(target.version).type)
    return f"CAST(s.{quote(target.version)} AS TIMESTAMPTZ)" if target.version and timed else f"s.{EXTRACTED_AT}"


def _newest_first(target: Target) -> str:
    version = f"{quote(target.version)} DESC NULLS LAST, " if target.version else ""
    return f"{version}{EXTRACTED_AT} DESC NULLS LAST, {ARRIVAL} DESC"


def _not_older(target: Target) -> str:
    """Whether the staged row `s` may overwrite the table's row `t`."""
    as_new = f"(t.{EXTRACTED_AT} IS NULL OR s.{EXTRACTED_AT} >= t.{EXTRACTED_AT})"
    if not target.version:
        return as_new
    s, t = f"s.{quote(target.version)}", f"t.{quote(target.version)}"
    return f"({s} > {t} OR ({s} IS NOT NULL AND {t} IS NULL) OR ({s} IS NOT DISTINCT FROM {t} AND {as_new}))"


def _same_key(target: Target) -> str:
    return " AND ".join(f"t.{quote(name)} = s.{quote(name)}" for name in target.key)


def _list(names: Sequence[str]) -> str:
    return ", ".join(quote(name) for name in names)
