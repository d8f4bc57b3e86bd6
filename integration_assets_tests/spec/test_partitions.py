"""Partition keys and the slices they name."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from integration_assets.errors import SpecError
from integration_assets.spec import Partitions, Slice


def utc(*parts: int) -> datetime:
    """Give a moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]  # year, month, day, …


@pytest.mark.parametrize(
    ("partitions", "key", "slice_"),
    [
        (Partitions(start=date(2024, 1, 1)), "2024-02-29", Slice(utc(2024, 2, 29), utc(2024, 3, 1))),
        (Partitions(every="hour", start=date(2024, 1, 1)), "2024-01-01-23:00", Slice(utc(2024, 1, 1, 23), utc(2024, 1, 2))),
        (Partitions(every="week", start=date(2024, 1, 1)), "2024-01-08", Slice(utc(2024, 1, 8), utc(2024, 1, 15))),
        (Partitions(every="month", start=date(2024, 1, 1)), "2024-12-01", Slice(utc(2024, 12, 1), utc(2025, 1, 1))),
    ],
)
def test_a_key_names_its_slice(partitions: Partitions, key: str, slice_: Slice) -> None:
    """Every kind of period knows its start and end, and the start's key is the key."""
    assert partitions.slice_of(key) == slice_
    assert partitions.key_of(slice_.start) == key  # type: ignore[arg-type]  # closed


def test_a_day_of_a_changing_clock_is_as_long_as_it_was() -> None:
    """A local day has 23 or 25 hours when the clocks change, and the days meet without a gap."""
    local = Partitions(start=date(2024, 1, 1), timezone="Europe/Berlin")
    spring, autumn = local.slice_of("2024-03-31"), local.slice_of("2024-10-27")
    assert spring.end - spring.start == timedelta(hours=23)  # type: ignore[operator]  # closed
    assert autumn.end - autumn.start == timedelta(hours=25)  # type: ignore[operator]  # closed
    assert local.slice_of("2024-04-01").start == spring.end


def test_the_keys_of_a_range_cover_it_without_a_gap() -> None:
    """The slices of consecutive keys follow each other from the first to the last."""
    partitions = Partitions(start=date(2024, 1, 1), timezone="America/New_York")
    slices = [partitions.slice_of(key) for key in partitions.keys(utc(2024, 3, 1), utc(2024, 4, 1))]
    assert slices[0].start <= utc(2024, 3, 1) < slices[0].end  # type: ignore[operator]  # closed
    assert slices[-1].end >= utc(2024, 4, 1)  # type: ignore[operator]  # closed
    assert all(a.end == b.start for a, b in pairwise(slices))


@pytest.mark.parametrize("key", ["2024-02-30", "yesterday", "2023-12-31", "2024-1-2"])
def test_what_is_no_key_is_refused_with_an_example(key: str) -> None:
    """A key that names no partition of the stream is answered with what keys look like, or where they begin."""
    with pytest.raises(SpecError, match="2024-01-01"):
        Partitions(start=date(2024, 1, 1)).slice_of(key)


def test_a_closed_history_has_a_last_partition() -> None:
    """Keys stop at the end, and a key past it is refused with both boundaries."""
    closed = Partitions(start=date(2024, 1, 1), end=date(2024, 1, 4))
    assert list(closed.keys(utc(2023, 1, 1), utc(2025, 1, 1))) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    with pytest.raises(SpecError, match="before 2024-01-04"):
        closed.slice_of("2024-01-04")
