"""Runs over partitions: what the catalogue, the lake and the warehouse hold afterwards."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from integration_assets.errors import WarehouseBusyError
from integration_assets.extract.client import SourceClient
from integration_assets.land.duckdb import DuckDBWarehouse
from integration_assets.land.warehouse import MergeResult
from integration_assets.orchestrate import failures
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench, partitions, value
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

DAY1, DAY2, DAY3, DAY4 = "2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04"


def test_one_partition_lands_and_is_merged_in_one_run(bench: Bench) -> None:
    """Materialize on both assets of a stream pulls the day, merges it, and records one event for each."""
    run = bench.run(LAKE, WAREHOUSE, partition=DAY2)

    assert run.success
    (lake,), (warehouse,) = bench.events(LAKE), bench.events(WAREHOUSE)
    assert (lake.partition, value(lake, "rows accepted"), value(lake, "dagster/partition_row_count")) == (DAY2, 3, 3)
    assert (warehouse.partition, value(warehouse, "dagster/row_count")) == (None, 3)
    assert bench.rows("SELECT id FROM shop.orders ORDER BY id") == [{"id": f"0302{hour:02}"} for hour in range(3)]


def test_a_range_in_one_run_is_one_event_a_partition(bench: Bench, shop: Shop) -> None:
    """Four days in one run are four events with metadata of their own, none twice, and one merge."""
    shop.orders = [order for order in shop.orders if order["id"] != "030302"]
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY4)

    assert run.success
    events = bench.events(LAKE)
    assert partitions(events) == [DAY1, DAY2, DAY3, DAY4]
    assert [value(event, "rows accepted") for event in events] == [3, 3, 2, 3]
    assert [value(event, "receipt")["partition"] for event in events] == [DAY1, DAY2, DAY3, DAY4]
    assert len({value(event, "lake version") for event in events}) == 4
    assert [value(event, "dagster/row_count") for event in events] == [3, 6, 8, 11]
    (merged,) = bench.events(WAREHOUSE)
    assert value(merged, "dagster/row_count") == 11
    assert bench.instance.get_materialized_partitions(LAKE) == {DAY1, DAY2, DAY3, DAY4}


def test_events_are_recorded_as_slices_commit(bench: Bench, shop: Shop, tmp_path: Path) -> None:
    """When a day is asked for, the events of the days before it are in the log already: a kill loses the day under way."""
    seen: list[list[str | None]] = []
    (tmp_path / "instance").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
        watched = replace(bench, instance=instance)
        shop.on_ask = lambda: seen.append(partitions(watched.events(LAKE)))
        run = watched.run(LAKE, partition=DAY1, to=DAY3)

    assert run.success
    assert seen == [[], [DAY1], [DAY1, DAY2]]


def test_a_day_whose_data_is_wrong_keeps_no_other_day_back(bench: Bench, shop: Shop) -> None:
    """When the third day fails, the others are in catalogue, lake and warehouse, and the failure says which day and why."""
    shop.broken[DAY3] = 400
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY4)

    assert not run.success
    assert partitions(bench.events(LAKE)) == [DAY1, DAY2, DAY4]
    assert value(bench.events(WAREHOUSE)[-1], "dagster/row_count") == 9
    assert bench.checks(run)["accounting_adds_up"].metadata["accepted"].value == 9
    assert "400" in bench.failure(run).user_failure_data.description
    shop.broken.clear()
    again = bench.run(LAKE, WAREHOUSE, partition=DAY3)
    assert again.success
    assert value(bench.events(WAREHOUSE)[-1], "dagster/row_count") == 12


def test_days_that_fail_one_after_the_other_end_the_run(bench: Bench, shop: Shop) -> None:
    """Three failures in a row are the API's and not a day's: what was not tried is named, and the API is left alone."""
    shop.broken = {f"2024-03-{day:02}": 400 for day in range(2, 11)}
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, to="2024-03-10")

    assert not run.success
    assert shop.asked == [DAY1, DAY2, DAY3, DAY4]
    assert partitions(bench.events(LAKE)) == [DAY1]
    said = bench.failure(run).user_failure_data.description
    assert f"3 of the run's partitions failed: {DAY2}, {DAY3}, {DAY4}, and 6 more were not tried" in said


def test_a_refused_key_ends_the_run_at_once(bench: Bench, shop: Shop) -> None:
    """What is wrong with the source, and not with a day's data, is not tried again with the next day."""
    shop.broken[DAY2] = 403
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY4)

    assert bench.failure(run).user_failure_data.metadata["error"].value == "AccessDeniedError"
    assert shop.asked == [DAY1, DAY2]
    assert value(bench.events(WAREHOUSE)[-1], "dagster/row_count") == 3


def test_a_rerun_changes_nothing_in_the_warehouse(bench: Bench) -> None:
    """The same partitions again are new events and the same table."""
    bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY2)
    before = bench.rows("SELECT id, amount, updated_at FROM shop.orders ORDER BY id")
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY2)

    assert run.success
    assert partitions(bench.events(LAKE, run)) == [DAY1, DAY2]
    (merged,) = bench.events(WAREHOUSE, run)
    assert (value(merged, "rows inserted"), value(merged, "dagster/row_count")) == (0, 6)
    assert bench.rows("SELECT id, amount, updated_at FROM shop.orders ORDER BY id") == before


