"""Outages of days, hour by hour: what the catch-up asks for, how often, and what it leaves alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from integration_assets.orchestrate.attempts import CATCH_UP_TAG, Failures, failures
from integration_assets.orchestrate.catchup_sensor import Cursor, Tick, catch_up_sensor
from integration_assets.orchestrate.sensors.memory import LONGEST_WAIT
from integration_assets.spec import Source, Stream
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, RANGE, WAREHOUSE, Bench, partitions, value
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

RETURNS = dg.AssetKey(["shop", "returns"])


@dataclass
class Night:
    """A source, its bench, and the hands of both clocks: the API's, and the machine's, which backoff goes by."""

    shop: Shop
    source: Source
    bench: Bench
    wall: float = field(default_factory=lambda: datetime.now(UTC).timestamp())
    cursor: str | None = None
    said: str = ""

    def tick(self, now: datetime | None = None) -> Sequence[dg.RunRequest]:
        """Evaluate the sensor; what it asks for."""
        self.shop.clock = now or self.shop.clock
        tick = Tick(self.bench.instance, self.source, self.bench.stores, lambda: self.wall)
        result = tick.result(self.cursor, lambda text: setattr(self, "said", text))
        self.cursor = result.cursor
        for event in result.asset_events:
            self.bench.instance.report_runless_asset_event(event)
        return result.run_requests or []

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run that was asked for, in this process."""
        return self.bench.run(*request.asset_selection or (), partition=request.partition_key, tags=request.tags)

    def ticks(self, first: datetime, hours: range) -> Iterator[tuple[datetime, dg.RunRequest]]:
        """A tick at each of the hours after `first`; each run that is asked for is run at once."""
        for hour in hours:
            moment = first + timedelta(hours=hour)
            for request in self.tick(moment):
                self.run(request)
                yield moment, request

    def wait(self, minutes: float) -> None:
        """Let this machine's clock be so many minutes past the real one, by which Dagster dates the runs of this test."""
        self.wall = datetime.now(UTC).timestamp() + minutes * 60


