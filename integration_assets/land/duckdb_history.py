"""The SQL of a history: one row a version of a record, each with the range in which it held. All of it repeatable.

What the table has follows from the versions that were seen and from nothing else, neither their order nor how merges split
them. Of several rows of one version the one pulled last counts. A tombstone ends the range of the version before it; one of the
same version as a live row ends that one where it starts, unless the live row was pulled later. Tombstones are remembered
in a table of their own, because a version that comes late may have to be ended by one that came early.
"""

from __future__ import annotations

import duckdb

from integration_assets.land.duckdb_merge import STAGED, any_deleted, choose, deleted_when, listed, newest, put, same_key
from integration_assets.land.duckdb_tables import first, gone_table, qualified, quote
from integration_assets.land.merging import Changes
from integration_assets.land.warehouse import (
    DELETED,
    DELETED_AT,
    EXTRACTED_AT,
    IS_CURRENT,
    RUN_ID,
    VALID_FROM,
    VALID_TO,
    Target,
    moment,
)

_RANGES = "temp.main._ranges"


def merge_history(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Put each staged version into its place and mend the ranges of its neighbours; only keys that are staged are touched."""
    place = quote(moment(target))
    of_version = newest((*target.key, moment(target)), ())
    live = f"SELECT * FROM {STAGED} WHERE {DELETED} IS NOT TRUE QUALIFY {of_version}"
    same = f"{same_key(target)} AND t.{VALID_FROM} IS NOT DISTINCT FROM s.{place}"
    choose(con, target, live, same, f"(t.{EXTRACTED_AT} IS NULL OR s.{EXTRACTED_AT} >= t.{EXTRACTED_AT})")
    names = [*target.contract_schema.names, EXTRACTED_AT, RUN_ID]
    values = {name: f"s.{quote(name)}" for name in names} | {VALID_FROM: f"s.{place}", IS_CURRENT: "true"}
    done = put(con, target, values)
    if any_deleted(con):
        _remember(con, target, f"SELECT * FROM {STAGED} WHERE {DELETED} QUALIFY {of_version}")
    return Changes(done.inserted, done.updated, _mend(con, target))


def rebuild_history(con: duckdb.DuckDBPyConnection, target: Target) -> Changes:
    """Merge the staged rows into the emptied table: what was deleted from the lake must not live on in it."""
    gone = first(con, f"DELETE FROM {qualified(con, target)}")
    con.execute(f"DELETE FROM {gone_table(con, target)}")
    merged = merge_history(con, target)
    return Changes(merged.inserted, merged.updated, gone[0] if gone else 0)


def wrong_histories(con: duckdb.DuckDBPyConnection, target: Target) -> int:
    """How many keys have more than one current row, a version twice, or ranges that overlap."""
    key = listed(target.key)
    found = first(
        con,
        f"""SELECT count(DISTINCT ({key})) FROM (
            SELECT {key}, {VALID_FROM}, {VALID_TO}, {IS_CURRENT}, lead({VALID_FROM}) OVER _one AS _next,
                   lead(1) OVER _one IS NOT NULL AS _more FROM {qualified(con, target)}
            WINDOW _one AS (PARTITION BY {key} ORDER BY {VALID_FROM} NULLS FIRST, {VALID_TO}))
            WHERE _more AND ({IS_CURRENT} IS NOT FALSE OR _next IS NOT DISTINCT FROM {VALID_FROM}
                             OR {VALID_TO} IS NULL OR _next < {VALID_TO})""",
    )
    return int(found[0]) if found else 0


def _remember(con: duckdb.DuckDBPyConnection, target: Target, tombstones: str) -> None:
    names = [*target.key, VALID_FROM, EXTRACTED_AT]
    values = ", ".join([*(f"s.{quote(name)}" for name in target.key), f"s.{quote(moment(target))}", f"s.{EXTRACTED_AT}"])
    same = f"{same_key(target)} AND t.{VALID_FROM} IS NOT DISTINCT FROM s.{quote(moment(target))}"
    con.execute(
        f"""MERGE INTO {gone_table(con, target)} AS t USING ({tombstones}) AS s ON {same}
            WHEN MATCHED AND (t.{EXTRACTED_AT} IS NULL OR s.{EXTRACTED_AT} >= t.{EXTRACTED_AT})
            THEN UPDATE SET {EXTRACTED_AT} = s.{EXTRACTED_AT}
            WHEN NOT MATCHED THEN INSERT ({listed(names)}) VALUES ({values})"""
    )


def _mend(con: duckdb.DuckDBPyConnection, target: Target) -> int:
    """Write the ranges that changed among the staged keys; returns how many rows are ended by a deletion that were not."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE {_RANGES} AS {_ranges(con, target)}")
    con.execute(
        f"""UPDATE {qualified(con, target)} AS t
            SET {VALID_TO} = r._to, {IS_CURRENT} = r._current, {DELETED_AT} = r._deleted
            FROM {_RANGES} r WHERE t.rowid = r._row"""
    )
    found = first(con, f"SELECT count(*) FROM {_RANGES} WHERE _deleted IS NOT NULL AND NOT _was_deleted")
    return int(found[0]) if found else 0


def _ranges(con: duckdb.DuckDBPyConnection, target: Target) -> str:
    """Of the rows with staged keys those whose range is another now: `_row`, the range, whether a deletion ended it before."""
    key, table, gone = listed(target.key), qualified(con, target), gone_table(con, target)
    staged = f"(SELECT DISTINCT {key} FROM {STAGED})"
    order = f"PARTITION BY {key} ORDER BY _at NULLS FIRST, _gone"
    # Every name of ours begins with an underscore, as no column of a contract does: a key may have any other.
    return f"""
        WITH _seen AS (
            SELECT {key}, {VALID_FROM} AS _at, FALSE AS _gone, {EXTRACTED_AT} AS _pulled,
                   rowid AS _row, {VALID_TO} AS _old_to, {IS_CURRENT} AS _old_current, {DELETED_AT} AS _old_deleted
            FROM {table} SEMI JOIN {staged} USING ({key})
            UNION ALL
            SELECT {key}, {VALID_FROM}, TRUE, {EXTRACTED_AT}, NULL, NULL, NULL, NULL FROM {gone} SEMI JOIN {staged} USING ({key})
        ), _counting AS (
            SELECT *, lag(_at) OVER _one AS _last_at, lag(_gone) OVER _one AS _last_gone, lag(_pulled) OVER _one AS _last_pulled
            FROM _seen WINDOW _one AS ({order})
        ), _following AS (
            SELECT *, lead(_at) OVER _one AS _to, lead(_gone) OVER _one AS _ends, lead(_pulled) OVER _one AS _ended
            FROM _counting
            -- A live row of the same version that was pulled later makes a tombstone void.
            WHERE (_gone AND NOT _last_gone AND _last_at IS NOT DISTINCT FROM _at AND _last_pulled > _pulled) IS NOT TRUE
            WINDOW _one AS ({order})
        ), _ranged AS (
            SELECT _row, _to, _ends IS NULL AS _current,
                   CASE WHEN _ends THEN {deleted_when(target, "_to", "_ended")} END AS _deleted,
                   _old_to, _old_current, _old_deleted
            FROM _following WHERE NOT _gone
        )
        SELECT _row, _to, _current, _deleted, _old_deleted IS NOT NULL AS _was_deleted FROM _ranged
        WHERE _to IS DISTINCT FROM _old_to OR _current IS DISTINCT FROM _old_current OR _deleted IS DISTINCT FROM _old_deleted"""
