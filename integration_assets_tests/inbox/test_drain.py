"""From events to runs and back, at times of the test's choice: what is asked for, what counts as done, what waits again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from integration_assets.inbox.drain import LOST, PATIENCE, STUCK, Seen, Settled, Wanted, request, settle
from integration_assets.inbox.event import Event
from integration_assets.inbox.store import Inbox, open_inbox
from integration_assets.spec import Partitions, Receipt, Source
from integration_assets_tests.inbox.upstream import source

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SHOP = source()


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    """An empty inbox."""
    with open_inbox(str(tmp_path / "inbox.sqlite")) as opened:
        yield opened


def put(inbox: Inbox, id_: str, *streams: str, happened: datetime | None = None, received: datetime = NOON) -> None:
    """Keep one event."""
    inbox.put([Event("shop", id_, "t", streams, happened, received)])


def ask(inbox: Inbox, now: datetime, shop: Source = SHOP) -> list[tuple[tuple[str, ...], str | None, str | None, int]]:
    """What is requested: streams, first and last partition, events."""
    return [(one.streams, one.part.first, one.part.last, one.events) for one in request(inbox, shop, now)]


def receipt(stream: str, began: datetime, end: datetime, partition: str | None = None, outcome: str = "committed") -> Receipt:
    """The receipt of a slice up to `end` that began then."""
    return Receipt(
        source="shop",
        stream=stream,
        run_id="run",
        outcome=outcome,
        slice=(None, end.isoformat()),
        partition=partition,
        started_at=began.isoformat(),
    )


def ended(*receipts: Receipt) -> Seen:
    """A run that is over, with these slices landed and merged."""
    return Seen(ended=True, receipts={one.stream: [two for two in receipts if two.stream == one.stream] for one in receipts})


def test_one_run_serves_all_that_waits_for_a_stream(inbox: Inbox) -> None:
    """A thousand events are one request, of all streams without partitions together; while it is under way nothing is asked."""
    inbox.put([Event("shop", str(number), "t", ("returns", "countries"), None, NOON) for number in range(1000)])
    assert ask(inbox, NOON) == [(("returns", "countries"), None, None, 2000)]
    put(inbox, "late", "returns")
    assert ask(inbox, NOON + MINUTE) == []
    assert settle(inbox, SHOP, lambda _: Seen(ended=False, receipts={}), NOON + MINUTE) == Settled(waiting=2000)
    good = ended(receipt("returns", NOON, NOON), receipt("countries", NOON, NOON))
    assert settle(inbox, SHOP, lambda _: good, NOON + HOUR) == Settled(acknowledged=2000)
    assert ask(inbox, NOON + HOUR) == [(("returns",), None, None, 1)]


@pytest.mark.parametrize(
    ("happened", "span"),
    [
        (datetime(2024, 3, 4, 15, tzinfo=UTC), ("2024-03-04", "2024-03-04")),
        (datetime(2024, 3, 4, 0, 10, tzinfo=UTC), ("2024-03-03", "2024-03-04")),
        (datetime(2024, 3, 1, 0, 10, tzinfo=UTC), ("2024-03-01", "2024-03-01")),
        (None, ("2024-03-10", "2024-03-10")),
    ],
)
def test_a_partitioned_stream_is_pulled_where_the_event_s_time_falls(
    inbox: Inbox, happened: datetime | None, span: tuple[str, str]
) -> None:
    """Its partition, with the one before when that is within the lookback; without a time, the one that is open."""
    put(inbox, "a", "orders", happened=happened)
    assert ask(inbox, NOON) == [(("orders",), *span, 1)]


def test_events_of_one_partition_share_a_run(inbox: Inbox) -> None:
    """Of three days there are three runs at most; a day that a wider run pulls anyway needs none of its own."""
    for hour in (0, 15):
        put(inbox, f"4th {hour}", "orders", happened=datetime(2024, 3, 4, hour, 1, tzinfo=UTC))
        put(inbox, f"6th {hour}", "orders", happened=datetime(2024, 3, 6, hour + 1, 1, tzinfo=UTC))
    assert ask(inbox, NOON) == [
        (("orders",), "2024-03-03", "2024-03-04", 2),
        (("orders",), "2024-03-06", "2024-03-06", 2),
    ]


def test_many_partitions_are_asked_for_a_few_at_a_time(inbox: Inbox) -> None:
    """Events of thirty days are ten runs, the oldest first; the rest wait for those."""
    start = datetime(2024, 3, 1, 12, tzinfo=UTC)
    for day in range(30):
        put(inbox, str(day), "orders", happened=start + day * DAY)
    asked = request(inbox, SHOP, NOON + 40 * DAY)
    assert [one.part.first for one in asked] == [f"2024-03-{day:02}" for day in range(1, 11)]
    assert len(inbox.pending("shop", "orders", NOON, NOON, 100)) == 20


def test_what_lies_in_no_partition_is_set_aside(inbox: Inbox) -> None:
    """No run could ever pull it: it is kept as ignored, and asks for nothing."""
    put(inbox, "too early", "orders", happened=datetime(2024, 2, 1, tzinfo=UTC))
    assert ask(inbox, NOON) == []
    assert [(count.state, count.rows) for count in inbox.counts()] == [("ignored", 1)]


def test_what_comes_later_than_the_lookback_is_pulled_again_around_its_time(inbox: Inbox) -> None:
    """A pull of what is new would begin after it: ranges of the past are asked for, near ones as one, and only they prove it."""
    put(inbox, "in time", "returns", happened=NOON - 14 * MINUTE)
    for name, hours in {"a": 30, "b": 29.5, "c": 10}.items():
        put(inbox, name, "returns", happened=NOON - hours * HOUR)
    asked = request(inbox, SHOP, NOON)
    found = {(one.part.start, one.part.end): one.events for one in asked}
    early, late = NOON - 30 * HOUR, NOON - 10 * HOUR
    assert found == {
        (None, None): 1,
        (early - 15 * MINUTE, early + 31 * MINUTE): 2,
        (late - 15 * MINUTE, late + MINUTE): 1,
    }
    new = replace(receipt("returns", NOON, NOON), slice=((NOON - HOUR).isoformat(), NOON.isoformat()))
    past = replace(new, slice=((early - HOUR).isoformat(), (early + HOUR).isoformat()))
    wanted = {one.batch: one.part.start for one in asked}
    seen = {None: new, early - 15 * MINUTE: past, late - 15 * MINUTE: new}
    assert settle(inbox, SHOP, lambda batch: ended(seen[wanted[batch]]), NOON + MINUTE) == Settled(acknowledged=3, released=1)
    (item,) = inbox.troubled(1)
    assert item.id == "c"


def test_what_lies_before_a_stream_s_history_is_set_aside(inbox: Inbox) -> None:
    """A stream without partitions has a begin as well."""
    put(inbox, "too early", "returns", happened=datetime(2024, 2, 1, tzinfo=UTC))
    assert ask(inbox, NOON) == []
    assert [(count.state, count.rows) for count in inbox.counts()] == [("ignored", 1)]


def test_a_stream_s_safety_lag_is_waited_for(inbox: Inbox) -> None:
    """A pull that cannot reach the event yet is not asked for; nor does one that began too early prove anything."""
    returns = SHOP.stream("returns")
    assert returns.cursor is not None
    slow = SHOP.changed(
        streams=(returns.changed(cursor=returns.cursor.changed(safety_lag=HOUR)), *SHOP.streams[:1], SHOP.streams[2])
    )
    put(inbox, "a", "returns")
    assert ask(inbox, NOON + 59 * MINUTE, slow) == []
    assert ask(inbox, NOON + HOUR, slow) == [(("returns",), None, None, 1)]
    early = ended(receipt("returns", NOON + 59 * MINUTE, NOON - MINUTE))
    assert settle(inbox, slow, lambda _: early, NOON + 2 * HOUR) == Settled(released=1)


def test_an_event_of_this_very_second_waits_until_it_is_over(inbox: Inbox) -> None:
    """By our clock a pull would end before it; one that is hours ahead is wrong about the time and goes on."""
    put(inbox, "a", "returns", happened=NOON + timedelta(seconds=0.9))
    assert ask(inbox, NOON + timedelta(seconds=0.5)) == []
    assert ask(inbox, NOON + timedelta(seconds=1)) == [(("returns",), None, None, 1)]
    put(inbox, "b", "countries", happened=NOON + 5 * HOUR)
    assert ask(inbox, NOON) == [(("countries",), None, None, 1)]


@pytest.mark.parametrize("ahead", [10 * MINUTE, 5 * HOUR, 75 * 365 * DAY])
def test_a_time_far_ahead_is_not_believed(inbox: Inbox, ahead: timedelta) -> None:
    """The moment the event came stands for it, when it is planned and when it is judged: no run of a later day fails for it."""
    put(inbox, "a", "orders", happened=NOON + ahead)
    assert ask(inbox, NOON) == [(("orders",), "2024-03-10", "2024-03-10", 1)]
    early = ended(receipt("orders", NOON - MINUTE, NOON + MINUTE, "2024-03-10"))
    assert settle(inbox, SHOP, lambda _: early, NOON + MINUTE) == Settled(released=1)
    request(inbox, SHOP, NOON + 2 * MINUTE)
    good = ended(receipt("orders", NOON + 2 * MINUTE, NOON + 2 * MINUTE, "2024-03-10"))
    # Judged later than it was planned, when its time may have come: what counts is what was asked for.
    assert settle(inbox, SHOP, lambda _: good, NOON + 6 * HOUR) == Settled(acknowledged=1)


@pytest.mark.parametrize(
    ("seen", "after", "trouble"),
    [
        (None, LOST + MINUTE, "no run came of the request"),
        (Seen(ended=False, receipts={}), PATIENCE + MINUTE, "has not ended"),
        (ended(), MINUTE, "landed and merged no slice"),
        (ended(receipt("orders", NOON - MINUTE, NOON + HOUR, "2024-03-10")), MINUTE, "landed and merged no slice"),
        (ended(receipt("orders", NOON, NOON + HOUR, "2024-03-10", "taken")), MINUTE, "landed and merged no slice"),
        (ended(replace(receipt("orders", NOON, NOON, "2024-03-10"), started_at="")), MINUTE, "landed and merged no slice"),
        (ended(receipt("orders", NOON, NOON + HOUR, "2024-03-09")), MINUTE, "did not pull partition 2024-03-10"),
        (ended(receipt("orders", NOON, NOON - HOUR, "2024-03-10")), MINUTE, "the event is of 2024-03-10T11:59:00"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_run_that_does_not_prove_it_is_in_vain(inbox: Inbox, seen: Seen | None, after: timedelta, trouble: str) -> None:
    """Lost, endless, failed, begun before the event, taken by another, of another day, not reaching far enough: asked again."""
    put(inbox, "a", "orders", happened=NOON - MINUTE)
    request(inbox, SHOP, NOON)
    assert settle(inbox, SHOP, lambda _: seen, NOON + after) == Settled(released=1)
    (item,) = inbox.troubled(1)
    assert trouble in str(item.trouble)
    assert ask(inbox, NOON + after) == []
    assert ask(inbox, NOON + after + HOUR) == [(("orders",), "2024-03-10", "2024-03-10", 1)]


def test_a_run_is_waited_for_and_not_judged_early(inbox: Inbox) -> None:
    """Neither a request whose run is not there yet nor a run under way is given up."""
    put(inbox, "a", "orders")
    request(inbox, SHOP, NOON)
    assert settle(inbox, SHOP, lambda _: None, NOON + LOST) == Settled(waiting=1)
    assert settle(inbox, SHOP, lambda _: Seen(ended=False, receipts={}), NOON + PATIENCE) == Settled(waiting=1)


def test_streams_of_one_run_are_judged_alone(inbox: Inbox) -> None:
    """When one stream of a run failed, the other's events are done all the same."""
    put(inbox, "a", "returns", "countries")
    request(inbox, SHOP, NOON)
    half = ended(receipt("countries", NOON, NOON))
    assert settle(inbox, SHOP, lambda _: half, NOON + MINUTE) == Settled(acknowledged=1, released=1)
    assert [item.stream for item in inbox.troubled(1)] == ["returns"]


