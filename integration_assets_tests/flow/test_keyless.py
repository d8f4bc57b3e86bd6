"""Rows without a key land once: nothing tells one from its copy, so no part of a range is read twice by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integration_assets.errors import SpecError
from integration_assets.spec import Cursor, Parent, Slice, Stream
from integration_assets.sync import sync
from integration_assets_tests.flow.days import DAY, START, Days

_HOUR = timedelta(hours=1)


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    """Three days of readings."""
    with Days(tmp_path, days=3).served() as api:
        yield api


def _stream(days: Days) -> Stream:
    return days.stream(disposition="append", key=())


@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(field="at", start=START, start_param="since", end_param="before", lookback=_HOUR),
        Cursor(field="id", kind="integer", start=0, start_param="since"),
    ],
)
def test_what_every_sync_would_read_again_needs_a_key(cursor: Cursor) -> None:
    """A lookback and the highest number of an integer cursor are read by each sync: their rows would double each night."""
    with pytest.raises(SpecError, match=r"without a key would land once more"):
        Stream(name="readings", path="/", contract="nowhere:Model", disposition="append", cursor=cursor)


def test_children_need_a_key() -> None:
    """They are pulled again whenever their parent changes."""
    parent = Parent(stream="orders", keys={"order": "id"}, columns={"order": "id", "at": "at"})
    with pytest.raises(SpecError, match="without a key would land once more"):
        Stream(
            name="lines",
            path="/{order}/lines",
            contract="nowhere:Model",
            disposition="append",
            cursor=Cursor(field="at"),
            parent=parent,
        )


def test_two_syncs_at_once_land_each_row_once(days: Days) -> None:
    """The later one, whose range ends later, was overtaken while it read: it lands what the other did not."""
    with days.feed(_stream(days)) as feed:

        def overtake(_day: str, _page: int) -> None:
            days.on_ask = lambda *_: None
            with days.feed(_stream(days)) as other:
                list(sync(other, "first", now=START + DAY))

        days.on_ask = overtake
        list(sync(feed, "second", now=START + 2 * DAY))
        assert feed.table.state().finished == (Slice(START, START + 2 * DAY),)
        assert feed.table.count() == 24


def test_a_day_that_was_pulled_before_its_end_is_gone_on_with(days: Days) -> None:
    """A partition that is pulled at noon, and again when it is over, has its morning once; so has a sync around it."""
    with days.feed(_stream(days)) as feed:
        list(sync(feed, "noon", partitions=["2024-03-02"], now=START + DAY + 12 * _HOUR))
        list(sync(feed, "midnight", partitions=["2024-03-02"], now=START + 3 * DAY))
        assert (feed.table.state().finished, feed.table.count()) == ((Slice(START + DAY, START + 2 * DAY),), 12)
        list(sync(feed, "all", now=START + 3 * DAY))
        assert (feed.table.state().finished, feed.table.count()) == ((Slice(START, START + 3 * DAY),), 36)
    assert days.merged(_stream(days)) == days.truth()


def test_a_day_that_is_asked_for_again_lands_again(days: Days) -> None:
    """Who names a partition that is whole, or a range, wants it anew, gets it, and is told; so not who gets what is new."""
    with days.feed(_stream(days)) as feed:
        asked: tuple[dict[str, Any], ...] = (
            {"partitions": ["2024-03-01"]},
            {"partitions": ["2024-03-01"]},
            {},
            {"span": Slice(START, START + 2 * DAY)},
        )
        told = [
            ["once more" in " ".join(receipt.warnings) for receipt in sync(feed, "run", now=START + 3 * DAY, **what)]
            for what in asked
        ]
        assert told == [[False], [True], [False], [True]]
        assert feed.table.count() == 12 + 12 + 24 + 24
        assert any("once more" in warning for warning in feed.table.receipts(limit=1)[0].warnings)


def test_steps_that_another_sync_lands_meanwhile_are_left_to_it(days: Days) -> None:
    """A sync that was planned, and slept while another landed all of its steps, lands none of them again."""
    stream = days.in_steps().changed(disposition="append", key=())
    with days.feed(stream) as feed:
        receipts = sync(feed, "slow", now=START + 3 * DAY)
        next(receipts)
        with days.feed(stream) as other:
            list(sync(other, "quick", now=START + 3 * DAY))
        list(receipts)
        assert (feed.table.state().finished, feed.table.count()) == ((Slice(START, START + 3 * DAY),), 36)
