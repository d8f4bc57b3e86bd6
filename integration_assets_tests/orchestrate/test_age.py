"""Freshness and frontier lag: what makes a stream look old, and what does not make it look young."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from integration_assets.errors import SpecError
from integration_assets.land.state import EMPTY
from integration_assets.orchestrate import build
from integration_assets.orchestrate.checks.age import Age, freshness, frontier_lag, spoken
from integration_assets.orchestrate.freshness import frontier_limits, longest_gap, pull_limits
from integration_assets.spec import Freshness, Partitions, Slice, Source, Tenants
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench
from integration_assets_tests.orchestrate.shop import KEY, Shop, source


def midnight() -> datetime:
    """When today began."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


TODAY = midnight()
LIMITS = Freshness(warn_after=timedelta(days=2), fail_after=timedelta(days=4))
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@pytest.fixture(autouse=True)
def _one_today(one_day: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - it waits
    """Today is the day of the test, which may not be that of its import."""
    monkeypatch.setattr(sys.modules[__name__], "TODAY", midnight())


def day(ago: int) -> str:
    """The key of the partition so many days ago."""
    return f"{TODAY - timedelta(days=ago):%Y-%m-%d}"


def recent(url: str = "http://127.0.0.1:1") -> Source:
    """The shop with one stream, of orders since six days ago, that may be two days old."""
    orders = source().stream("orders")
    assert orders.cursor is not None
    days, cursor = Partitions(start=(TODAY - timedelta(days=6)).date()), orders.cursor.changed(start=None)
    return source(url, streams=(orders.changed(partitions=days, cursor=cursor, freshness=LIMITS),))


@pytest.fixture
def bench_now(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The recent shop on real stores; its API has three orders on each of the last six days."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    shop.orders.clear()
    shop.fill((TODAY - timedelta(days=6)).date(), days=6, each=3)
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "home")) as instance:
        yield make_bench(recent(shop.url), tmp_path, instance)


def look(bench: Bench) -> dict[str, dg.AssetCheckEvaluation]:
    """Evaluate the standing checks as the hourly schedule does."""
    job = bench.definitions.resolve_job_def("shop_standing_checks")
    return bench.checks(job.execute_in_process(instance=bench.instance, raise_on_error=True))


