"""Tenants as Dagster's partitions: fixed, listed, and by day as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta
from datetime import datetime as moment
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests_with_backfill_policies
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.definitions.partitions.context import partition_loading_context

from integration_assets.orchestrate import StoresResource, build
from integration_assets.orchestrate.automation import sync_jobs
from integration_assets.orchestrate.catchup_sensor import Tick
from integration_assets.orchestrate.partitions import partition_key, split_key, stream_partitions
from integration_assets.orchestrate.tenants import listed
from integration_assets.spec import Partitions, Source, Stream, Tenants
from integration_assets.spec.cursor import watermark
from integration_assets.spec.tenants import Listing
from integration_assets_tests.flow.accounts import KEYS, START, Accounts
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import RANGE, Bench, partitions, value

LAKE, WAREHOUSE = dg.AssetKey(["accounts", "orders"]), dg.AssetKey(["warehouse", "accounts", "orders"])
DAY = timedelta(days=1)


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    """Three accounts with ten orders each."""
    monkeypatch.setattr("integration_assets.orchestrate.failures.WAITS", ())
    api = Accounts(tmp_path)
    api.fill()
    with api.served():
        yield api


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance of Dagster that remembers."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def bench(accounts: Accounts, instance: dg.DagsterInstance, *streams: Stream) -> Bench:
    """The API's definitions on real stores."""
    return make_bench(accounts.source(*streams), accounts.folder, instance)


def run(made: Bench, **wanted: Any) -> dg.ExecuteInProcessResult:  # noqa: ANN401 - what Bench.run takes
    """Pull and merge in one run."""
    return made.run(LAKE, WAREHOUSE, **wanted)


def asked(accounts: Accounts) -> list[tuple[str, str]]:
    """Account and day of each request since the last look."""
    found = [(key, query["since"][:10]) for key, query in accounts.asked]
    accounts.asked.clear()
    return found


