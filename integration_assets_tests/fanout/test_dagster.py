"""Dagster pulls parents before their children: in one run, by the catch-up, and in the jobs that follow from the spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from integration_assets.orchestrate.automation import sync_jobs
from integration_assets.orchestrate.catchup_sensor import Tick
from integration_assets.spec import Partitions
from integration_assets_tests.fanout.orders import Api, at, by_day, items, orders
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import RANGE, Bench

KEYS = [
    dg.AssetKey(path)
    for path in (["shop", "orders"], ["warehouse", "shop", "orders"], ["shop", "items"], ["warehouse", "shop", "items"])
]
ORDERS, _, ITEMS, _ = KEYS


@dataclass
class Days:
    """The API with orders on each of three days, and its definitions."""

    api: Api
    bench: Bench
    cursor: str | None = None
    said: str = ""

    def tick(self, hours: float) -> Sequence[dg.RunRequest]:
        """Evaluate the catch-up by the API's clock at so many hours; what it asks for."""
        self.api.clock = at(hours)
        tick = Tick(self.bench.instance, self.api.source, self.bench.stores, lambda: datetime.now(UTC).timestamp())
        result = tick.result(self.cursor, lambda text: setattr(self, "said", text))
        self.cursor = result.cursor
        return result.run_requests or []

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run that was asked for."""
        return self.bench.run(*request.asset_selection or (), partition=request.partition_key, tags=request.tags)


@pytest.fixture
def days(api: Api, tmp_path: Path) -> Iterator[Days]:
    """Children are described before their parents, and both have a partition a day."""
    api.streams, api.clock = by_day()[::-1], at(24 * 3 + 2)
    for day in range(3):
        for number in range(2):
            api.put(f"{day}-{number}", 24 * day + number, day, number)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield Days(api, make_bench(api.source, tmp_path, instance))


def test_one_run_pulls_parents_first(days: Days) -> None:
    """A night and the run of a range pull orders, then their items, and record each partition once."""
    job = days.bench.definitions.resolve_job_def("shop_sync")
    night = job.execute_in_process(instance=days.bench.instance, raise_on_error=False)
    assert night.success
    assert {item[0] for item in days.api.rows()} == {"2-0", "2-1"}, "the last day that is over is owed"
    ranged = days.bench.run(*KEYS, partition="2024-03-01", to="2024-03-03")
    assert ranged.success
    assert days.api.rows() == days.api.truth()
    for key in (ORDERS, ITEMS):
        found = [event.partition for event in days.bench.events(key)]
        assert found == ["2024-03-03", "2024-03-01", "2024-03-02", "2024-03-03"]
    graph = days.bench.definitions.resolve_asset_graph()
    assert KEYS[1] in graph.get(ITEMS).parent_keys


def test_children_wait_when_their_parents_fail(days: Days) -> None:
    """Orders that cannot be pulled keep their items back in the run, and the items' watermark stays behind."""
    days.api.closed = True
    job = days.bench.definitions.resolve_job_def("shop_sync")
    assert not job.execute_in_process(instance=days.bench.instance, raise_on_error=False).success
    assert days.api.watermark("items") is None
    assert days.api.asked == []


def test_the_catch_up_asks_for_parents_before_children(days: Days) -> None:
    """A missed day is asked for of the orders; only when they have it, of the items; then there is peace."""
    days.bench.run(*KEYS, partition="2024-03-01")
    asked = []
    for _ in range(6):
        requests = days.tick(24 * 3 + 2)
        asked += [(request.asset_selection or [])[0].path[-1] for request in requests]
        assert [request.tags.get(RANGE[0]) or request.partition_key for request in requests] in ([], ["2024-03-02"])
        for request in requests:
            assert days.run(request).success
    assert asked == ["orders", "items"]
    assert days.api.rows() == days.api.truth()
    days.api.put("0-0", 24 * 3 + 0.5, 7)
    (first,) = days.tick(24 * 4 + 2)
    assert (first.asset_selection or [])[0] == ORDERS
    assert "items: waits for orders" in days.said


def test_children_without_partitions_follow_their_parents(api: Api) -> None:
    """In a source of several kinds of partitions, unpartitioned children are in the job of their parents."""
    monthly = orders(name="invoices", partitions=Partitions(every="month", start=date(2024, 1, 1)))
    api.streams = (monthly, items(), by_day()[0])
    jobs = {job.name: {stream.name for stream in job.streams} for job in sync_jobs(api.source)}
    assert jobs == {"shop_month_sync": {"invoices"}, "shop_day_sync": {"orders", "items"}}
