"""The SQL of a history on BigQuery; what it means is said in `duckdb_history.py`, which does the same.

What it scans. The versions that came are looked for in their own days, where the version is the partition. Then the ranges of the
staged keys are worked out, from the keys, versions and ranges of the whole table and no other column; and only the
days of the rows whose range changed are written again.
"""

from __future__ import annotations

from integration_assets.land.bigquery_parts import (
    Merge,
    deleted_when,
    find_days,
    is_staged,
    listed,
    newest,
    pruning,
    same_key,
    value,
    versions_days,
)
from integration_assets.land.bigquery_tables import partition_column, quote
from integration_assets.land.warehouse import (
    DELETED,
    DELETED_AT,
    EXTRACTED_AT,
    IS_CURRENT,
    RUN_ID,
    VALID_FROM,
    VALID_TO,
    moment,
)

_HISTORY = """
{forget}
{find_versions}
{live};
SET touched = @@row_count;
SET inserted = (SELECT COUNT(*) FROM {table}) - rows_before;
SET updated = touched - inserted;
IF EXISTS (SELECT 1 FROM {staged} WHERE {deleted_flag}) THEN
{remember};
END IF;
CREATE TEMP TABLE _ranges AS {ranges};
SET deleted = (SELECT COUNT(*) FROM _ranges WHERE _deleted IS NOT NULL AND NOT _was_deleted);
{find_changed}
{mend};
"""


def merge_history(merge: Merge) -> str:
    """Put each staged version into its place and mend the ranges of its neighbours; only keys that are staged are touched."""
    return _HISTORY.format(
        # A table that was dropped is built from the snapshot, and so are its tombstones.
        forget=f"IF rows_before = 0 THEN DELETE FROM {merge.gone_table} WHERE TRUE; END IF;" if merge.plan.snapshot else "",
        find_versions=find_days(merge, versions_days(merge)),
        live=live_versions(merge, pruned=True),
        table=merge.table,
        staged=quote(merge.staged or ""),
        deleted_flag=DELETED,
        remember=_remember(merge),
        ranges=_ranges(merge),
        find_changed=find_days(merge, "SELECT _moment AS moment FROM _ranges"),
        mend=_mend(merge),
    )


def live_versions(merge: Merge, *, pruned: bool) -> str:
    """Each staged version that is not there yet, or was pulled later than the one that is."""
    place = f"_s.{quote(moment(merge.target))}"
    values = {name: value(merge, name) for name in (*merge.target.contract_schema.names, EXTRACTED_AT, RUN_ID)}
    updates = ", ".join(f"{quote(name)} = {given}" for name, given in values.items() if name not in merge.target.key)
    inserted = values | {VALID_FROM: place, IS_CURRENT: "TRUE"}
    return f"""MERGE INTO {merge.table} AS _t USING ({_newest(merge, f"{DELETED} IS NOT TRUE")}) AS _s
ON {same_key(merge, pruned=pruned)} AND {_same_place("_t", f"_s.{quote(moment(merge.target))}")}
WHEN MATCHED AND {_NOT_OLDER} THEN UPDATE SET {updates}
WHEN NOT MATCHED THEN INSERT ({listed(inserted)}) VALUES ({", ".join(inserted.values())})"""


def wrong_histories(key: tuple[str, ...], table: str) -> str:
    """`n`: how many keys have more than one current row, a version twice, or ranges that overlap."""
    names = listed(key)
    order = f"PARTITION BY {names} ORDER BY {VALID_FROM}, {VALID_TO}"
    return f"""SELECT COUNT(*) AS n FROM (SELECT {names} FROM (
    SELECT {names}, {VALID_FROM}, {VALID_TO}, {IS_CURRENT}, LEAD({VALID_FROM}) OVER ({order}) AS _next,
           LEAD(1) OVER ({order}) IS NOT NULL AS _more FROM {table})
WHERE _more AND ({IS_CURRENT} IS NOT FALSE OR _next IS NOT DISTINCT FROM {VALID_FROM} OR {VALID_TO} IS NULL OR _next < {VALID_TO})
GROUP BY {names})"""


