"""The SQL of a merge on BigQuery: staged lake rows into a table, in one transaction with what is remembered of it.

What a merge scans. A key's old row may lie in any partition, because a record's version moves it, so the days to touch are
looked up first: that reads the key and the partition column of the whole table and nothing else. The MERGE then names those
days, which prunes both what it reads and what it writes again: all columns, but of those days only. An append looks for
versions that are there already, which can only lie in the staged rows' own days. Where records change that are scattered
over all days, all days are rewritten; partitioning by a column that never changes (`Target.partition_by`) does not help
that, clustering by the key does for keys that grow with time.

Which of several versions is the newest: the greater version, then the later extraction. DuckDB breaks what ties are left
by order of arrival; BigQuery knows no order of rows, so the row's text decides, the same in every repetition.
"""

from __future__ import annotations

from integration_assets.land.bigquery_history import live_versions, merge_history
from integration_assets.land.bigquery_parts import (
    Merge,
    day_type,
    deleted_at,
    find_days,
    listed,
    newest,
    pruning,
    same,
    same_key,
    touched_days,
    value,
    versions_days,
)
from integration_assets.land.bigquery_tables import partition_column, quote
from integration_assets.land.warehouse import DELETED, DELETED_AT, EXTRACTED_AT, RUN_ID, Target

MOVED = "another merge of this stream was first"

_SCRIPT = """
DECLARE _days ARRAY<{day_type}>;
DECLARE rows_before, emptied, touched, inserted, updated, deleted, rows_total INT64 DEFAULT 0;
BEGIN TRANSACTION;
UPDATE {merged} SET lake = @lake, lake_version = @version
WHERE lake IS NOT DISTINCT FROM @lake_before AND lake_version IS NOT DISTINCT FROM @version_before;
IF @@row_count != 1 THEN RAISE USING MESSAGE = '{moved}'; END IF;
SET rows_before = (SELECT COUNT(*) FROM {table});
{work}
SET rows_total = (SELECT COUNT(*) FROM {table});
INSERT INTO {ledger} (source, stream, lake_version, merged_at, run_id, rows_read, inserted, updated, deleted, lake)
VALUES (@source, @stream, @version, CURRENT_TIMESTAMP(), @run_id, @rows_read, inserted, updated, deleted, @lake);
COMMIT TRANSACTION;
SELECT inserted, updated, deleted, rows_total;
"""

_MERGE = """
{find_days}
{live};
SET touched = @@row_count;
SET inserted = (SELECT COUNT(*) FROM {table}) - rows_before;
SET updated = touched - inserted;
IF EXISTS (SELECT 1 FROM {staged} WHERE {deleted_flag}) THEN
{find_days}
{gone};
SET deleted = @@row_count;
END IF;
"""


def script(merge: Merge) -> str:
    """The whole merge. Parameters: lake, version, lake_before, version_before, source, stream, run_id, rows_read."""
    work = {"merge": _merge, "append": _append, "replace": _replace, "history": merge_history, "rebuild": _rebuild}
    return _SCRIPT.format(
        day_type=day_type(merge),
        merged=quote(merge.names.merged(merge.target.source, merge.target.stream)),
        moved=MOVED,
        table=merge.table,
        ledger=quote(merge.names.ledger),
        work=work[merge.plan.action](merge) if merge.plan.action else "",
    )


def unpruned(merge: Merge) -> str | None:
    """The statement that a dry run can price before the days are known: the most that the merge may scan."""
    if merge.staged is None or merge.plan.action is None:
        return None
    if merge.target.disposition == "history":
        return live_versions(merge, pruned=False)
    if merge.plan.action in {"merge", "rebuild"}:
        return _live(merge, pruned=False)
    return _new(merge, pruned=False) if merge.plan.action == "append" else _snapshot(merge)


def _merge(merge: Merge) -> str:
    return _MERGE.format(
        find_days=find_days(merge, touched_days(merge)),
        live=_live(merge, pruned=True),
        gone=_gone(merge),
        table=merge.table,
        staged=quote(merge.staged or ""),
        deleted_flag=DELETED,
    )


def _append(merge: Merge) -> str:
    find = find_days(merge, versions_days(merge)) if merge.target.key else ""
    return f"{find}\n{_new(merge, pruned=True)};\nSET inserted = @@row_count;"


def _new(merge: Merge, *, pruned: bool) -> str:
    """Add the staged rows; with a key, each version once and only those that are not there yet."""
    chosen, names = f"SELECT _s.* FROM {merge.source} AS _s", _versioned(merge.target)
    if names:
        there = " AND ".join(same(merge.target, name) for name in names)
        chosen += f" WHERE NOT EXISTS (SELECT 1 FROM {merge.table} AS _t WHERE {there}{pruning(merge, pruned=pruned)})"
        order = f"_s.{EXTRACTED_AT}, TO_JSON_STRING(_s)"
        chosen += f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {', '.join('_s.' + quote(n) for n in names)} ORDER BY {order}) = 1"
    return _insert(merge, chosen)


