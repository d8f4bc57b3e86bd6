"""The warehouse follows the lake by itself where a run did not get to the merge."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from integration_assets.errors import WarehouseError
from integration_assets.land.duckdb import DuckDBWarehouse
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench, value
from integration_assets_tests.orchestrate.shop import Shop

DAY1, DAY2, DAY3 = "2024-03-01", "2024-03-02", "2024-03-03"


@dataclass
class Follows:
    """The conditions, evaluated a minute later at each call; whether the warehouse of the orders is asked for."""

    bench: Bench
    clock: datetime = field(default_factory=lambda: datetime.now(UTC).replace(minute=20))
    last: dg.EvaluateAutomationConditionsResult | None = None

    def __call__(self) -> bool:
        """Evaluate them."""
        self.clock += timedelta(minutes=1)
        self.last = dg.evaluate_automation_conditions(
            defs=list(self.bench.definitions.get_repository_def().assets_defs_by_key.values()),
            instance=self.bench.instance,
            asset_selection=dg.AssetSelection.assets(WAREHOUSE),
            evaluation_time=self.clock,
            cursor=self.last.cursor if self.last else None,
        )
        return self.last.get_num_requested(WAREHOUSE) > 0


@pytest.fixture
def follows(bench: Bench) -> Follows:
    """The conditions after their first evaluation."""
    made = Follows(bench)
    made()
    return made


def test_a_run_that_merged_needs_nobody_after_it(bench: Bench, follows: Follows) -> None:
    """After a run of lake and warehouse nothing is asked for, whether of one day or of several."""
    assert bench.run(LAKE, WAREHOUSE, partition=DAY1).success
    assert not follows()
    assert bench.run(LAKE, WAREHOUSE, partition=DAY2, to=DAY3).success
    assert not follows()


def test_what_a_killed_run_landed_is_merged_once(bench: Bench, follows: Follows) -> None:
    """A day is in the lake and not in the warehouse, though most of the lake's history is not there: one merge, and no more."""
    assert bench.run(LAKE, partition=DAY2).success
    assert follows()
    assert bench.run(WAREHOUSE).success
    assert value(bench.events(WAREHOUSE)[-1], "dagster/row_count") == 3
    assert not follows()
    assert not follows()


def test_a_night_without_a_partition_is_followed_too(bench: Bench, follows: Follows) -> None:
    """The events of a run that names no partition count as updates, and its merge as one."""
    assert bench.run(LAKE).success
    assert follows()
    assert bench.run(LAKE, WAREHOUSE).success
    assert not follows()


def test_a_merge_that_fails_is_tried_again_by_the_hour(bench: Bench, follows: Follows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at every tick, and not never: a table that the warehouse refuses is tried again once an hour."""
    assert bench.run(LAKE, partition=DAY1).success
    assert follows()
    with monkeypatch.context() as broken:
        broken.setattr(DuckDBWarehouse, "merge", _refuse)
        assert not bench.run(WAREHOUSE).success
    assert not any(follows() for _ in range(5))
    follows.clock += timedelta(hours=1)
    assert follows()
    assert bench.run(WAREHOUSE).success
    assert not follows()


def test_what_landed_before_an_error_is_merged_before_the_run_ends(bench: Bench, shop: Shop, follows: Follows) -> None:
    """Two days landed before the key was refused: they are in the warehouse when the run fails, and nothing is left to follow."""
    shop.broken[DAY3] = 403
    assert not bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY3).success
    assert value(bench.events(WAREHOUSE)[-1], "dagster/row_count") == 6
    assert not follows()


def _refuse(*_: object) -> None:
    message = "the warehouse refuses the table"
    raise WarehouseError(message)