def test_what_no_run_settles_is_tried_ever_more_rarely_and_reported(inbox: Inbox) -> None:
    """The wait doubles up to an hour, and after five runs the event is stuck: reported, kept, still tried."""
    put(inbox, "a", "returns")
    now, waits = NOON, []
    for attempt in range(9):
        assert len(inbox.troubled(STUCK)) == (attempt >= STUCK)
        assert len(request(inbox, SHOP, now)) == 1
        settle(inbox, SHOP, lambda _: ended(), now)
        (item,) = inbox.troubled(0)
        waits.append((item.due_at - now).total_seconds())
        assert request(inbox, SHOP, item.due_at - timedelta(seconds=1)) == []
        now = item.due_at
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_change_of_the_partitions_does_not_lose_what_waits(inbox: Inbox) -> None:
    """Events are not bound to the partitions of the day they came: months instead of days, and they ask for a month."""
    put(inbox, "a", "orders", happened=datetime(2024, 3, 4, 15, tzinfo=UTC))
    request(inbox, SHOP, NOON)
    orders = SHOP.stream("orders").changed(partitions=Partitions(every="month", start=date(2024, 1, 1)))
    monthly = SHOP.changed(streams=(orders, *SHOP.streams[1:]))
    day = ended(receipt("orders", NOON, NOON, "2024-03-04"))
    assert settle(inbox, monthly, lambda _: day, NOON) == Settled(released=1)
    assert ask(inbox, NOON + HOUR, monthly) == [(("orders",), "2024-03-01", "2024-03-01", 1)]


