"""A change upstream becomes one run; nothing new becomes none; what fails loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from integration_assets.orchestrate import build
from integration_assets.orchestrate.sensors import watch
from integration_assets.spec import Bearer, ConditionalProbe, Cursor, Json, Limits, Partitions, Source, Stream, ValueProbe
from integration_assets_tests.extract.serving import Answer, Asked, page, serve
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import RANGE, Bench
from integration_assets_tests.orchestrate.sensors.ticking import Ticking

CONTRACTS = "integration_assets_tests.orchestrate.contracts"
NEWEST = ValueProbe(path="/newest", value="data[0].updated_at", every=30)
ORDERS, COUNTRIES = dg.AssetKey(["live", "orders"]), dg.AssetKey(["live", "countries"])


@dataclass
class Live:
    """An API whose orders a test adds to, and that it can break.

    status : of every answer; looks : the paths asked by probes; mood : headers of a broken answer.
    """

    orders: list[dict[str, Any]] = field(default_factory=list)
    version: int = 1
    status: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, number: int, at: datetime | None = None) -> None:
        """A new order."""
        moment = at or datetime.now(UTC)
        self.orders.append({"id": str(number), "amount": number, "note": "", "updated_at": moment.isoformat()})

    def answer(self, asked: Asked) -> Answer:
        """What is served."""
        self.asked.append(asked.path)
        if asked.path in self.status:
            return Answer(self.status[asked.path], headers=self.headers)
        if asked.path == "/newest":
            return page({"data": self.orders[-1:]})
        if asked.path == "/countries":
            tag = f'"{self.version}"'
            if asked.headers.get("if-none-match") == tag:
                return Answer(304, headers={"ETag": tag})
            return page({"data": [{"code": "DE", "name": str(self.version)}]}, ETag=tag)
        start, end = (datetime.fromisoformat(asked.query[name]) for name in ("since", "before"))
        return page({"data": [order for order in self.orders if start <= datetime.fromisoformat(order["updated_at"]) < end]})


class Clock:
    """The sensor's clock, which a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        """Seconds since 1970."""
        return datetime.now(UTC).timestamp() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Moves the sensor's clock instead of waiting for the next look."""
    clock = Clock()
    monkeypatch.setattr(watch, "now", clock.time)
    return clock


@pytest.fixture
def live() -> Iterator[Live]:
    """The API with one order."""
    api = Live()
    api.add(1)
    with serve(api.answer) as server:
        api.url = server.url
        yield api


def source(url: str, **changes: Any) -> Source:  # noqa: ANN401 - any setting of a source
    """Orders seen by their newest, countries by their ETag."""
    cursor = Cursor(field="updated_at", start=datetime(2024, 3, 1, tzinfo=UTC), start_param="since", end_param="before")
    orders = Stream(
        name="orders", path="/orders", contract=f"{CONTRACTS}:Order", key=("id",), format=Json(), cursor=cursor, probe=NEWEST
    )
    countries = Stream(
        name="countries",
        path="/countries",
        contract=f"{CONTRACTS}:Country",
        key=("code",),
        disposition="replace",
        probe=ConditionalProbe(every=30),
    )
    settings: dict[str, Any] = {
        "name": "live",
        "base_url": url,
        "streams": (orders, countries),
        "limits": Limits(attempts=1, wait_initial=0),
    }
    return Source(**{**settings, **changes})


@pytest.fixture
def bench(live: Live, tmp_path: Path) -> Iterator[Bench]:
    """The API's definitions on real stores, with an instance that remembers."""
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "home")) as instance:
        yield make_bench(source(live.url), tmp_path, instance)


@pytest.fixture
def ticking(bench: Bench, clock: Clock) -> Ticking:
    """The source's change sensor; nothing has been looked at."""
    assert clock.ahead == 0
    return Ticking(bench, "live_changes")


def test_there_is_a_sensor_only_for_what_is_probed_and_it_is_stopped() -> None:
    """Loading asks nobody, needs no address, and switches nothing on."""
    sensor = build([source("http://127.0.0.1:1")]).get_repository_def().get_sensor_def("live_changes")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert sensor.minimum_interval_seconds == 30
    quiet = source("http://127.0.0.1:1").stream("orders").changed(probe=None)
    assert not build([source("http://127.0.0.1:1", streams=(quiet,))]).get_repository_def().has_sensor_def("live_changes")


def test_a_change_is_one_run_and_nothing_new_is_none(live: Live, ticking: Ticking, clock: Clock) -> None:
    """The first tick pulls what nobody saw yet; then only what changed is pulled, once."""
    assert [run.success for run in ticking.go()] == [True, True]
    clock.ahead = 60
    done = ticking.tick()
    assert not done.run_requests
    assert done.skip_message == "orders, countries: unchanged"

    live.add(2)
    live.version = 2
    clock.ahead = 120
    assert [run.success for run in ticking.go()] == [True, True]
    assert ticking.bench.rows("SELECT count(*) AS n FROM live.orders") == [{"n": 2}]
    assert ticking.bench.rows("SELECT name FROM live.countries") == [{"name": "2"}]
    clock.ahead = 180
    assert not ticking.tick().run_requests