@pytest.fixture
def night(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    """The shop's orders by day, with a clock of the API's own; three days are in the lake."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    with dg.DagsterInstance.ephemeral() as instance:
        made = of(shop, tmp_path, instance, source().stream("orders"))
        shop.clock = at(4, 1)
        assert made.bench.run(LAKE, partition="2024-03-01", to="2024-03-03").success
        shop.asked.clear()
        yield made


def of(shop: Shop, folder: Path, instance: dg.DagsterInstance, *streams: Stream, **changes: Any) -> Night:  # noqa: ANN401
    """A source of these streams."""
    made = source(shop.url, streams=streams, clock_path="/clock", **changes)
    return Night(shop, made, make_bench(made, folder, instance))


def at(day: int, hour: int = 0) -> datetime:
    """A moment in March 2024."""
    return datetime(2024, 3, day, hour, tzinfo=UTC)


def span(request: dg.RunRequest) -> tuple[str, ...]:
    """The partitions that a run is asked for: the one, or first and last."""
    return (request.partition_key,) if request.partition_key else tuple(request.tags[name] for name in RANGE)


def test_an_outage_of_the_daemon_is_made_up_for_once(night: Night) -> None:
    """Five days nobody ticked: one run for all of them, oldest first, merged; afterwards one run a day and nothing else."""
    asked = [span(request) for _, request in night.ticks(at(9, 4), range(0, 50, 5))]

    assert asked == [("2024-03-04", "2024-03-08"), ("2024-03-09",), ("2024-03-10",)]
    assert night.shop.asked == [f"2024-03-{day:02}" for day in range(4, 11)]
    assert partitions(night.bench.events(LAKE))[3:] == night.shop.asked
    assert value(night.bench.events(WAREHOUSE)[-1], "dagster/row_count") == 30


def test_an_outage_of_the_upstream_is_waited_for_and_made_up_for(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the API is away, runs are asked for ever more rarely; when it is back, everything that was missed is pulled."""
    monkeypatch.setattr("integration_assets.orchestrate.failures.WAITS", ())
    night.shop.broken = {f"2024-03-{day:02}": 503 for day in (4, 5, 6)}
    (first,) = night.tick(at(5, 1))
    assert not night.run(first).success
    assert night.tick() == []
    night.wait(6)
    (second,) = night.tick(at(7, 1))
    assert (span(first), span(second)) == (("2024-03-04",), ("2024-03-04", "2024-03-06"))
    assert not night.run(second).success
    night.wait(9)
    assert "2024-03-04" not in [day for request in night.tick() for day in span(request)]
    night.wait(11)
    night.shop.broken.clear()
    (third,) = night.tick()
    assert night.run(third).success
    assert night.tick() == []
    assert night.bench.instance.get_materialized_partitions(LAKE) == {f"2024-03-{day:02}" for day in range(1, 7)}
    assert value(night.bench.events(WAREHOUSE)[-1], "dagster/row_count") == 18


def test_a_day_that_cannot_be_pulled_keeps_no_other_day_back(night: Night) -> None:
    """The day whose data is wrong is tried again after six hours, for only a human can mend it; later days go on."""
    night.shop.broken = {"2024-03-04": 400}
    (first,) = night.tick(at(6, 1))
    assert span(first) == ("2024-03-04", "2024-03-05")
    assert not night.run(first).success
    assert night.tick() == []
    night.wait(359)
    assert night.tick() == []
    night.wait(361)
    (again,) = night.tick()
    assert span(again) == ("2024-03-04",)
    assert not night.run(again).success
    night.wait(359)
    (later,) = night.tick(at(7, 1))
    assert span(later) == ("2024-03-06",)
    assert night.run(later).success
    assert night.tick() == []
    night.wait(361)
    night.shop.broken.clear()
    (third,) = night.tick()
    assert night.run(third).success
    assert night.bench.instance.get_materialized_partitions(LAKE) == {f"2024-03-{day:02}" for day in range(1, 7)}


def test_waits_grow_to_hours_and_no_further() -> None:
    """A run that keeps failing is asked for four times a day in the end."""
    waits = [Failures(count, 0.0).again / 60 for count in (1, 2, 3, 4, 8, 100)]
    assert waits == [5, 10, 20, 40, 360, 360]


def test_failures_count_in_a_row(night: Night) -> None:
    """A success ends the row for its own partitions alone, and so does a day without a failure."""
    stream, now = night.source.stream("orders"), night.wall

    def ended(kind: dg.DagsterEventType, *names: str) -> None:
        tags = {CATCH_UP_TAG: "shop.orders", **dict(zip(RANGE, names, strict=True))}
        run = create_run_for_test(night.bench.instance, "__ASSET_JOB", status=dg.DagsterRunStatus.STARTED, tags=tags)
        night.bench.instance.report_dagster_event(dg.DagsterEvent(kind.value, job_name="__ASSET_JOB"), run_id=run.run_id)

    def counts(later: float = 60.0) -> dict[str | None, int]:
        found = failures(night.bench.instance, night.source, stream, now + later)
        return {key: one.count for key, one in found.items()}

    for _ in range(3):
        ended(dg.DagsterEventType.RUN_FAILURE, "2024-03-04", "2024-03-05")
    assert counts() == {"2024-03-04": 3, "2024-03-05": 3}
    ended(dg.DagsterEventType.RUN_SUCCESS, "2024-03-05", "2024-03-05")
    assert counts() == {"2024-03-04": 3}
    ended(dg.DagsterEventType.RUN_CANCELED, "2024-03-05", "2024-03-05")
    assert counts() == {"2024-03-04": 3, "2024-03-05": 1}
    assert counts(later=25 * 3600) == {}


def test_a_refused_credential_is_not_repeated_quickly(night: Night) -> None:
    """What only a human can mend is asked for again in hours, as soon as it failed once."""
    night.shop.broken = {"2024-03-04": 403}
    (first,) = night.tick(at(5, 1))
    assert not night.run(first).success
    (found,) = failures(night.bench.instance, night.source, night.source.stream("orders"), night.wall).values()
    assert (found.count, found.again - found.ended) == (1, LONGEST_WAIT)


def test_at_most_one_run_a_stream_and_a_limit_to_each(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Months of missed days are asked for a month at a time, and the next only when the last one ended."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    orders = source().stream("orders")
    assert orders.partitions is not None
    far = orders.changed(partitions=orders.partitions.changed(catch_up=timedelta(days=400)))
    with dg.DagsterInstance.ephemeral() as instance:
        night = of(shop, tmp_path, instance, far)
        shop.clock = at(2, 1)
        assert night.bench.run(LAKE, partition="2024-03-01").success
        (request,) = night.tick(datetime(2024, 6, 20, tzinfo=UTC))
        assert span(request) == ("2024-03-02", "2024-04-01")
        create_run_for_test(
            instance, "__ASSET_JOB", status=dg.DagsterRunStatus.STARTED, tags=request.tags, asset_selection=frozenset({LAKE})
        )
        assert night.tick() == []
        assert night.said == "orders: a run of it is under way"


def test_what_others_are_pulling_is_left_to_them(night: Night) -> None:
    """Days of a run under way are not asked for; a night without a partition may pull any day, so nothing is.

    A run that was never submitted, and one of days that the stream no longer has, keep nothing back.
    """
    running = dg.DagsterRunStatus.STARTED
    backfill = create_run_for_test(
        night.bench.instance,
        "__ASSET_JOB",
        status=running,
        tags=dict(zip(RANGE, ("2024-03-04", "2024-03-05"), strict=True)),
        asset_selection=frozenset({LAKE}),
    )
    assert [span(request) for request in night.tick(at(9, 1))] == [("2024-03-06", "2024-03-08")]
    other = create_run_for_test(night.bench.instance, "shop_sync", status=running)
    assert night.tick() == []
    for run in (backfill, other):
        night.bench.instance.delete_run(run.run_id)
    for first, status in (("2024-03-04", dg.DagsterRunStatus.NOT_STARTED), ("2023-01-01", running)):
        create_run_for_test(
            night.bench.instance,
            "__ASSET_JOB",
            status=status,
            tags=dict(zip(RANGE, (first, "2024-03-05"), strict=True)),
            asset_selection=frozenset({LAKE}),
        )
    assert [span(request) for request in night.tick()] == [("2024-03-04", "2024-03-08")]


def test_a_cancelled_run_is_not_asked_for_again_at_once(night: Night) -> None:
    """Who cancels a catch-up has some minutes to stop the sensor."""
    (request,) = night.tick(at(6, 1))
    run = create_run_for_test(
        night.bench.instance,
        "__ASSET_JOB",
        status=dg.DagsterRunStatus.CANCELED,
        tags={**request.tags},
        asset_selection=frozenset({LAKE}),
    )
    assert run.tags[CATCH_UP_TAG] == "shop.orders"
    assert night.tick() == []
    assert "failed and waits until" in night.said
    night.wait(6)
    assert len(night.tick()) == 1


def test_what_only_the_lake_knows_is_recorded_and_not_pulled(night: Night) -> None:
    """A day that the command line pulled, or whose event a kill swallowed, gets its event; the API is not asked."""
    night.bench.instance.wipe_assets([LAKE])
    assert night.tick(at(4, 2)) == []
    assert night.bench.instance.get_materialized_partitions(LAKE) == {"2024-03-01", "2024-03-02", "2024-03-03"}
    assert night.shop.asked == []
    found = night.bench.events(LAKE)
    assert value(found[0], "outcome") == "found in the lake: no event tells of its pull"
    assert value(found[0], "receipt")["partition"] == "2024-03-01"
    assert night.tick() == []
    assert len(night.bench.events(LAKE)) == 3


def test_the_open_day_is_refreshed_and_closed(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tick by tick: today after twelve hours, its end once it is final, once more after its lookback, and then never again."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    orders = source().stream("orders")
    assert orders.cursor is not None
    assert orders.partitions is not None
    fresh = orders.changed(
        cursor=orders.cursor.changed(lookback=timedelta(hours=3), safety_lag=timedelta(hours=1)),
        partitions=orders.partitions.changed(refresh=timedelta(hours=12), start=date(2024, 3, 1)),
    )
    with dg.DagsterInstance.ephemeral() as instance:
        night = of(shop, tmp_path, instance, fresh)
        pulled = [(f"{moment:%d %H}", *span(request)) for moment, request in night.ticks(at(1), range(0, 42, 3))]
        outcomes = [value(event, "slice") for event in night.bench.events(LAKE)]
    assert pulled == [
        ("01 15", "2024-03-01"),
        ("02 03", "2024-03-01"),
        ("02 06", "2024-03-01"),
        ("02 15", "2024-03-02"),
    ]
    assert outcomes[0] == "[2024-03-01T00:00:00Z, 2024-03-01T14:00:00Z)"
    assert outcomes[1:3] == ["[2024-03-01T00:00:00Z, 2024-03-02T00:00:00Z)"] * 2


def test_a_missed_night_of_a_stream_without_partitions_is_made_up_for(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that goes on from its watermark is asked for when no pull came since its last night, and not before."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    returns = source().stream("returns")
    with dg.DagsterInstance.ephemeral() as instance:
        night = of(shop, tmp_path, instance, returns, schedule="0 2 * * *", jitter=timedelta(0))
        shop.clock = at(8)
        assert night.tick() == []
        assert night.bench.run(RETURNS).success
        assert night.tick() == []
        now = datetime.fromtimestamp(night.wall, UTC)
        coming = now.replace(hour=2, minute=59) + timedelta(days=1 if now.hour >= 2 else 0)
        night.wall = coming.timestamp()
        assert night.tick() == []
        night.wall += 2 * 60
        (request,) = night.tick()
        assert (request.partition_key, request.tags[CATCH_UP_TAG]) == (None, "shop.returns")
        assert "was missed, asked for a run" in night.said


def test_an_api_that_is_away_costs_one_short_question(night: Night) -> None:
    """Where the API's clock is needed and the API is away, nothing is asked for, and the tick says why."""
    gone = night.source.changed(base_url="http://127.0.0.1:1")
    result = Tick(night.bench.instance, gone, night.bench.stores).result(night.cursor)
    assert not result.run_requests
    assert "The API does not say what time it is" in str(result.skip_reason)


def test_the_sensor_is_stopped_until_it_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop opts in; production switches it on by a setting. A source with nothing to miss has none."""
    made = catch_up_sensor(source())
    assert made is not None
    assert made.default_status is dg.DefaultSensorStatus.STOPPED
    monkeypatch.setenv("INTEGRATION_AUTOMATION", "on")
    made = catch_up_sensor(source())
    assert made is not None
    assert made.default_status is dg.DefaultSensorStatus.RUNNING
    assert catch_up_sensor(source(schedule=None, streams=(source().stream("countries"),))) is None


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", '{"turn": 1, "settled": {"orders": "soon"}}', '{"turn": "x", "settled": {}}']
)
def test_a_cursor_that_someone_wrote_is_begun_anew(text: str | None) -> None:
    """Whatever stands in the cursor, the tick goes on; the lake is what counts."""
    assert Cursor.read(text) == Cursor()
    assert Cursor.read(Cursor(2, {"orders": "2024-03-01T00:00:00+00:00"}).write()).after("orders") == at(1)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED])
def test_runs_from_before_the_partitions_were_changed_stop_nothing(night: Night, status: dg.DagsterRunStatus) -> None:
    """A run whose tags name weeks, or hours, of a stream that is by day now keeps none of its days back."""
    old = {**dict(zip(RANGE, ("2024-02-05-00:00", "2024-02-05-03:00"), strict=True))}
    old |= {CATCH_UP_TAG: "shop.orders"} if status is dg.DagsterRunStatus.FAILURE else {}
    for tags in (old, {**old, "dagster/partition": "2023-01-02"}):
        create_run_for_test(night.bench.instance, "__ASSET_JOB", status=status, tags=tags, asset_selection=frozenset({LAKE}))
    assert [span(request) for request in night.tick(at(9, 1))] == [("2024-03-04", "2024-03-08")]
