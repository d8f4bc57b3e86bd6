"""A list of keys held against a BigQuery table, as SQL. It reads key, version, cursor and the technical columns of all rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from integration_assets.land.bigquery_parts import listed
from integration_assets.land.bigquery_tables import quote
from integration_assets.land.warehouse import DELETED, DELETED_AT, EXTRACTED_AT, Target


@dataclass(frozen=True)
class Comparison:
    """The statements of one comparison. `touched` is None where no key is to be left alone; `tenant` is a column or None.

    Where there is a tenant, each statement takes its value as the parameter `tenant`.
    """

    target: Target
    table: str
    listed: str
    touched: str | None
    carried: tuple[str, ...]
    tenant: str | None

    @property
    def counts(self) -> str:
        """One row: `listed`, `there` (those not flagged as gone), `live`, `unlisted`, `returned`, `unknown`."""
        key = listed(self.target.key)
        there = f"_l.{DELETED} IS NOT TRUE"
        return f"""SELECT
    (SELECT COUNT(*) FROM (SELECT DISTINCT {key} FROM {self.listed})) AS listed,
    (SELECT COUNT(*) FROM (SELECT DISTINCT {key} FROM {self.listed} AS _l WHERE {there})) AS there,
    (SELECT COUNT(*) FROM {self.table} AS _t WHERE {DELETED_AT} IS NULL{self._whose}) AS live,
    (SELECT COUNT(*) FROM ({self.gone})) AS unlisted,
    (SELECT COUNT(*) FROM ({self.back})) AS returned,
    (SELECT COUNT(*) FROM (SELECT DISTINCT {key} FROM {self.listed} AS _l WHERE {there}
        AND NOT EXISTS (SELECT 1 FROM {self.table} AS _t WHERE {self._same("_l", "_t")}))) AS unknown"""

    @property
    def gone(self) -> str:
        """The live rows that the list does not have."""
        return f"""SELECT {self._of_row(self.carried)} FROM {self.table} AS _t WHERE {DELETED_AT} IS NULL{self._whose}
    AND NOT {self._there} AND {self._untouched}"""

    @property
    def back(self) -> str:
        """The deleted rows that the list has."""
        return f"""SELECT {self._of_row(self.target.key)} FROM {self.table} AS _t WHERE {DELETED_AT} IS NOT NULL{self._whose}
    AND {self._there} AND {self._untouched}"""

    @property
    def _there(self) -> str:
        return f"EXISTS (SELECT 1 FROM {self.listed} AS _l WHERE {self._same('_l', '_t')} AND _l.{DELETED} IS NOT TRUE)"

    @property
    def _untouched(self) -> str:
        if self.touched is None:
            return "TRUE"
        return f"NOT EXISTS (SELECT 1 FROM {self.touched} AS _n WHERE {self._same('_n', '_t')})"

    @property
    def _whose(self) -> str:
        return f" AND _t.{quote(self.tenant)} = @tenant" if self.tenant else ""

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.{quote(name)} = {other}.{quote(name)}" for name in self.target.key)

    def _of_row(self, names: Iterable[str]) -> str:
        return ", ".join([*(f"_t.{quote(name)}" for name in names), f"_t.{EXTRACTED_AT}"])
