"""Every test here runs twice: a local lake with DuckDB, a lake on `gs://` with BigQuery.

A merge on the emulated BigQuery takes a second of CPU. What another test here proves of it as well runs there only when
INTEGRATION_SOAK is set: such tests are marked with `bigquery_in_soak`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integration_assets.land.duckdb import DuckDBWarehouse
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.land.warehouse import Target, Warehouse

SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
bigquery_in_soak = pytest.mark.parametrize("pair", ["duckdb", *(["bigquery"] if SOAK else [])], indirect=True)


def pairs_with(name: str, on_both: Sequence[object], in_soak: Sequence[object]) -> pytest.MarkDecorator:
    """Parametrize a test by `name`, the values `in_soak` on BigQuery only when INTEGRATION_SOAK is set."""
    cases = [(pair, value) for value in on_both for pair in ("duckdb", "bigquery")]
    cases += [(pair, value) for value in in_soak for pair in ("duckdb", *(("bigquery",) if SOAK else ()))]
    return pytest.mark.parametrize(("pair", name), cases, indirect=["pair"])


@dataclass(frozen=True)
class Pair:
    """A lake and a warehouse that merges from it."""

    lake: Lake
    warehouse: Warehouse

    def table(self, stream: str = "orders") -> LakeTable:
        """The lake's table of a stream of `shop`."""
        return self.lake.table("shop", stream)

    def rows(self, target: Target, suffix: str = "") -> list[dict[str, Any]]:
        """The warehouse's rows by id, as plain values; `suffix` names a view beside the table."""
        with self.warehouse.held():
            name = self.warehouse.table_name(target)
            name = name[:-1] + suffix + name[-1]
            found = self.warehouse.query(f"SELECT * FROM {name} ORDER BY 1").to_pylist()
        return [{key: _utc(value) for key, value in row.items()} for row in found]

    def state(self, target: Target, *columns: str) -> dict[str, tuple[Any, ...]]:
        """`columns` of each row by its id."""
        return {row["id"]: tuple(row[name] for name in columns) for row in self.rows(target)}


def _utc(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value


@pytest.fixture(params=["duckdb", "bigquery"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """The pair under test."""
    if request.param == "duckdb":
        return Pair(Lake(str(tmp_path / "lake")), DuckDBWarehouse(str(tmp_path / "warehouse.duckdb"), wait_seconds=60))
    return Pair(request.getfixturevalue("gcs_lake"), request.getfixturevalue("bigquery_warehouse"))