_NOT_OLDER = f"(_t.{EXTRACTED_AT} IS NULL OR _s.{EXTRACTED_AT} >= _t.{EXTRACTED_AT})"


def _newest(merge: Merge, where: str) -> str:
    return newest(merge, where, (*merge.target.key, moment(merge.target)), ())


def _same_place(table: str, place: str) -> str:
    return f"({table}.{VALID_FROM} = {place} OR ({table}.{VALID_FROM} IS NULL AND {place} IS NULL))"


def _remember(merge: Merge) -> str:
    names = [*merge.target.key, VALID_FROM, EXTRACTED_AT]
    place = f"_s.{quote(moment(merge.target))}"
    values = ", ".join([*(f"_s.{quote(name)}" for name in merge.target.key), place, f"_s.{EXTRACTED_AT}"])
    return f"""MERGE INTO {merge.gone_table} AS _t USING ({_newest(merge, DELETED)}) AS _s
ON {same_key(merge, pruned=False)} AND {_same_place("_t", place)}
WHEN MATCHED AND {_NOT_OLDER} THEN UPDATE SET {EXTRACTED_AT} = _s.{EXTRACTED_AT}
WHEN NOT MATCHED THEN INSERT ({listed(names)}) VALUES ({values})"""


def _mend(merge: Merge) -> str:
    same = " AND ".join(f"_t.{quote(name)} = _r.{quote(name)}" for name in merge.target.key)
    return f"""UPDATE {merge.table} AS _t SET {VALID_TO} = _r._to, {IS_CURRENT} = _r._current, {DELETED_AT} = _r._deleted
FROM _ranges AS _r WHERE {same} AND {_same_place("_t", "_r._at")}{pruning(merge, pruned=True)}"""


def _ranges(merge: Merge) -> str:
    """Of the rows with staged keys those whose range is another now: key, place, range, whether a deletion ended it before."""
    target, by = merge.target, partition_column(merge.target)
    key = ", ".join(quote(name) for name in target.key)
    order = f"PARTITION BY {key} ORDER BY _at, _gone"
    where = f"_t.{quote(by)}" if by else "NULL"
    return f"""
WITH _seen AS (
    SELECT {key}, {VALID_FROM} AS _at, FALSE AS _gone, {EXTRACTED_AT} AS _pulled, {where} AS _moment,
           {VALID_TO} AS _old_to, {IS_CURRENT} AS _old_current, {DELETED_AT} AS _old_deleted
    FROM {merge.table} AS _t WHERE {is_staged(merge)}
    UNION ALL
    SELECT {key}, {VALID_FROM}, TRUE, {EXTRACTED_AT}, NULL, NULL, NULL, NULL
    FROM {merge.gone_table} AS _t WHERE {is_staged(merge)}
), _counting AS (
    SELECT *, LAG(_at) OVER ({order}) AS _last_at, LAG(_gone) OVER ({order}) AS _last_gone,
           LAG(_pulled) OVER ({order}) AS _last_pulled
    FROM _seen
), _following AS (
    SELECT *, LEAD(_at) OVER ({order}) AS _to, LEAD(_gone) OVER ({order}) AS _ends, LEAD(_pulled) OVER ({order}) AS _ended
    FROM _counting
    -- A live row of the same version that was pulled later makes a tombstone void.
    WHERE (_gone AND NOT _last_gone AND _last_at IS NOT DISTINCT FROM _at AND _last_pulled > _pulled) IS NOT TRUE
), _ranged AS (
    SELECT {key}, _at, _moment, _to, _ends IS NULL AS _current,
           IF(_ends, {deleted_when(target, "_to", "_ended")}, NULL) AS _deleted, _old_to, _old_current, _old_deleted
    FROM _following WHERE NOT _gone
)
SELECT {key}, _at, _moment, _to, _current, _deleted, _old_deleted IS NOT NULL AS _was_deleted FROM _ranged
WHERE _to IS DISTINCT FROM _old_to OR _current IS DISTINCT FROM _old_current OR _deleted IS DISTINCT FROM _old_deleted"""
