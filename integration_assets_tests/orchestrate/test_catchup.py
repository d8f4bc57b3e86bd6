"""Which partitions are owed, from the lake's finished ranges alone."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from integration_assets.orchestrate.catchup import Due, closing, contiguous, due, missed, over
from integration_assets.spec import Partitions, Slice, Stream
from integration_assets_tests.orchestrate.shop import source

ORIGIN = date(2024, 3, 1)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    """A moment in March 2024."""
    return datetime(2024, 3, day, hour, minute, tzinfo=UTC)


def days(first: int, last: int) -> Slice:
    """Whole days of March, the last one excluded."""
    return Slice(at(first), at(last))


def stream(lookback: timedelta = timedelta(0), lag: timedelta = timedelta(0), **partitions: Any) -> Stream:  # noqa: ANN401
    """The shop's orders by day."""
    orders = source().stream("orders")
    assert orders.cursor is not None
    cursor = orders.cursor.changed(lookback=lookback, safety_lag=lag)
    return orders.changed(cursor=cursor, partitions=Partitions(**{"every": "day", "start": ORIGIN, **partitions}))


def owed(
    of: Stream, finished: tuple[Slice, ...], now: datetime, pulled: Mapping[str, datetime] | None = None
) -> list[tuple[str, str]]:
    """What is due, as days and reasons."""
    return [(one.key.removeprefix("2024-03-"), one.why) for one in due(of, finished, now, pulled or {})]


def test_after_an_outage_every_missed_day_is_owed_oldest_first() -> None:
    """Four days without anyone pulling are four missed days; today is not over and not among them."""
    assert owed(stream(), (days(1, 6),), at(10, 3)) == [(day, "missed") for day in ("06", "07", "08", "09")]
    assert owed(stream(), (days(1, 10),), at(10, 3)) == []


def test_a_hole_in_the_middle_is_owed_too() -> None:
    """A day that failed while later ones went through is not forgotten, whether all of it is missing or an hour."""
    holes = (days(1, 3), Slice(at(4), at(6, 11)), days(7, 10))
    assert owed(stream(), holes, at(10, 3)) == [("03", "missed"), ("06", "missed")]


def test_what_was_never_pulled_is_no_outage() -> None:
    """History before the first pull is a backfill's business; a stream that was never pulled owes its last day."""
    assert owed(stream(), (days(5, 7),), at(9, 1)) == [("07", "missed"), ("08", "missed")]
    assert owed(stream(), (), at(9, 1)) == [("08", "missed")]
    assert owed(stream(), (), at(1, 5)) == []


def test_catching_up_goes_back_no_further_than_it_is_told() -> None:
    """Holes older than `catch_up` are left to people; the last day that is over is owed whatever it is set to."""
    holes = (days(1, 2), days(3, 4))
    assert [day for day, _ in owed(stream(catch_up=timedelta(days=3)), holes, at(9))] == ["06", "07", "08"]
    assert [day for day, _ in owed(stream(catch_up=timedelta(0)), holes, at(9))] == ["08"]
    assert [day for day, _ in owed(stream(), holes, at(6))] == ["02", "04", "05"]


def test_a_day_is_owed_only_when_it_is_final() -> None:
    """The safety lag is waited for."""
    late = stream(lag=timedelta(hours=2))
    assert owed(late, (days(1, 4),), at(5, 1, 59)) == []
    assert owed(late, (days(1, 4),), at(5, 2)) == [("04", "missed")]


def test_a_day_closes_once_its_lookback_is_over() -> None:
    """Pulled before that, a day is owed once more; pulled after it, or in an unknown way, it is left alone."""
    slow = stream(lookback=timedelta(hours=6), lag=timedelta(hours=1))
    finished = (days(1, 5),)
    early = {"2024-03-03": at(4, 8), "2024-03-04": at(5, 1)}
    assert owed(slow, finished, at(5, 7), early) == []
    assert owed(slow, finished, at(5, 7, 1), early) == [("04", "closing")]
    assert owed(slow, finished, at(5, 8), {**early, "2024-03-04": at(5, 7)}) == []
    assert owed(slow, finished, at(5, 8), {}) == []