def test_only_what_changed_is_pulled(live: Live, ticking: Ticking, clock: Clock) -> None:
    """A change of one stream asks for a run of its two assets and of no others."""
    ticking.end()
    live.add(2)
    clock.ahead = 60
    (request,) = ticking.end()
    assert set(request.asset_selection or []) == {ORDERS, dg.AssetKey(["warehouse", "live", "orders"])}
    assert request.tags["source"] == "live"


def test_a_tick_is_one_request_a_probe_and_comes_no_sooner_than_it_may(live: Live, ticking: Ticking, clock: Clock) -> None:
    """However often the sensor is ticked, a probe is asked once in its interval."""
    for clock.ahead in (0, 1, 2):
        ticking.end()
        assert live.asked == ["/newest", "/countries"]


def test_a_failed_run_is_asked_for_again_later_and_the_change_is_not_lost(ticking: Ticking, clock: Clock) -> None:
    """A run that fails is not repeated at once; after a wait it is, under a run key of its own, until it succeeds."""
    ticking.end(dg.DagsterRunStatus.FAILURE)
    clock.ahead = 60
    done = ticking.tick()
    assert not done.run_requests
    assert "orders, countries: the run failed 1 times" in done.skip_message
    clock.ahead = 400
    assert len(ticking.end()) == 2
    assert len({request.run_key for request in ticking.asked}) == 4
    clock.ahead = 800
    assert ticking.tick().skip_message == "orders, countries: unchanged"


def test_a_run_that_dagster_retries_is_waited_for(ticking: Ticking, clock: Clock) -> None:
    """A run that failed and is about to be retried is under way; a retry that never comes is a failure after all."""
    ticking.end(dg.DagsterRunStatus.FAILURE, **{"dagster/will_retry": "true"})
    runs = ticking.bench.instance.get_runs()
    for run in runs:
        ticking.bench.instance.report_run_failed(run)
    clock.ahead = 60
    assert "under way" in ticking.tick().skip_message
    clock.ahead = 3600
    assert "the run failed 1 times" in ticking.tick().skip_message


def test_no_second_run_while_the_first_is_under_way(live: Live, ticking: Ticking, clock: Clock) -> None:
    """A feed that changes all the time piles up no runs, and is not even looked at meanwhile."""
    ticking.end(dg.DagsterRunStatus.STARTED)
    asked = len(live.asked)
    live.add(2)
    clock.ahead = 60
    assert ticking.tick().skip_message == "orders, countries: a run for the last change is under way"
    assert len(live.asked) == asked


def test_a_run_that_was_deleted_is_asked_for_again(ticking: Ticking, clock: Clock) -> None:
    """Where the run is gone nobody knows how it ended, so the change is pulled once more."""
    ticking.end()
    for run in ticking.bench.instance.get_runs():
        ticking.bench.instance.delete_run(run.run_id)
    clock.ahead = 60
    ticking.tick()
    clock.ahead = 400
    assert len(ticking.end()) == 2


@pytest.mark.parametrize("status", [500, 404, 401])
def test_a_probe_that_fails_skips_with_the_reason_and_forgets_nothing(
    live: Live, ticking: Ticking, clock: Clock, status: int
) -> None:
    """The others are looked at all the same, and what changed meanwhile is seen when the probe works again."""
    ticking.end()
    live.add(2)
    live.status["/newest"] = status
    clock.ahead = 60
    before = json.loads(str(ticking.cursor))["watches"]["orders"]["seen"]
    done = ticking.tick()
    assert not done.run_requests
    assert f"GET /newest answered {status}" in done.skip_message
    assert "countries: unchanged" in done.skip_message
    assert json.loads(done.cursor)["watches"]["orders"]["seen"] == before
    live.status.clear()
    clock.ahead = 120
    assert len(ticking.end()) == 1


def test_a_secret_that_is_not_set_is_a_skip_that_names_it(live: Live, tmp_path: Path) -> None:
    """A probe without its key asks nobody, and says which variable is missing."""
    closed = source(live.url, auth=Bearer(secret="LIVE_KEY"))
    with dg.DagsterInstance.ephemeral() as instance:
        done = Ticking(make_bench(closed, tmp_path, instance), "live_changes").tick()
    assert "Set the environment variable LIVE_KEY." in done.skip_message
    assert not live.asked


def test_an_api_that_asks_for_peace_gets_it(live: Live, ticking: Ticking, clock: Clock) -> None:
    """After a 429 with Retry-After no probe of the source asks before that time."""
    ticking.end()
    live.status["/newest"], live.headers = 429, {"Retry-After": "600"}
    clock.ahead = 60
    ticking.tick()
    asked = len(live.asked)
    clock.ahead = 300
    assert "asked to be left alone" in ticking.tick().skip_message
    assert len(live.asked) == asked
    assert json.loads(str(ticking.cursor))["leave"] > clock.time()


