"""The warehouse equals the upstream's own truth, row by row, whatever way it got there."""

import random

import pytest

from integration_assets.spec.cursor import Slice, gaps
from integration_assets.sync import sync
from integration_assets_tests.flow.world import World

STREAMS = ("flights", "weather", "airports", "airlines", "planes")
DAYS = [f"2012-12-{day}" for day in (30, 31)] + [f"2013-01-0{day}" for day in range(1, 4)]
HOUR = 3600


@pytest.mark.parametrize("stream", STREAMS)
def test_a_full_load_equals_the_truth(world: World, stream: str) -> None:
    """Every record of the API is in the table with every value, and no other is."""
    receipts = world.pull(stream)
    assert receipts
    assert all(receipt.adds_up for receipt in receipts)
    assert sum(receipt.rejected for receipt in receipts) == 0
    assert world.rows(stream) == world.truth(stream)


def test_deltas_follow_the_upstream_as_its_clock_moves(world: World) -> None:
    """After each step of the clock one sync brings new, changed and withdrawn flights, and nothing else is asked for."""
    world.pull("flights")
    for hours in (1, 5, 24):
        world.upstream.advance(hours * HOUR)
        before = len(world.rows("flights"))
        receipts = world.pull("flights")
        assert world.rows("flights") == world.truth("flights")
        assert sum(receipt.accepted for receipt in receipts) < before


def test_a_repeated_sync_pulls_only_the_lookback_and_changes_nothing(world: World) -> None:
    """With nothing new upstream, a second sync lands no row and leaves the table as it is."""
    world.pull("flights")
    rows = world.rows("flights")
    receipts = world.pull("flights")
    assert sum(receipt.accepted for receipt in receipts) == 0
    assert world.rows("flights") == rows
    assert world.merge("flights").rows_read == 0


def test_partitions_in_any_order_and_twice_equal_the_truth(world: World) -> None:
    """A backfill out of order, with repeats, ends in the same table, and the frontier closes when the last gap does."""
    shuffled = [*DAYS, *DAYS[2:4]]
    random.Random(7).shuffle(shuffled)  # noqa: S311 - a repeatable order, no secret
    for key in shuffled:
        world.pull("flights", [key])
    assert world.rows("flights") == world.truth("flights")
    with world.feed("flights") as (feed, _):
        state = feed.table.state()
        assert gaps(state.finished, feed.stream.origin) == ()
        assert len(state.finished) == 1


def test_an_old_partition_again_never_brings_old_values_back(world: World) -> None:
    """Refetching a day after its flights have moved on leaves newer versions and withdrawals in place."""
    world.pull("flights", DAYS)
    world.upstream.advance(30 * HOUR)
    world.pull("flights")
    world.pull("flights", DAYS)
    assert world.rows("flights") == world.truth("flights")


def test_merging_late_and_at_once_equals_merging_often(world: World) -> None:
    """A warehouse that was away for many commits catches up to the same table."""
    with world.feed("flights") as (feed, _):
        for key in reversed(DAYS):
            list(sync(feed, "run", partitions=[key]))
    result = world.merge("flights")
    assert result.rows_read >= result.rows_total
    assert world.rows("flights") == world.truth("flights")


def test_an_unchanged_snapshot_costs_one_request_and_no_commit(world: World) -> None:
    """With an ETag the API says 304; without one the same content is recognised; either way nothing is written."""
    for stream in ("airlines", "airports"):
        world.pull(stream)
        with world.feed(stream) as (feed, _):
            version = feed.table.version()
        world.upstream.forget_requests()
        (receipt,) = world.pull(stream)
        assert receipt.outcome == "unchanged"
        assert receipt.adds_up
        with world.feed(stream) as (feed, _):
            assert feed.table.version() == version
    assert world.upstream.requests()["/v1/airports"] == {"200": 4}


def test_a_partition_that_is_still_open_is_finished_only_so_far(world: World) -> None:
    """Today's partition is pulled up to now, and pulled again later it brings the rest."""
    today = "2013-01-04"
    world.upstream.set_clock("2013-01-04T12:00:00Z")
    world.pull("flights", [*DAYS, today])
    with world.feed("flights") as (feed, _):
        assert str(feed.table.state().finished[-1].end) == "2013-01-04 12:00:00+00:00"
    world.upstream.set_clock("2013-01-05T00:00:00Z")
    world.pull("flights", [today])
    assert world.rows("flights") == world.truth("flights")


def test_a_dry_run_writes_nothing(world: World) -> None:
    """It asks for one page, says what it found, and neither lake nor quarantine is touched."""
    (receipt,) = world.pull("flights", dry_run=True)
    assert receipt.outcome == "dry-run"
    assert receipt.pages == 1
    assert not any(path.suffix in {".parquet", ".json"} for path in (world.folder / "lake").rglob("*"))


def test_an_explicit_range_is_pulled_again(world: World) -> None:
    """A refetch of a range lands its records anew and the table stays right."""
    world.pull("flights")
    whole = world.contract("flights")
    assert whole
    with world.feed("flights") as (feed, _):
        slice_ = feed.stream.partitions.slice_of("2013-01-02") if feed.stream.partitions else Slice()
    (receipt,) = world.pull("flights", span=slice_)
    assert receipt.accepted > 0
    assert receipt.duplicate == 0
    assert world.rows("flights") == world.truth("flights")


def test_a_token_that_expires_late_repeats_only_its_own_step(world: World) -> None:
    """Steps that are committed are not pulled again when a later one must be."""
    world.upstream.faults([{"path": "/v1/flights", "kind": "token_refused", "times": 1, "after": 2}])
    with world.feed("flights", page_size=500) as (feed, _):
        receipts = list(sync(feed, "run", span=Slice(feed.stream.origin)))
        assert world.upstream.fired() == [1]
        assert [receipt.slice[0] for receipt in receipts] == sorted({receipt.slice[0] for receipt in receipts})
        assert feed.table.count() == sum(receipt.accepted for receipt in receipts)