def test_keys_are_written_as_dagster_does(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """A key names the day first and then the tenant, and comes back as both."""
    stream = accounts.daily()
    defined = stream_partitions(accounts.source(stream), stream)
    assert defined is not None
    keys = defined.get_partition_keys(current_time=moment(2024, 3, 3, 1, tzinfo=UTC), dynamic_partitions_store=instance)
    assert list(keys) == [f"2024-03-0{day}|{key}" for day in (1, 2) for key in KEYS]
    assert list(keys) == [partition_key(f"2024-03-0{day}", key) for day in (1, 2) for key in KEYS]
    assert [split_key(stream, key) for key in keys] == [(f"2024-03-0{day}", key) for day in (1, 2) for key in KEYS]
    assert split_key(accounts.stream(), "a/p 1") == (None, "a/p 1")
    assert split_key(accounts.daily(tenants=None, path="/o"), "2024-03-01") == ("2024-03-01", None)


def test_a_tenant_is_a_partition(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """A run of one tenant pulls what is new of it, moves its watermark and asks for no other."""
    made = bench(accounts, instance)
    assert run(made, partition="us").success
    (event,) = made.events(LAKE)
    assert (event.partition, value(event, "rows accepted"), value(event, "dagster/partition_row_count")) == ("us", 10, 10)
    assert value(event, "receipt")["tenant"] == "us"
    assert {key for key, _ in asked(accounts)} == {"us"}
    accounts.now += DAY
    assert run(made, partition="us").success
    assert asked(accounts) == [("us", "2024-03-10")]
    assert accounts.rows() == accounts.truth("us")


def test_a_run_that_names_no_tenant_pulls_all(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """A night goes through all tenants, with an event for each; the one that fails is named, and the rest is merged."""
    accounts.broken = {"us": 403}
    made = bench(accounts, instance)
    failed = run(made)
    assert not failed.success
    assert "1 of 3 tenants failed and nothing stopped the others: us (" in made.failure(failed).error.message
    assert partitions(made.events(LAKE)) == ["eu", "a/p 1"]
    assert accounts.rows() == accounts.truth("eu", "a/p 1")
    accounts.broken.clear()
    assert run(made).success
    assert instance.get_materialized_partitions(LAKE) == set(KEYS)
    assert accounts.rows() == accounts.truth()


def test_a_backfill_of_tenants_is_one_run(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """All tenants of a backfill share a run; each has its event, and its end by one clock."""
    made = bench(accounts, instance)
    requests = backfill(made, KEYS)
    assert [tuple(request.tags[name] for name in RANGE) for request in requests] == [("eu", "a/p 1")]
    assert run(made, partition="eu", to="a/p 1").success
    assert partitions(made.events(LAKE)) == list(KEYS)
    assert {done.end for done in accounts.finished()} == {accounts.now}


def test_a_retry_asks_only_who_failed(accounts: Accounts, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is tried again for one tenant's outage leaves alone those that it has landed."""
    monkeypatch.setattr("integration_assets.orchestrate.failures.WAITS", (0.0,))
    accounts.slices, accounts.broken = 1, {"us": 503}
    accounts.on_ask = lambda _: accounts.broken.clear() if [key for key, _ in accounts.asked].count("us") > 2 else None
    made = bench(accounts, instance)
    assert run(made).success
    assert [key for key, _ in accounts.asked] == ["eu", "us", "us", "a/p 1", "us"]
    assert accounts.rows() == accounts.truth()


def test_listed_tenants_become_partitions(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """A run makes a partition of each tenant that the API lists, and pulls one that is named like any other."""
    made = bench(accounts, instance, accounts.listed())
    assert run(made).success
    assert instance.get_dynamic_partitions("accounts__accounts") == list(KEYS)
    assert instance.get_materialized_partitions(LAKE) == set(KEYS)
    accounts.asked.clear()
    accounts.now += DAY
    assert run(made, partition="a/p 1").success
    assert asked(accounts) == [("a/p 1", "2024-03-10")]


def test_the_sensor_adds_new_tenants_and_says_which_are_gone(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """It is stopped until switched on, adds what the API lists for the first time, and takes nothing away."""
    made = bench(accounts, instance, accounts.listed(), accounts.listed(name="returns"))
    repository = made.definitions.get_repository_def()
    sensor = repository.get_sensor_def("accounts_accounts")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED

    def tick() -> Any:  # noqa: ANN401 - Dagster's private class
        with dg.build_sensor_context(instance=instance, repository_def=repository, resources={"stores": made.stores}) as context:
            done = sensor.evaluate_tick(context)
        for request in done.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        return done

    assert "3 tenants are listed, new are eu, us, a/p 1" in str(tick().skip_message)
    accounts.orders["new"] = accounts.orders.pop("us")
    said = str(tick().skip_message)
    assert "new are new; listed no more: us. Their partitions and rows stay" in said
    assert instance.get_dynamic_partitions("accounts__accounts") == [*KEYS, "new"]
    assert "none is new" in str(tick().skip_message)
    accounts.orders = {}
    assert "names no tenant" in str(tick().skip_message)
    assert instance.get_dynamic_partitions("accounts__accounts") == [*KEYS, "new"]


def backfill(made: Bench, keys: Sequence[str]) -> Sequence[dg.RunRequest]:
    """The runs into which Dagster cuts a backfill of these partitions."""
    graph = made.definitions.get_repository_def().asset_graph
    with partition_loading_context(dynamic_partitions_store=made.instance):
        wanted = [AssetKeyPartitionKey(LAKE, key) for key in keys]
        return build_run_requests_with_backfill_policies(wanted, graph, made.instance)


def test_a_backfill_of_some_days_of_some_tenants(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """Whatever is chosen of days and tenants is pulled, and nothing else: gaps in the choice are not filled."""
    stream = accounts.daily(tenants=accounts.listed().tenants)
    instance.add_dynamic_partitions("accounts__accounts", list(KEYS))
    made = bench(accounts, instance, stream)
    chosen = {("eu", 1), ("eu", 2), ("eu", 5), ("us", 2), ("a/p 1", 5), ("a/p 1", 6)}
    requests = backfill(made, [f"2024-03-0{day}|{key}" for key, day in chosen])
    assert len(requests) < len(chosen)
    for request in requests:
        assert run(made, tags=request.tags).success
    assert instance.get_materialized_partitions(LAKE) == {f"2024-03-0{day}|{key}" for key, day in chosen}
    assert set(asked(accounts)) == {(key, f"2024-03-0{day}") for key, day in chosen}
    assert accounts.rows("account, id") == sorted(chosen)
    with accounts.feed(stream) as (feed, _):
        finished = feed.table.state().finished
    marks = {key: watermark(finished, START, key) for key in KEYS}
    assert marks == {"eu": START + 2 * DAY, "us": None, "a/p 1": None}


def test_days_and_tenants_that_are_chosen_together(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """A range over both dimensions is each of its days of each of its tenants; one that fails stops no other tenant."""
    accounts.broken = {"eu": 403}
    made = bench(accounts, instance, accounts.daily())
    failed = run(made, partition="2024-03-03|eu", to="2024-03-04|us")
    assert "tenants failed and nothing stopped the others: eu (" in made.failure(failed).error.message
    assert partitions(made.events(LAKE)) == ["2024-03-03|us", "2024-03-04|us"]
    (event,) = [event for event in made.events(LAKE) if event.partition == "2024-03-04|us"]
    assert (value(event, "receipt")["partition"], value(event, "receipt")["tenant"]) == ("2024-03-04", "us")
    assert run(made, partition="2024-03-03|eu").success is False
    accounts.broken.clear()
    assert run(made, partition="2024-03-03|eu").success
    assert accounts.rows("account, id") == [("eu", 3), ("us", 3), ("us", 4)]


def test_a_night_makes_up_for_each_tenants_own_days(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """A run that names no partition pulls what is due of each tenant: the one that lags its missed days, the others the last."""
    accounts.slices = 1
    made = bench(accounts, instance, accounts.daily())
    accounts.now = START + 3 * DAY + timedelta(hours=2)
    assert run(made, partition="2024-03-01|eu", to="2024-03-03|us").success
    asked(accounts)
    accounts.now += DAY
    accounts.broken = {"us": 403}
    assert not run(made).success
    accounts.broken.clear()
    accounts.now += DAY
    asked(accounts)
    assert run(made).success
    pulled = asked(accounts)
    assert [day for key, day in pulled if key == "us"] == ["2024-03-04", "2024-03-05"]
    assert [day for key, day in pulled if key == "eu"] == ["2024-03-05"]
    # Never pulled before, so that only its last day is due: its history is for someone to begin.
    assert [day for key, day in pulled if key == "a/p 1"] == ["2024-03-05"]


def test_the_catch_up_asks_when_a_tenant_is_owed_a_day(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """One tenant's missed day is enough for a run; when all have theirs none is asked for, and a gone tenant is owed nothing."""
    stream = accounts.daily(tenants=accounts.listed().tenants)
    made = bench(accounts, instance, stream)
    accounts.now = START + 3 * DAY + timedelta(hours=2)
    instance.add_dynamic_partitions("accounts__accounts", list(KEYS))
    assert run(made, partition="2024-03-01|eu", to="2024-03-03|a/p 1").success

    def tick() -> Sequence[dg.RunRequest]:
        result = Tick(instance, accounts.source(stream), made.stores).result(None)
        assert not result.asset_events
        return result.run_requests or []

    assert not tick()
    accounts.now += DAY
    del accounts.orders["us"]
    (request,) = tick()
    assert request.partition_key is None
    assert run(made, tags=request.tags).success
    assert not tick()


def test_the_catch_up_lists_tenants_only_when_something_is_owed(
    accounts: Accounts, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partitions name the tenants; the API lists them once a tick for all streams, and only when some are owed a day."""
    asked_for: list[str] = []

    def counted(of: Source, listing: Listing, stores: StoresResource) -> tuple[str, ...]:
        asked_for.append(listing.name)
        return listed(of, listing, stores)

    monkeypatch.setattr("integration_assets.orchestrate.catchup_sensor.listed", counted)
    orders = accounts.daily(tenants=accounts.listed().tenants)
    source = accounts.source(orders, orders.changed(name="returns"))
    made = make_bench(source, accounts.folder, instance)
    accounts.now = START + DAY + timedelta(hours=2)
    instance.add_dynamic_partitions("accounts__accounts", list(KEYS))
    for stream in source.streams:
        key = dg.AssetKey(["accounts", stream.name])
        assert made.run(key, partition="2024-03-01|eu", to="2024-03-01|a/p 1").success
    assert not Tick(instance, source, made.stores).result(None).run_requests
    assert asked_for == []
    accounts.now += DAY
    assert len(Tick(instance, source, made.stores).result(None).run_requests or []) == len(source.streams)
    assert asked_for == ["accounts"]


def test_what_only_the_lake_knows_is_recorded(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """A tenant's day that the command line pulled gets its event from the catch-up."""
    stream = accounts.daily()
    made = bench(accounts, instance, stream)
    accounts.now = START + 2 * DAY + timedelta(hours=2)
    accounts.pull(stream, partitions=["2024-03-01", "2024-03-02"], tenants=list(KEYS))
    events = Tick(instance, accounts.source(stream), made.stores).result(None).asset_events
    assert {event.partition for event in events} == {f"2024-03-0{day}|{key}" for day in (1, 2) for key in KEYS}
    assert all(value(event, "receipt")["tenant"] in str(event.partition) for event in events)


def test_a_dry_run_says_whose_slices_it_would_pull(accounts: Accounts, instance: dg.DagsterInstance) -> None:
    """It asks for one page of the first tenant, and lands nothing."""
    made = bench(accounts, instance)
    assert run(made, tags={"integration_assets/mode": "dry_run"}).success
    (seen,) = made.observations(LAKE)
    assert value(seen, "slices") == 3
    assert "of us" in value(seen, "dry run")
    assert [key for key, _ in accounts.asked] == ["eu"]
    assert not made.events(LAKE)


def test_a_job_has_streams_of_one_kind(accounts: Accounts) -> None:
    """Streams run together that have the same days and the same tenants, whatever their columns; others have a job each."""
    month = Partitions(every="month", start=date(2024, 3, 1))
    streams = [
        accounts.stream(tenants=None, path="/all", name="all"),
        accounts.stream(),
        accounts.stream(name="more", key=("account", "id", "amount")),
        accounts.stream(name="few", tenants=Tenants(column="account", keys=("eu",))),
        accounts.daily(name="days"),
        accounts.listed(name="listed"),
        accounts.listed(name="months", partitions=month),
        accounts.stream(name="plain", tenants=None, path="/all", partitions=month),
    ]
    source = accounts.source(*streams)
    assert {job.name: [stream.name for stream in job.streams] for job in sync_jobs(source)} == {
        "accounts_sync": ["all"],
        "accounts_account_1_sync": ["orders", "more"],
        "accounts_account_2_sync": ["few"],
        "accounts_day_account_1_sync": ["days"],
        "accounts_accounts_sync": ["listed"],
        "accounts_month_accounts_sync": ["months"],
        "accounts_month_sync": ["plain"],
    }
    dg.Definitions.validate_loadable(build([source]))
    assert [job.name for job in sync_jobs(accounts.source(streams[0], streams[1]))] == ["accounts_sync"]
