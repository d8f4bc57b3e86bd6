"""Slices, finished ranges and the watermark."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration_assets.errors import SpecError
from integration_assets.spec.cursor import Cursor, Slice, finish, gaps, plan, steps, watermark

DAY = timedelta(days=1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def ranges(*pairs: tuple[int | None, int | None]) -> tuple[Slice, ...]:
    """Finish the ranges in the order given."""
    finished: tuple[Slice, ...] = ()
    for start, end in pairs:
        finished = finish(finished, Slice(start, end))
    return finished


def test_the_watermark_waits_for_the_contiguous_frontier() -> None:
    """Slices that finish out of order move the watermark only once the gap before them is closed."""
    assert watermark(ranges((0, 1), (2, 3)), 0) == 1
    assert watermark(ranges((0, 1), (2, 3), (1, 2)), 0) == 3
    assert watermark(ranges((2, 3)), 0) is None


def test_rerunning_an_old_slice_never_moves_the_watermark_back() -> None:
    """A slice that is finished again changes nothing."""
    assert ranges((0, 5), (1, 2)) == (Slice(0, 5),)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=20), st.randoms(use_true_random=False))
def test_finished_ranges_are_the_union_in_any_order(pairs: list[tuple[int, int]], random: object) -> None:
    """Whatever order slices finish in, the same points are finished, and ranges stay disjoint and ascending."""
    slices = [(start, start + length) for start, length in pairs]
    shuffled = list(slices)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    finished = ranges(*shuffled)
    points = {point for start, end in slices for point in range(start, end)}
    assert {point for done in finished for point in range(done.start, done.end)} == points
    assert all(a.end < b.start for a, b in pairwise(finished))
    mark = watermark(finished, 0)
    assert mark is None or (set(range(mark)) <= points and mark not in points)
    assert {point for hole in gaps(finished, 0) for point in range(hole.start, hole.end)} == set(
        range(max(points, default=-1) + 1)
    ) - points


def test_a_sync_without_partition_reads_its_lookback_again() -> None:
    """The planned slice begins a lookback before the watermark and ends a safety lag before now."""
    cursor = Cursor(field="t", lookback=timedelta(hours=2), safety_lag=timedelta(minutes=5))
    finished = (Slice(NOON - DAY, NOON),)
    assert plan(cursor, finished, NOON - DAY, NOON + DAY) == Slice(NOON - timedelta(hours=2), NOON + DAY - timedelta(minutes=5))


def test_the_lookback_never_reaches_behind_the_origin() -> None:
    """A stream's history begins at its origin, however long the lookback."""
    cursor = Cursor(field="t", lookback=10 * DAY)
    assert plan(cursor, (Slice(NOON, NOON + DAY),), NOON, NOON + 2 * DAY).start == NOON


def test_long_slices_are_cut_into_steps_that_lose_nothing() -> None:
    """Steps follow each other without gap or overlap and end where the slice ends."""
    cut = list(steps(Cursor(field="t", step=DAY), Slice(NOON, NOON + timedelta(hours=60))))
    assert cut == [
        Slice(NOON, NOON + DAY),
        Slice(NOON + DAY, NOON + 2 * DAY),
        Slice(NOON + 2 * DAY, NOON + timedelta(hours=60)),
    ]


def test_a_slice_survives_its_json_form() -> None:
    """Timestamps, integers and open sides come back equal."""
    for slice_ in (Slice(), Slice(NOON, None), Slice(3, 9), Slice(None, NOON + timedelta(microseconds=1))):
        assert Slice.from_json(slice_.to_json()) == slice_


@pytest.mark.parametrize(
    ("format_", "start", "end"),
    [
        ("iso8601", "2024-05-01T12:00:00.500000Z", "2024-05-02T12:00:00.500000Z"),
        ("epoch_s", "1714564800", "1714651201"),
        ("epoch_ms", "1714564800500", "1714651200500"),
        ("%Y-%m-%d", "2024-05-01", "2024-05-03"),
        ("%Y-%m-%dT%H:%M:%S", "2024-05-01T12:00:00", "2024-05-02T12:00:01"),
    ],
)
def test_a_coarse_query_format_asks_for_more_and_never_less(format_: str, start: str, end: str) -> None:
    """Where the API's format cannot say a boundary exactly, the start is rounded down and the end up."""
    cursor = Cursor(field="t", start_param="since", end_param="until", format=format_)
    moment = NOON + timedelta(milliseconds=500)
    assert cursor.query(Slice(moment, moment + DAY)) == {"since": start, "until": end}


def test_an_exclusive_start_is_asked_one_tick_earlier() -> None:
    """`>` at the API still means `>=` here, so ties at the boundary are not lost."""
    cursor = Cursor(field="n", kind="integer", start_param="after", start_exclusive=True)
    assert cursor.query(Slice(7, None)) == {"after": "6"}


def test_an_exclusive_start_with_whole_days_gives_the_day_before() -> None:
    """An API that leaves out the whole day it is given is asked from the day before."""
    cursor = Cursor(field="t", start_param="after", start_exclusive=True, format="%Y-%m-%d")
    assert cursor.query(Slice(NOON, None)) == {"after": "2024-04-30"}


def test_a_naive_start_is_refused() -> None:
    """A moment without a time zone is no moment."""
    with pytest.raises(SpecError, match="time zone"):
        Cursor(field="t", start=datetime(2024, 1, 1))  # noqa: DTZ001 - the mistake under test
