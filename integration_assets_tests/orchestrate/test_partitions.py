"""Dagster's partitions against the spec's."""

from datetime import UTC, date, datetime, timedelta
from typing import Literal

import pytest

from integration_assets.orchestrate.partitions import backfill_policy, latest_closed, partitions_def
from integration_assets.spec import Partitions

Every = Literal["hour", "day", "week", "month"]
KINDS: list[tuple[Every, date, str]] = [
    ("hour", date(2024, 3, 1), "UTC"),
    ("day", date(2024, 2, 20), "UTC"),
    ("day", date(2024, 2, 20), "Europe/Berlin"),
    ("day", date(2024, 2, 20), "America/New_York"),
    ("week", date(2024, 1, 29), "America/New_York"),
    ("month", date(2023, 11, 1), "Australia/Lord_Howe"),
]


@pytest.mark.parametrize(("every", "start", "timezone"), KINDS)
def test_windows_are_those_of_the_spec(every: Every, start: date, timezone: str) -> None:
    """Each of Dagster's partitions has the key and the window of the spec's, over both changes of the clock."""
    spec = Partitions(every=every, start=start, timezone=timezone)
    now = datetime(2024, 11, 20, 12, 34, tzinfo=UTC) if every != "hour" else datetime(2024, 3, 4, 5, 6, tzinfo=UTC)
    theirs = partitions_def(spec)
    keys = theirs.get_partition_keys(current_time=now)

    whole = [key for key in spec.keys(spec.origin, now) if _end(spec, key) <= now]
    assert list(keys) == whole
    for key in keys:
        window = theirs.time_window_for_partition_key(key)
        mine = spec.slice_of(key)
        assert (window.start.timestamp(), window.end.timestamp()) == (_stamp(mine.start), _stamp(mine.end))


@pytest.mark.parametrize(("every", "start", "timezone"), KINDS)
def test_the_latest_closed_partition_is_the_last_of_dagster(every: Every, start: date, timezone: str) -> None:
    """What a schedule asks for is the last partition that Dagster has at that moment, also at the very end of one."""
    spec = Partitions(every=every, start=start, timezone=timezone)
    theirs = partitions_def(spec)
    for now in (spec.origin + timedelta(days=40, hours=3, minutes=7), _moment(spec.slice_of(spec.key_of(spec.origin)).end)):
        assert latest_closed(spec, now) == theirs.get_partition_keys(current_time=now)[-1]


def test_no_partition_is_closed_while_the_first_is_open() -> None:
    """Before the end of the first partition there is nothing to ask for."""
    spec = Partitions(every="month", start=date(2024, 3, 1))
    assert latest_closed(spec, datetime(2024, 2, 1, tzinfo=UTC)) is None
    assert latest_closed(spec, datetime(2024, 3, 31, tzinfo=UTC)) is None
    assert latest_closed(spec, datetime(2024, 4, 1, tzinfo=UTC)) == "2024-03-01"


@pytest.mark.parametrize(("every", "start", "timezone"), KINDS)
def test_the_open_partition_is_there_when_it_is_refreshed(every: Every, start: date, timezone: str) -> None:
    """With a refresh, the partition that holds the present moment is the last one; not past a history's end."""
    spec = Partitions(every=every, start=start, timezone=timezone, refresh=timedelta(hours=1))
    now = spec.origin + timedelta(days=40, hours=3, minutes=7)
    assert partitions_def(spec).get_partition_keys(current_time=now)[-1] == spec.key_of(now)
    closed = spec.model_copy(update={"end": datetime.fromisoformat(spec.key_of(now)[:10]).date()})
    if closed.limit is not None and closed.limit <= now:
        keys = partitions_def(closed).get_partition_keys(current_time=now + timedelta(days=400))
        assert keys[-1] == spec.key_of(closed.limit - timedelta(microseconds=1))


def test_a_backfill_takes_a_month_of_days_a_run() -> None:
    """A backfill of a year of days is twelve runs and not 366."""
    assert backfill_policy(Partitions(every="day", start=date(2024, 1, 1))).max_partitions_per_run == 31


def _moment(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value


def _stamp(value: object) -> float:
    return _moment(value).timestamp()


def _end(spec: Partitions, key: str) -> datetime:
    return _moment(spec.slice_of(key).end)


def test_a_closed_history_is_due_once_at_its_end() -> None:
    """The night after the last partition asks for it; a year later nothing is asked for."""
    closed = Partitions(start=date(2024, 1, 1), end=date(2024, 1, 4))
    assert latest_closed(closed, datetime(2024, 1, 4, 2, tzinfo=UTC)) == "2024-01-03"
    assert latest_closed(closed, datetime(2025, 1, 4, 2, tzinfo=UTC)) is None
    assert partitions_def(closed).get_partition_keys() == ["2024-01-01", "2024-01-02", "2024-01-03"]