def test_the_same_tick_again_asks_for_the_same_run(live: Live, ticking: Ticking, clock: Clock) -> None:
    """A tick whose cursor was lost asks under the same run key, so that the daemon makes no second run."""
    ticking.end()
    live.add(2)
    clock.ahead = 60
    cursor = ticking.cursor
    (first,) = ticking.tick().run_requests
    ticking.cursor = cursor
    (again,) = ticking.tick().run_requests
    assert first.run_key == again.run_key


def test_a_cursor_that_was_reset_does_not_find_its_old_run_keys(ticking: Ticking, clock: Clock) -> None:
    """Resetting the sensor in the UI pulls once more, although runs of its first change are there."""
    ticking.end()
    for nonsense in (None, "{}", "what?"):
        ticking.cursor = nonsense
        clock.ahead += 60
        ticking.end()
    assert len({request.run_key for request in ticking.asked}) == 8


def test_a_source_s_probe_is_one_request_for_all_its_streams(live: Live, tmp_path: Path) -> None:
    """Streams without a probe of their own share the source's: one look, one run for those that run together."""
    both = source(live.url).streams
    shared = source(live.url, streams=tuple(stream.changed(probe=None) for stream in both), probe=NEWEST)
    with dg.DagsterInstance.ephemeral() as instance:
        ticking = Ticking(make_bench(shared, tmp_path, instance), "live_changes")
        (request,) = ticking.tick().run_requests
        assert live.asked == ["/newest"]
        assert len(request.asset_selection or []) == 4


def lagging(url: str) -> Source:
    """Orders whose data is final after ten minutes."""
    orders = source(url).stream("orders")
    assert orders.cursor is not None
    return source(url, streams=(orders.changed(cursor=orders.cursor.changed(safety_lag=timedelta(minutes=10))),))


def test_a_change_is_pulled_when_the_api_s_data_is_final(live: Live, tmp_path: Path, clock: Clock) -> None:
    """A run that would end its slice before the change waits for the safety lag, instead of taking the change for done."""
    with dg.DagsterInstance.ephemeral() as instance:
        ticking = Ticking(make_bench(lagging(live.url), tmp_path, instance), "live_changes")
        assert len(ticking.end()) == 1
        clock.ahead = 1000
        assert len(ticking.end()) == 1  # what was changed in the ten minutes before the first look
        clock.ahead = 2000
        assert not ticking.end()
        live.add(2)
        clock.ahead = 2100
        assert "not final yet" in ticking.tick().skip_message
        clock.ahead = 2100 + 601
        assert len(ticking.end()) == 1


def hourly(live: Live, folder: Path, instance: dg.DagsterInstance, **changes: Any) -> Ticking:  # noqa: ANN401 - of Partitions
    """The sensor of a source whose orders are partitioned by the hour."""
    start = (datetime.now(UTC) - timedelta(days=3)).date()
    stream = source(live.url).stream("orders").changed(partitions=Partitions(every="hour", start=start, **changes))
    return Ticking(make_bench(source(live.url, streams=(stream,)), folder, instance), "live_changes")


@pytest.mark.usefixtures("one_day")
def test_a_partition_is_pulled_when_it_is_over(live: Live, tmp_path: Path, clock: Clock) -> None:
    """A change waits for the end of its hour; the hours that are over by then are one range."""
    begun = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)

    def at(hours: float) -> str:
        clock.ahead = (begun + timedelta(hours=hours) - datetime.now(UTC)).total_seconds()
        return (begun + timedelta(hours=int(hours))).strftime("%Y-%m-%d-%H:%M")

    with dg.DagsterInstance.ephemeral() as instance:
        ticking = hourly(live, tmp_path, instance)
        at(0.2)
        (first,) = ticking.end()
        assert first.partition_key == at(-1)
        live.add(2)
        at(0.5)
        assert "not final yet" in ticking.tick().skip_message
        at(1.1)
        (second,) = ticking.end()
        assert second.partition_key == at(0)
        live.add(3)
        at(3.9)
        (third,) = ticking.end()
        assert [third.tags[name] for name in RANGE] == [at(1), at(2)]
        at(4.1)
        (last,) = ticking.end()
        assert last.partition_key == at(3)


def test_the_open_partition_is_pulled_where_it_is_refreshed(live: Live, tmp_path: Path) -> None:
    """With a refresh the change is pulled at once, into the partition that is not over."""
    with dg.DagsterInstance.ephemeral() as instance:
        ticking = hourly(live, tmp_path, instance, refresh=timedelta(minutes=5))
        assert [run.success for run in ticking.go()] == [True]
        assert ticking.bench.rows("SELECT count(*) AS n FROM live.orders") == [{"n": 1}]