def test_only_days_that_may_still_close_are_looked_up() -> None:
    """Without a lookback nothing closes; with one, what is settled is not looked up again."""
    assert closing(stream(), at(9)) == []
    slow = stream(lookback=timedelta(hours=6))
    assert closing(slow, at(4, 7)) == ["2024-03-01", "2024-03-02", "2024-03-03"]
    assert closing(slow, at(4, 5)) == ["2024-03-01", "2024-03-02"]
    assert closing(slow, at(4, 7), after=at(3)) == ["2024-03-03"]


def test_the_open_day_is_refreshed_when_it_is_old_enough() -> None:
    """Today is owed every two hours, is missed when it is over, and then closed like any other day."""
    fresh = stream(refresh=timedelta(hours=2))
    assert owed(fresh, (days(1, 5),), at(5, 1)) == []
    assert owed(fresh, (days(1, 5),), at(5, 2)) == [("05", "open")]
    assert owed(fresh, (Slice(at(1), at(5, 2)),), at(5, 3, 59)) == []
    assert owed(fresh, (Slice(at(1), at(5, 2)),), at(5, 4)) == [("05", "open")]
    assert owed(fresh, (Slice(at(1), at(5, 23)),), at(6)) == [("05", "missed")]
    assert owed(stream(), (days(1, 5),), at(5, 23)) == []


def test_a_history_that_ended_owes_its_holes_and_nothing_more() -> None:
    """Past the end there is no open day; a hole before it is filled while it is within reach."""
    ended = stream(end=date(2024, 3, 5), refresh=timedelta(hours=1))
    assert owed(ended, (days(1, 3),), at(5, 1)) == [("03", "missed"), ("04", "missed")]
    assert owed(ended, (days(1, 2), days(3, 5)), at(20)) == [("02", "missed")]
    assert owed(ended, (days(1, 5),), at(20)) == []
    assert owed(ended, (), at(20)) == []


@pytest.mark.parametrize(
    ("every", "start", "zone", "keys"),
    [
        ("hour", date(2024, 3, 30), "UTC", ["2024-03-31-08:00", "2024-03-31-09:00"]),
        ("day", date(2024, 3, 1), "Europe/Berlin", ["2024-03-30"]),
        ("week", date(2024, 2, 26), "America/New_York", ["2024-03-18"]),
        ("month", date(2024, 1, 1), "UTC", ["2024-02-01"]),
    ],
)
def test_each_kind_of_partition_is_caught_up(every: str, start: date, zone: str, keys: list[str]) -> None:
    """Hours, days, weeks and months in their own zone, over a change of the clock: the gap before the last pull's end."""
    made = stream(every=every, start=start, timezone=zone)
    assert made.partitions is not None
    now = datetime(2024, 3, 31, 10, 5, tzinfo=UTC)
    first = made.partitions.slice_of(keys[0]).start
    assert isinstance(first, datetime)
    origin = made.partitions.origin
    assert [one.key for one in due(made, (Slice(origin, first),), now, {})] == keys


def test_one_run_takes_partitions_that_follow_each_other() -> None:
    """Dagster names a run's partitions by the first and the last: a hole between them ends the run, and so does the limit."""
    partitions = Partitions(start=ORIGIN)
    keys = [f"2024-03-{day:02}" for day in (2, 3, 4, 7, 8)]
    assert contiguous(partitions, keys, 31) == keys[:3]
    assert contiguous(partitions, keys, 2) == keys[:2]
    assert contiguous(partitions, keys[3:], 31) == keys[3:]
    assert contiguous(partitions, [], 31) == []


def test_what_is_over_is_what_is_missed_and_what_is_there() -> None:
    """Every day from the first pull on is either owed or in the lake."""
    made = stream()
    assert made.partitions is not None
    finished = (days(2, 4), days(6, 7))
    there = set(over(made.partitions, finished, at(9))) - set(missed(made.partitions, finished, at(9)))
    assert sorted(there) == ["2024-03-02", "2024-03-03", "2024-03-06"]
    assert over(made.partitions, finished, at(9), after=at(8)) == ["2024-03-08"]
    assert due(made, finished, at(9), {})[0] == Due("2024-03-04", "missed")