def test_a_batch_is_the_mark_of_its_run(inbox: Inbox) -> None:
    """Each request has a mark of its own, by which its run is looked for."""
    put(inbox, "a", "returns")
    put(inbox, "b", "orders")
    asked: list[Wanted] = request(inbox, SHOP, NOON)
    marks: list[str] = []
    settle(inbox, SHOP, marks.append, NOON)  # type: ignore[func-returns-value]
    assert sorted(marks) == sorted(one.batch for one in asked)
    assert len(set(marks)) == 2


def test_a_clock_that_was_ahead_holds_no_event_back(inbox: Inbox) -> None:
    """What was received, requested or put off by it is asked for at once when the clock is right, and settled by that run."""
    put(inbox, "received", "returns", received=NOON + 365 * DAY)
    put(inbox, "asked", "countries")
    assert ask(inbox, NOON + 365 * DAY) == [(("returns", "countries"), None, None, 2)]
    assert settle(inbox, SHOP, lambda _: None, NOON) == Settled(released=2)
    assert sum(events for *_, events in ask(inbox, NOON + HOUR)) == 2
    began = NOON + HOUR + MINUTE
    good = ended(receipt("returns", began, began), receipt("countries", began, began))
    assert settle(inbox, SHOP, lambda _: good, NOON + 2 * HOUR) == Settled(acknowledged=2)


def test_an_event_that_was_put_off_by_a_clock_that_was_ahead_is_due(inbox: Inbox) -> None:
    """A run in vain puts it off by the clock of then; by the right one it is due."""
    put(inbox, "a", "returns")
    ask(inbox, NOON)
    assert settle(inbox, SHOP, lambda _: None, NOON + 365 * DAY) == Settled(released=1)
    assert ask(inbox, NOON + HOUR) == [(("returns",), None, None, 1)]