def test_a_backfill_of_an_old_day_does_not_make_a_stale_stream_young(
    bench_now: Bench, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last pull was a moment ago, but of an old day: freshness passes, and the frontier says how old the table is."""
    bench_now.run(LAKE, WAREHOUSE, partition=day(6), to=day(5))
    bench_now.run(LAKE, WAREHOUSE, partition=day(6))
    asked = len(shop.asked)
    monkeypatch.delenv("SHOP_KEY")
    checks = look(bench_now)
    assert checks["freshness"].passed
    lag = checks["frontier_lag"]
    assert (lag.passed, lag.severity) == (False, ERROR)
    assert f"everything up to {TODAY - timedelta(days=4):%Y-%m-%d}" in str(lag.description)
    assert lag.metadata["hours"].value > 4 * 24
    assert len(shop.asked) == asked

    monkeypatch.setenv("SHOP_KEY", KEY)
    bench_now.run(LAKE, WAREHOUSE, partition=day(4), to=day(1))
    assert all(check.passed for check in look(bench_now).values())


def test_a_gap_holds_the_frontier_back_and_is_named(bench_now: Bench) -> None:
    """New days behind a day that is missing do not count: the check names what was never pulled."""
    bench_now.run(LAKE, WAREHOUSE, partition=day(6))
    bench_now.run(LAKE, WAREHOUSE, partition=day(4), to=day(3))
    lag = look(bench_now)["frontier_lag"]
    assert (lag.passed, lag.severity) == (False, ERROR)
    assert f"1 range before its newest data was never pulled, the first [{day(5)}" in str(lag.description)
    assert lag.metadata["gaps"].value == 1


def test_what_is_not_merged_is_not_in_the_table(bench_now: Bench) -> None:
    """Days that only the lake has do not make the warehouse's table younger."""
    bench_now.run(LAKE, WAREHOUSE, partition=day(6))
    bench_now.run(LAKE, partition=day(5), to=day(1))
    lag = look(bench_now)["frontier_lag"]
    assert not lag.passed
    assert lag.metadata["lake commits ahead"].value == 5
    bench_now.run(WAREHOUSE)
    assert look(bench_now)["frontier_lag"].passed


def test_a_stream_that_was_never_pulled_is_a_warning(bench_now: Bench) -> None:
    """Before the first pull the checks can be executed, and say that there is nothing."""
    checks = look(bench_now)
    assert {check.severity for check in checks.values()} == {WARN}
    assert not any(check.passed for check in checks.values())
    assert "never" in str(checks["freshness"].description)


def test_the_hourly_schedule_waits_for_the_first_pull(tmp_path: Path) -> None:
    """Nothing runs while there is nothing to be old; afterwards each tick asks for one run."""
    repository = build([recent()]).get_repository_def()
    schedule = repository.get_schedule_def("shop_standing_checks_hourly")

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def tick() -> int:
            moment = datetime.now(UTC)
            with dg.build_schedule_context(instance, scheduled_execution_time=moment, repository_def=repository) as context:
                return len(schedule.evaluate_tick(context).run_requests or [])

        assert tick() == 0
        instance.report_runless_asset_event(dg.AssetMaterialization(WAREHOUSE))
        assert tick() == 1


def test_a_warehouse_that_cannot_be_read_is_a_warning_and_no_failure(bench_now: Bench, tmp_path: Path) -> None:
    """A check that cannot be told says why; the others are evaluated."""
    bench_now.run(LAKE, WAREHOUSE, partition=day(6))
    (tmp_path / "warehouse.duckdb").write_bytes(b"no database")
    checks = look(bench_now)
    assert not checks["freshness"].passed
    assert "It cannot be told" in str(checks["freshness"].description)


def age(now: datetime, pulled: datetime | None, end: datetime, offset: float = 0.0) -> Age:
    """A stream whose lake is finished from the shop's origin to `end`."""
    finished = (Slice(datetime(2024, 3, 1, tzinfo=UTC), end),)
    return Age(now, pulled, replace(EMPTY, sequence=1, finished=finished), offset)


@pytest.mark.parametrize(("hours", "passed", "severity"), [(1, True, WARN), (49, False, WARN), (97, False, ERROR)])
def test_the_severity_follows_the_limits(hours: int, passed: bool, severity: dg.AssetCheckSeverity) -> None:
    """Older than the first limit is a warning, older than the second an error, for both checks."""
    shop = source()
    returns = shop.stream("returns").changed(freshness=LIMITS)
    now = datetime(2024, 6, 1, tzinfo=UTC)
    then = now - timedelta(hours=hours)
    for check in (freshness, frontier_lag):
        found = check(shop, returns, age(now, then, then))
        assert (found.passed, found.severity if not passed else WARN) == (passed, severity)


def test_the_frontier_is_measured_by_the_apis_clock() -> None:
    """An API that lives in another time, as the sandbox does in 2013, is as far behind as its own clock says."""
    shop = source()
    returns = shop.stream("returns").changed(freshness=LIMITS)
    now, there = datetime(2026, 6, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    lag = frontier_lag(shop, returns, age(now, now, there - timedelta(hours=1), (there - now).total_seconds()))
    assert lag.passed
    assert lag.metadata["hours"].value == 1


def test_a_closed_history_that_is_whole_is_never_old() -> None:
    """Nothing is expected after the end of the last partition, and Dagster's own policy is left out."""
    shop = source()
    end = datetime(2024, 4, 1, tzinfo=UTC)
    orders = shop.stream("orders").changed(freshness=LIMITS, partitions=Partitions(start=date(2024, 3, 1), end=end.date()))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert frontier_lag(shop, orders, age(now, now, end)).passed
    assert not frontier_lag(shop, orders, age(now, now, end - timedelta(days=10))).passed
    graph = build([source(streams=(orders,))]).get_repository_def().asset_graph
    assert graph.get(LAKE).freshness_policy is None


def test_limits_follow_the_schedule() -> None:
    """Without limits of its own a stream may miss one tick by half a tick; a frontier is given more."""
    shop = source()
    assert pull_limits(shop, shop.stream("countries")) == Freshness(
        warn_after=timedelta(hours=36), fail_after=timedelta(hours=60)
    )
    assert frontier_limits(shop, shop.stream("countries")) is None
    orders, returns = (frontier_limits(shop, shop.stream(name)) for name in ("orders", "returns"))
    assert orders is not None
    assert returns is not None
    assert (orders.warn_after, returns.warn_after) == (timedelta(hours=61), timedelta(hours=61))
    assert pull_limits(source(schedule=None), shop.stream("orders")) is None
    assert longest_gap("0 2 * * 1-5", "Europe/Berlin") == timedelta(days=3)
    assert longest_gap("*/15 * * * *", "UTC") == timedelta(minutes=15)
    assert longest_gap("0 0 1 * *", "UTC") == timedelta(days=31)


def test_dagsters_own_policy_is_on_both_assets() -> None:
    """The catalogue shows lake and warehouse as fresh or not by the same limits."""
    graph = build([recent()]).get_repository_def().asset_graph
    for key in (LAKE, WAREHOUSE):
        policy = graph.get(key).freshness_policy
        assert isinstance(policy, dg._core.definitions.freshness.TimeWindowFreshnessPolicy)
        assert (policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()) == (LIMITS.warn_after, LIMITS.fail_after)


def test_limits_in_the_wrong_order_are_refused() -> None:
    """A limit that fails before it warns, or is under a minute, is an error of the spec."""
    with pytest.raises(SpecError, match="is not above warn_after"):
        Freshness(warn_after=timedelta(hours=2), fail_after=timedelta(hours=1))
    with pytest.raises(SpecError, match="under a minute"):
        Freshness(warn_after=timedelta(seconds=2), fail_after=timedelta(hours=1))


def test_ages_are_said_in_two_units() -> None:
    """A span is said by its two largest units."""
    spans = (timedelta(days=3, hours=4, minutes=9), timedelta(hours=2, seconds=5), timedelta(seconds=40), timedelta(0))
    assert [spoken(span) for span in spans] == ["3 d 4 h", "2 h", "40 s", "0 s"]


def test_the_tenant_that_is_furthest_behind_decides() -> None:
    """A tenant that is left behind makes the table old, and is named; one that was never pulled is at the beginning."""
    shop = source()
    tenants = Tenants(column="id", keys=("north", "south"))
    returns = shop.stream("returns").changed(freshness=LIMITS, tenants=tenants, path="/orders/{id}")
    now, origin = datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
    north = Slice(origin, now, "north")
    old = age(now, now, now)
    for south, said in ((Slice(origin, now - timedelta(days=9), "south"), "2024-05-23"), (None, "2024-03-01")):
        finished = (north, south) if south else (north,)
        lag = frontier_lag(shop, returns, replace(old, state=replace(old.state, finished=finished)))
        assert (lag.passed, lag.severity) == (False, ERROR)
        assert f"every tenant (the last is south) up to {said}" in str(lag.description)
    done = replace(old.state, finished=(north, replace(north, tenant="south")))
    assert frontier_lag(shop, returns, replace(old, state=done)).passed
