"""A list of keys held against a BigQuery table, as SQL. It reads key, version, cursor and the technical columns of all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.cloud.bigquery import Client

from integration_assets.land.bigquery_jobs import job_name, load
from integration_assets.land.bigquery_parts import listed
from integration_assets.land.bigquery_tables import Names, label, quote
from integration_assets.land.bigquery_types import column
from integration_assets.land.sweeping import Differences, Lists, list_schema
from integration_assets.land.warehouse import DELETED, DELETED_AT, EXTRACTED_AT, Target

if TYPE_CHECKING:
    from google.cloud.bigquery.table import RowIterator, _EmptyRowIterator

    from integration_assets.land.lake import LakeTable


@dataclass(frozen=True)
class Comparison:
    """The statements of one comparison of `table` with the staged tables `listed` and `touched`, None for no keys.

    They take the parameters `tenant` and `until`, where the lists have such.
    """

    target: Target
    table: str
    listed: str | None
    touched: str | None
    lists: Lists

    @property
    def counts(self) -> str:
        """One row: `listed`, `there` (those not flagged as gone), `live`, `unlisted`, `returned`, `unknown`."""
        key = listed(self.target.key)
        there = f"_l.{DELETED} IS NOT TRUE"
        return f"""SELECT
    (SELECT COUNT(*) FROM (SELECT DISTINCT {key} FROM {quote(self.listed or "")})) AS listed,
    (SELECT COUNT(*) FROM (SELECT DISTINCT {key} FROM {quote(self.listed or "")} AS _l WHERE {there})) AS there,
    (SELECT COUNT(*) FROM {self.table} AS _t WHERE {DELETED_AT} IS NULL{self._whose}) AS live,
    (SELECT COUNT(*) FROM ({self.gone})) AS unlisted,
    (SELECT COUNT(*) FROM ({self.back})) AS returned,
    (SELECT COUNT(*) FROM (SELECT DISTINCT {key} FROM {quote(self.listed or "")} AS _l WHERE {there}
        AND NOT EXISTS (SELECT 1 FROM {self.table} AS _t WHERE {self._same("_l", "_t")}))) AS unknown"""

    @property
    def gone(self) -> str:
        """The live rows that the list does not have."""
        return f"""SELECT {self._of_row(self.lists.carried)} FROM {self.table} AS _t WHERE {DELETED_AT} IS NULL{self._whose}
    AND NOT {self._there} AND {self._untouched}{self._old}"""

    @property
    def back(self) -> str:
        """The deleted rows that the list has."""
        return f"""SELECT {self._of_row(self.target.key)} FROM {self.table} AS _t WHERE {DELETED_AT} IS NOT NULL{self._whose}
    AND {self._there} AND {self._untouched}"""

    @property
    def _there(self) -> str:
        return (
            f"EXISTS (SELECT 1 FROM {quote(self.listed or '')} AS _l WHERE {self._same('_l', '_t')} AND _l.{DELETED} IS NOT TRUE)"
        )

    @property
    def _untouched(self) -> str:
        if self.touched is None:
            return "TRUE"
        return f"NOT EXISTS (SELECT 1 FROM {quote(self.touched)} AS _n WHERE {self._same('_n', '_t')})"

    @property
    def _old(self) -> str:
        if self.lists.until is None or self.target.version is None:
            return ""
        version = f"_t.{quote(self.target.version)}"
        return f" AND ({version} IS NULL OR {version} <= @until)"

    @property
    def _whose(self) -> str:
        return f" AND _t.{quote(self.lists.tenant[0])} = @tenant" if self.lists.tenant else ""

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.{quote(name)} = {other}.{quote(name)}" for name in self.target.key)

    def _of_row(self, names: Iterable[str]) -> str:
        return ", ".join([*(f"_t.{quote(name)}" for name in names), f"_t.{EXTRACTED_AT}"])


def stage_keys(
    client: Client, names: Names, target: Target, lake_table: LakeTable, uris: Sequence[str], wait: float
) -> str | None:
    """Load staged keys into a table of their own; its name, None where there are none."""
    if not uris:
        return None
    parts = [part for part in (names.prefix, target.source, target.stream, "sweep") if part]
    name = job_name(parts, *uris)
    labels = {"source": label(target.source), "stream": label(target.stream)}
    columns = [column(field) for field in list_schema(lake_table.schema(), target.key)]
    load(client, names, name, uris, columns, labels, wait)
    return f"{names.staging}.{name}"


def differences(sql: Comparison, rows: Callable[[str], RowIterator | _EmptyRowIterator]) -> Differences:
    """Run the comparison. `rows` runs a statement."""
    if sql.listed is None:
        return Differences()
    found = next(iter(rows(sql.counts)))
    return Differences(
        listed=found["listed"],
        flagged=found["listed"] - found["there"],
        live=found["live"],
        unlisted=found["unlisted"],
        returned=found["returned"],
        unknown=found["unknown"],
        gone=lambda: iter(rows(sql.gone).to_arrow_iterable()),
        back=lambda: iter(rows(sql.back).to_arrow_iterable()),
    )
