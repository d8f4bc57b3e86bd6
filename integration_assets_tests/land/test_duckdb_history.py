"""Histories in DuckDB: any order, any split into merges, against the plain definition."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration_assets.errors import WarehouseError
from integration_assets.land.duckdb import DuckDBWarehouse
from integration_assets.land.lake import Lake, LakeTable
from integration_assets_tests.land.helpers import days, land, row
from integration_assets_tests.land.histories import COLUMNS, HISTORY, Seen, seen, truth

one_version = st.builds(seen, st.sampled_from("abc"), st.integers(0, 4), st.integers(100, 102))
commits = st.lists(st.tuples(st.lists(one_version, max_size=8), st.sampled_from(["", "merge", "merge", "compact"])), max_size=5)


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """A stream's lake table."""
    return Lake(str(tmp_path / "lake")).table("shop", "orders")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """A warehouse that is not there yet."""
    return DuckDBWarehouse(str(tmp_path / "warehouse.duckdb"), wait_seconds=60)


def history(warehouse: DuckDBWarehouse) -> list[tuple[object, ...]]:
    """The table's rows by key and version."""
    found = warehouse.query(f"SELECT {', '.join(COLUMNS)} FROM shop.orders ORDER BY id, _valid_from").to_pylist()
    return [tuple(one.values()) for one in found]


@settings(
    max_examples=500 if os.environ.get("INTEGRATION_SOAK") else 8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(commits)
def test_any_split_and_order_gives_the_same_history(
    tmp_path_factory: pytest.TempPathFactory, landed: list[tuple[list[Seen], str]]
) -> None:
    """Versions, corrections and tombstones in any order over any commits and merges end as the plain definition says."""
    folder = tmp_path_factory.mktemp("property")
    table = Lake(str(folder / "lake")).table("shop", "orders")
    warehouse = DuckDBWarehouse(str(folder / "warehouse.duckdb"))
    for versions, then in landed:
        land(table, [one.row() for one in versions], None)
        if then == "compact":
            table.compact()
        if then == "merge":
            warehouse.merge(HISTORY, table, "run")
    warehouse.merge(HISTORY, table, "run")
    if landed:
        assert history(warehouse) == truth([one for versions, _ in landed for one in versions])
        assert warehouse.doubled_keys(HISTORY) == 0


def test_a_dropped_history_is_built_again(table: LakeTable, warehouse: DuckDBWarehouse) -> None:
    """The table comes from the lake with every version, also where it had been a table of another disposition."""
    versions = [seen("a", 1, 101), seen("a", 3, 102), seen("a", 2, 100)]
    for one in versions:
        land(table, [one.row()], None)
        warehouse.merge(HISTORY, table, "run")
    before = history(warehouse)
    assert before == truth(versions)
    for disposition in ("history", "merge"):
        with duckdb.connect(str(warehouse.path)) as other:
            other.execute("DROP TABLE shop.orders")
        warehouse.merge(replace(HISTORY, disposition=disposition), table, "run")
    with pytest.raises(WarehouseError, match="Drop the table"):
        warehouse.doubled_keys(HISTORY)
    with duckdb.connect(str(warehouse.path)) as other:
        other.execute("DROP TABLE shop.orders")
    warehouse.merge(HISTORY, table, "run")
    assert history(warehouse) == before


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE shop.orders SET _is_current = true WHERE id = 'a'",
        "UPDATE shop.orders SET _valid_to = _valid_to + INTERVAL 1 DAY WHERE id = 'a' AND NOT _is_current",
        "UPDATE shop.orders SET _valid_to = NULL WHERE id = 'a'",
        "INSERT INTO shop.orders SELECT * FROM shop.orders WHERE id = 'a'",
    ],
)
def test_a_history_that_is_wrong_is_found_out(table: LakeTable, warehouse: DuckDBWarehouse, damage: str) -> None:
    """Two current rows, ranges that overlap, and a version that is there twice count as a doubled key."""
    land(table, [row("a", 1, 1), row("a", 2, 2), row("b", 1, 1), row("b", 2, None, deleted=True)], days(0, 3))
    warehouse.merge(HISTORY, table, "run")
    assert warehouse.doubled_keys(HISTORY) == 0
    with duckdb.connect(str(warehouse.path)) as other:
        other.execute(damage)
    assert warehouse.doubled_keys(HISTORY) == 1
