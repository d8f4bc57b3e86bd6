"""The inbox in SQLite and in Postgres: the same promises."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from integration_assets.errors import HumanNeededError, RescheduleError, SpecError
from integration_assets.inbox.event import Event
from integration_assets.inbox.store import Inbox, open_inbox

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def event(id_: str, *streams: str, source: str = "shop", at: datetime = NOW) -> Event:
    """An event as the receiver reads it."""
    return Event(source, id_, "order.updated", streams, None, at)


@pytest.fixture(params=["sqlite", "postgres"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty inbox in either database."""
    if request.param == "sqlite":
        return str(tmp_path / "inbox.sqlite")
    found: str = request.getfixturevalue("postgres_uri")
    import psycopg2  # type: ignore[import-untyped]

    connection = psycopg2.connect(found)
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS inbox_events")
    connection.close()
    return found


@pytest.fixture
def inbox(uri: str) -> Iterator[Inbox]:
    """The inbox, open."""
    with open_inbox(uri) as opened:
        yield opened


def pending(inbox: Inbox, stream: str = "orders", now: datetime = LATER) -> list[str]:
    """Ids of what is due."""
    return [item.id for item in inbox.pending("shop", stream, now, now, 100)]


def test_an_id_counts_once_in_its_source(inbox: Inbox) -> None:
    """The same id again, in one call or another, is a duplicate; in another source it is another event."""
    assert inbox.put([event("a", "orders"), event("b", "orders"), event("a", "orders")]) == [True, True, False]
    assert inbox.put([event("b", "orders"), event("c", "orders", "customers"), event("b", "orders", source="mart")]) == [
        *(False, True, True),
    ]
    assert inbox.put([]) == []
    assert pending(inbox) == ["a", "b", "c"]
    assert pending(inbox, "customers") == ["c"]


def test_an_event_goes_from_pending_to_done_and_back_when_its_run_failed(inbox: Inbox) -> None:
    """Requested items are not pending; released ones are, later and with one attempt more; acknowledged ones never again."""
    inbox.put([event("a", "orders"), event("b", "orders")])
    items = inbox.pending("shop", "orders", LATER, LATER, 100)
    assert inbox.request(items, "batch-1", NOW) == 2
    assert inbox.request(items, "batch-2", NOW) == 0
    assert pending(inbox) == []
    first, second = inbox.requested("shop")
    assert (first.batch, first.requested_at, first.attempts) == ("batch-1", NOW, 0)

    assert inbox.acknowledge([first], NOW) == 1
    assert inbox.release([second], LATER, "the run failed") == 1
    assert pending(inbox, now=LATER - timedelta(seconds=1)) == []
    assert pending(inbox) == ["b"]
    (item,) = inbox.troubled(1)
    assert (item.id, item.attempts, item.trouble, item.batch) == ("b", 1, "the run failed", None)
    assert inbox.put([event("a", "orders")]) == [False]


def test_what_is_open_is_never_forgotten(inbox: Inbox) -> None:
    """Only what was done, or concerns no stream, goes after its days; then its id counts as new."""
    inbox.put([event("done", "orders"), event("waits", "orders"), event("runs", "orders"), event("nothing")])
    done, _, runs = inbox.pending("shop", "orders", LATER, LATER, 100)
    inbox.request([done, runs], "batch-1", NOW)
    inbox.acknowledge([done], NOW)

    assert inbox.forget(NOW) == 0
    assert inbox.forget(LATER) == 2
    assert inbox.put([event("done", "orders"), event("waits", "orders"), event("runs", "orders")]) == [True, False, False]


def test_times_come_back_as_they_were(inbox: Inbox) -> None:
    """To the microsecond, in UTC; pending goes by when an event was received."""
    happened = datetime(2013, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    inbox.put([Event("shop", "a", "order.new", ("orders",), happened, NOW)])
    assert inbox.pending("shop", "orders", NOW - timedelta(microseconds=1), LATER, 100) == []
    (item,) = inbox.pending("shop", "orders", NOW, LATER, 100)
    assert (item.happened_at, item.received_at, item.type) == (happened, NOW, "order.new")


def test_the_counts_are_by_source_stream_and_state(inbox: Inbox) -> None:
    """What `integration inbox status` shows."""
    inbox.put([event("a", "orders", at=LATER), event("b", "orders"), event("c")])
    inbox.put([event("d")], "unreadable")
    shown = [(count.source, count.stream, count.state, count.rows, count.oldest) for count in inbox.counts()]
    assert shown == [("shop", "", "ignored", 1, NOW), ("shop", "", "unreadable", 1, NOW), ("shop", "orders", "pending", 2, NOW)]


def _put(uri: str, name: int, results: Any) -> None:  # noqa: ANN401 - a queue
    with open_inbox(uri) as inbox:
        fresh = 0
        for start in range(0, 300, 20):
            mine = [event(str(number), "orders") for number in range(start, start + 20)]
            fresh += sum(inbox.put(mine if name % 2 else mine[::-1]))
    results.put(fresh)


def test_processes_that_race_keep_each_event_once(uri: str) -> None:
    """Three processes make the table and put the same 300 events at the same time: each is new to exactly one of them."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_put, args=(uri, name, results)) for name in range(3)]
    for worker in workers:
        worker.start()
    counted = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sum(counted) == 300
    with open_inbox(uri) as inbox:
        assert [(count.state, count.rows) for count in inbox.counts()] == [("pending", 300)]


def test_a_connection_that_broke_is_made_again(postgres_uri: str) -> None:
    """After Postgres cut the connection one call fails with what to do about it, and the next one works."""
    import psycopg2

    with open_inbox(postgres_uri) as inbox:
        inbox.put([event("before", "orders", source="broken")])
        other = psycopg2.connect(postgres_uri)
        other.autocommit = True
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'integration inbox'")
        other.close()
        with pytest.raises(RescheduleError, match="INTEGRATION_INBOX_URI"):
            inbox.put([event("after", "orders", source="broken")])
        assert inbox.put([event("before", "orders", source="broken"), event("after", "orders", source="broken")]) == [False, True]


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("mysql://somebody:hunter2@db/x", SpecError),
        ("postgresql://somebody:hunter2@[db/x", SpecError),
        ("postgresql://somebody:hunter2@127.0.0.1:1/x", RescheduleError),
        ("/proc/nowhere/inbox.sqlite", HumanNeededError),
    ],
)
def test_a_wrong_address_is_said_without_its_password(address: str, error: type[Exception]) -> None:
    """The setting is named, and what the address holds is not repeated."""
    with pytest.raises(error, match="INTEGRATION_INBOX_URI") as raised:
        open_inbox(address)
    assert "hunter2" not in str(raised.value)
