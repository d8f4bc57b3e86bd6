"""What the SQL of a merge on BigQuery is put together from: staged rows that count, a key's rows, the days they are in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC

import pyarrow as pa
from google.cloud.bigquery import SchemaField

from integration_assets.land.bigquery_tables import Names, partition_column, quote
from integration_assets.land.bigquery_types import spelled
from integration_assets.land.merging import Plan
from integration_assets.land.warehouse import DELETED, DELETED_AT, EXTRACTED_AT, SWEPT_AT, Target

# Aliases and variables begin with an underscore, as no column of a contract does: a column would hide them.


@dataclass(frozen=True)
class Merge:
    """What the SQL speaks of: the target, its columns as they are in the table, and the staged rows' table, None for no rows."""

    names: Names
    target: Target
    columns: Mapping[str, SchemaField]
    plan: Plan
    staged: str | None
    partition: str

    @property
    def table(self) -> str:
        """The stream's table as SQL takes it."""
        return quote(self.names.table(self.target))

    @property
    def gone_table(self) -> str:
        """A history's tombstones."""
        return quote(self.names.gone(self.target))

    @property
    def source(self) -> str:
        """The staged rows that count."""
        name = quote(self.staged or "")
        if not self.plan.pulled_at:
            return name
        moment = self.plan.pulled_at.astimezone(UTC).isoformat(sep=" ")
        return f"(SELECT * FROM {name} WHERE {EXTRACTED_AT} = TIMESTAMP '{moment}')"


def newest(merge: Merge, where: str, of: Iterable[str], by: Iterable[str]) -> str:
    """The newest staged row of those with the same `of`: by the greatest `by`, then the later pull, then the row's text."""
    order = ", ".join([*(f"_s.{quote(name)} DESC NULLS LAST" for name in by), f"_s.{EXTRACTED_AT} DESC NULLS LAST"])
    names = ", ".join(f"_s.{quote(name)}" for name in of)
    ranked = f"ROW_NUMBER() OVER (PARTITION BY {names} ORDER BY {order}, TO_JSON_STRING(_s) DESC)"
    return f"SELECT _s.* FROM {merge.source} AS _s WHERE {where} QUALIFY {ranked} = 1"


def same_key(merge: Merge, *, pruned: bool) -> str:
    """Whether the staged row `_s` and the table's row `_t` are of one record."""
    return " AND ".join(f"_t.{quote(name)} = _s.{quote(name)}" for name in merge.target.key) + pruning(merge, pruned=pruned)


def same(target: Target, name: str) -> str:
    """Equality of one column. A key has no nulls, and only `=` lets BigQuery join by hash instead of row by row."""
    s, t = f"_s.{quote(name)}", f"_t.{quote(name)}"
    return f"{t} = {s}" if name in target.key else f"({t} = {s} OR ({t} IS NULL AND {s} IS NULL))"


def touched_days(merge: Merge) -> str:
    """Where the table's rows with staged keys are; of the table this reads the key and the partition column alone."""
    by = quote(partition_column(merge.target) or "")
    return f"SELECT _t.{by} AS moment FROM {merge.table} AS _t WHERE {is_staged(merge)}"


def is_staged(merge: Merge) -> str:
    """Whether the key of the row `_t` is staged."""
    return f"EXISTS (SELECT 1 FROM {quote(merge.staged or '')} AS _s WHERE {same_key(merge, pruned=False)})"


def versions_days(merge: Merge) -> str:
    """Where the rows with staged keys and versions are: in the staged rows' own days, if the version makes the partition."""
    by = partition_column(merge.target)
    own = by is not None and by in {*merge.target.key, merge.target.version}
    return f"SELECT _s.{quote(by or '')} AS moment FROM {merge.source} AS _s" if own else touched_days(merge)


def find_days(merge: Merge, moments: str) -> str:
    """Set `_days` to the days of the `moment` that the query `moments` selects; nothing for a table without partitions."""
    by = partition_column(merge.target)
    if not by:
        return ""
    return f"SET _days = ARRAY(SELECT DISTINCT {day(merge, by, 'm.moment')} FROM ({moments}) AS m WHERE m.moment IS NOT NULL);"


def pruning(merge: Merge, *, pruned: bool) -> str:
    """The condition that keeps BigQuery to the days in `_days`, and to the rows without one."""
    by = partition_column(merge.target)
    if not (by and pruned):
        return ""
    column = f"_t.{quote(by)}"
    null = "" if by in merge.target.key else f"{column} IS NULL OR "
    return f" AND ({null}{day(merge, by, column)} IN UNNEST(_days))"


def day_type(merge: Merge) -> str:
    """The type of `_days`' elements."""
    by = partition_column(merge.target)
    return spelled(merge.columns[by]) if by else "DATE"


def day(merge: Merge, by: str, expression: str) -> str:
    """The partition in which a value of the column `by` lies."""
    return f"{spelled(merge.columns[by])}_TRUNC({expression}, {merge.partition})"


def value(merge: Merge, name: str, *, tombstones: bool = False) -> str:
    """What the staged row `_s` puts into a column. `tombstones`: it may be one."""
    if name == DELETED_AT:
        return f"IF(_s.{DELETED}, {deleted_at(merge)}, NULL)" if tombstones else "CAST(NULL AS TIMESTAMP)"
    column = f"_s.{quote(name)}"
    # A number that no FLOAT64 holds exactly is rounded in the table; the lake has its digits.
    return f"PARSE_JSON({column}, wide_number_mode => 'round')" if name in merge.target.json else column


def deleted_when(target: Target, version: str, pulled: str) -> str:
    """When a tombstone says that its record went: its version where that is a time, else when it was pulled."""
    timed = target.version and pa.types.is_timestamp(target.contract_schema.field(target.version).type)
    return f"CAST({version} AS TIMESTAMP)" if timed else pulled


def deleted_at(merge: Merge) -> str:
    """The same of the staged row `_s`; what a sweep found went when the sweep began."""
    said = deleted_when(merge.target, f"_s.{quote(merge.target.version or EXTRACTED_AT)}", f"_s.{EXTRACTED_AT}")
    return f"COALESCE(_s.{SWEPT_AT}, {said})" if SWEPT_AT in merge.plan.schema.names else said


def listed(names: Iterable[str]) -> str:
    """Names as SQL lists them."""
    return ", ".join(quote(name) for name in names)