def _replace(merge: Merge) -> str:
    emptied = f"DELETE FROM {merge.table} WHERE TRUE;\nSET deleted = @@row_count;"
    if merge.staged is None:
        return emptied
    return f"{emptied}\n{_snapshot(merge)};\nSET inserted = @@row_count;"


def _snapshot(merge: Merge) -> str:
    """Add the staged rows, of each key the newest: a list that moved while it was read may show a record twice."""
    every = f"SELECT _s.* FROM {merge.source} AS _s"
    return _insert(merge, newest(merge, "TRUE", merge.target.key, _by(merge.target)) if merge.target.key else every)


def _rebuild(merge: Merge) -> str:
    """Merge the staged rows into the emptied table: what was deleted from the lake must not live on in it."""
    emptied = f"DELETE FROM {merge.table} WHERE TRUE;\nSET emptied = @@row_count;\nSET rows_before = 0;"
    history = merge.target.disposition == "history"
    if history:
        emptied += f"\nDELETE FROM {merge.gone_table} WHERE TRUE;"
    merged = (merge_history if history else _merge)(merge) if merge.staged else ""
    return f"{emptied}\n{merged}\nSET deleted = emptied;"


def _live(merge: Merge, *, pruned: bool) -> str:
    """Each key's newest live version, unless the table has a newer one."""
    written = _written(merge)
    updates = ", ".join(f"{quote(name)} = {value(merge, name)}" for name in written if name not in merge.target.key)
    source = newest(merge, f"{DELETED} IS NOT TRUE", merge.target.key, _by(merge.target))
    return f"""MERGE INTO {merge.table} AS _t USING ({source}) AS _s ON {same_key(merge, pruned=pruned)}
WHEN MATCHED AND {_not_older(merge.target)} THEN UPDATE SET {updates}
WHEN NOT MATCHED THEN INSERT ({listed(written)}) VALUES ({", ".join(value(merge, name) for name in written)})"""


def _gone(merge: Merge) -> str:
    """Mark rows as deleted; an unknown key gets a row of its own, so that a late older version cannot bring it back.

    After the live rows, so that a record that came and went within one merge keeps its values, as in two merges.
    """
    target = merge.target
    changed = {DELETED_AT: deleted_at(merge), EXTRACTED_AT: f"_s.{EXTRACTED_AT}", RUN_ID: f"_s.{RUN_ID}"}
    if target.version and target.version not in target.key:
        changed[target.version] = f"_s.{quote(target.version)}"
    inserted = {name: f"_s.{quote(name)}" for name in target.key} | changed
    by = partition_column(target)
    if by and by not in inserted:
        inserted[by] = f"_s.{quote(by)}"
    source = f"SELECT * FROM ({newest(merge, 'TRUE', target.key, _by(target))}) WHERE {DELETED}"
    return f"""MERGE INTO {merge.table} AS _t USING ({source}) AS _s ON {same_key(merge, pruned=True)}
WHEN MATCHED AND {_not_older(target)} THEN UPDATE SET {", ".join(f"{quote(n)} = {v}" for n, v in changed.items())}
WHEN NOT MATCHED THEN INSERT ({listed(list(inserted))}) VALUES ({", ".join(inserted.values())})"""


def _insert(merge: Merge, chosen: str) -> str:
    """Add the staged rows that `chosen` selects."""
    written = _written(merge)
    values = ", ".join(value(merge, name, tombstones=True) for name in written)
    return f"INSERT INTO {merge.table} ({listed(written)}) SELECT {values} FROM ({chosen}) AS _s"


def _by(target: Target) -> tuple[str, ...]:
    return (target.version,) if target.version else ()


def _versioned(target: Target) -> tuple[str, ...]:
    """The columns that name one version of a record; none without a key."""
    both = (*target.key, target.version) if target.version and target.version not in target.key else target.key
    return both if target.key else ()


def _not_older(target: Target) -> str:
    """Whether the staged row `_s` may overwrite the table's row `_t`."""
    as_new = f"(_t.{EXTRACTED_AT} IS NULL OR _s.{EXTRACTED_AT} >= _t.{EXTRACTED_AT})"
    if not target.version:
        return as_new
    s, t = f"_s.{quote(target.version)}", f"_t.{quote(target.version)}"
    return f"({s} > {t} OR ({s} IS NOT NULL AND {t} IS NULL) OR ({s} IS NOT DISTINCT FROM {t} AND {as_new}))"


def _written(merge: Merge) -> list[str]:
    """The table's columns that a row sets; a column gone from the contract stays null."""
    given = {*merge.target.contract_schema.names, EXTRACTED_AT, RUN_ID, DELETED_AT}
    return [name for name in merge.columns if name in given]