def test_the_warehouse_alone_needs_no_api(bench: Bench, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The merge can be run alone, with neither the API nor its key."""
    bench.run(LAKE, partition=DAY1)
    asked = len(shop.asked)
    monkeypatch.delenv("SHOP_KEY")
    run = bench.run(WAREHOUSE)

    assert run.success
    assert value(bench.events(WAREHOUSE)[0], "dagster/row_count") == 3
    assert len(shop.asked) == asked


def test_an_unpartitioned_stream_is_one_event_a_run(bench: Bench) -> None:
    """An incremental stream pulls what is new, a snapshot all there is; each run is one event."""
    keys = [dg.AssetKey([*front, "shop", name]) for name in ("returns", "countries") for front in ([], ["warehouse"])]
    assert bench.run(*keys).success
    assert bench.run(*keys).success

    returns = bench.events(dg.AssetKey(["shop", "returns"]))
    assert [value(event, "rows accepted") for event in returns] == [30, 0]
    assert value(returns[0], "watermark after") == value(returns[1], "watermark before")
    countries = bench.events(dg.AssetKey(["shop", "countries"]))
    assert [value(event, "outcome") for event in countries] == ["committed", "unchanged"]
    assert bench.rows("SELECT count(*) AS rows FROM shop.returns") == [{"rows": 30}]


def test_the_whole_source_runs_as_one_job(bench: Bench) -> None:
    """The source's job takes partitioned and unpartitioned streams along in one run of one partition."""
    job = bench.definitions.resolve_job_def("shop_sync")
    run = job.execute_in_process(instance=bench.instance, partition_key=DAY1)

    assert run.success
    assert partitions(bench.events(LAKE)) == [DAY1]
    assert bench.rows("SELECT count(*) AS rows FROM shop.countries") == [{"rows": 1}]


def test_an_outage_is_waited_for_and_finished_days_are_not_pulled_again(
    bench: Bench, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the API is out of order the step is tried again, from the day that failed on."""
    shop.broken[DAY2] = 503
    monkeypatch.setattr(failures, "WAITS", (0.0, 0.0))
    shop.mend_after = 1
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY3)

    assert run.success
    assert partitions(bench.events(LAKE)) == [DAY1, DAY2, DAY3]
    assert shop.asked.count(DAY1) == 1
    assert len([event for event in run.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]) == 1


@pytest.mark.parametrize("name", ["orders", "returns"])
def test_the_checks_after_a_retry_are_over_the_whole_run(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A record turned away before the outage is told of by the checks after it, of days and of a stream without days."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    monkeypatch.setattr(failures, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(SourceClient, "now", lambda _: datetime(2024, 3, 5, tzinfo=UTC))
    spec = source().stream(name)
    assert spec.cursor is not None
    cursor = spec.cursor.model_copy(update={"step": timedelta(days=1), "safety_lag": timedelta()})
    stream = spec.model_copy(update={"cursor": cursor, "reject_threshold": 0.5})
    shop.orders[0]["amount"], shop.broken[DAY2], shop.mend_after = "many", 503, 1
    with dg.DagsterInstance.ephemeral() as instance:
        bench = make_bench(source(shop.url, streams=(stream,)), tmp_path, instance)
        span = {"partition": DAY1, "to": DAY4} if stream.partitions else {}
        run = bench.run(dg.AssetKey(["shop", name]), **span)
        checks = bench.checks(run)

    assert run.success
    assert shop.asked.count(DAY1) == 1
    assert not checks["contract_held"].passed
    counted = {key: checks["accounting_adds_up"].metadata[key].value for key in ("fetched", "accepted", "rejected")}
    assert counted == {"fetched": 12, "accepted": 11, "rejected": 1}


def test_a_busy_warehouse_is_waited_for_without_pulling_again(bench: Bench, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another program holds the warehouse, only the merge is tried again: no second event and no second request."""
    monkeypatch.setattr(failures, "WAITS", (0.0, 0.0))
    merge, calls = DuckDBWarehouse.merge, []

    def busy_once(self: DuckDBWarehouse, *arguments: Any) -> MergeResult:  # noqa: ANN401 - passed through
        calls.append(arguments)
        if len(calls) == 1:
            raise WarehouseBusyError("held by another program")
        return merge(self, *arguments)

    monkeypatch.setattr(DuckDBWarehouse, "merge", busy_once)
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1)

    assert run.success
    assert partitions(bench.events(LAKE)) == [DAY1]
    assert len(bench.events(WAREHOUSE)) == 1
    assert shop.asked.count(DAY1) == 1
    assert bench.checks(run)["accounting_adds_up"].metadata["fetched"].value == 3


def test_an_unpartitioned_pull_that_fails_midway_shows_what_landed(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of ten steps landed before the API failed: the catalogue shows those two, and the next run goes on from there."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    returns = source().stream("returns")
    assert returns.cursor is not None
    stepped = returns.model_copy(update={"cursor": returns.cursor.model_copy(update={"step": timedelta(days=1)})})
    landed, merged = dg.AssetKey(["shop", "returns"]), dg.AssetKey(["warehouse", "shop", "returns"])
    shop.broken[DAY3] = 400
    until = datetime(2024, 3, 12, tzinfo=UTC)
    monkeypatch.setattr(SourceClient, "now", lambda _: until)
    with dg.DagsterInstance.ephemeral() as instance:
        bench = make_bench(source(shop.url, streams=(stepped,)), tmp_path, instance)
        run = bench.run(landed, merged)
        (partial,) = bench.events(landed)
        assert not run.success
        assert (value(partial, "rows accepted"), value(partial, "watermark after")) == (6, "2024-03-03T00:00:00Z")

        shop.broken.clear()
        assert bench.run(landed, merged).success
        assert [value(event, "rows accepted") for event in bench.events(landed)] == [6, 24]
        assert bench.rows("SELECT count(*) AS rows FROM shop.returns") == [{"rows": 30}]
