"""The inbox itself: a table of events in SQLite or Postgres. What a call has returned from is on disk.

One row an event and stream that it asks for:

    pending ──request──▶ requested ──acknowledge──▶ acknowledged ──forget──▶ (gone, after days)
       ▲                     │
       └──────release────────┘   one attempt more and due later; a row that is not acknowledged is never dropped

    ignored     its type is mapped to no stream, no run could ever pull what it tells of, or someone dismissed it
    unreadable  a queue's message that is not what the source describes
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

from integration_assets.errors import SpecError
from integration_assets.inbox.event import Event

PENDING, REQUESTED, ACKNOWLEDGED, IGNORED, UNREADABLE = "pending", "requested", "acknowledged", "ignored", "unreadable"
AHEAD = timedelta(hours=2)
"""Longer than any item waits: no clock that is right says so of the time to come."""
_ROWS = 500
"""Rows in one statement: SQLite and Postgres both limit how many values it may have."""
_COLUMNS = "seq, source, id, stream, type, happened_at, received_at, due_at, attempts, batch, requested_at, trouble"


class Database(Protocol):
    """What SQLite and Postgres have to give: transactions that are on disk when their block ends."""

    where: str
    """For people; without a password."""
    serial: str
    """The type of a column that numbers the rows."""
    several: bool
    """Whether two processes can make the table at the same moment, and must be kept from it."""

    def transaction(self) -> AbstractContextManager[Any]:
        """A cursor in a transaction. Raises `RescheduleError` when the database does not answer within its limits."""

    def close(self) -> None:
        """Let the connection go."""


@dataclass(frozen=True, slots=True)
class Item:
    """One event for one stream that is not done yet.

    due_at       : not requested before.
    attempts     : how many runs were requested for it in vain; `trouble` is why the last one was.
    batch        : of the run that was requested for it, at `requested_at`.
    """

    seq: int
    source: str
    id: str
    stream: str
    type: str
    happened_at: datetime | None
    received_at: datetime
    due_at: datetime
    attempts: int
    batch: str | None
    requested_at: datetime | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows of a source and stream are in a state, since when, and the most attempts one of them has had."""

    source: str
    stream: str
    state: str
    rows: int
    oldest: datetime
    attempts: int


class Inbox:
    """The table over a database. Not for several threads at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.where = database.where
        with database.transaction() as cursor:
            if database.several:
                # Two processes that make one table at once collide in Postgres' own catalogue, IF NOT EXISTS or not.
                cursor.execute("SELECT pg_advisory_xact_lock(7210348217)")
            for statement in _tables(database.serial):
                cursor.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def put(self, events: Sequence[Event], state: str | None = None) -> list[bool]:
        """Keep the events; for each, whether it is new. On disk when this returns.

        state : of all of them instead of what follows from their streams.
        """
        rows: list[tuple[str | None, ...]] = []
        for event in events:
            received = _write(event.received_at)
            happened = _write(event.happened_at) if event.happened_at else None
            streams = event.streams if state is None else ()
            kept_as = state or (PENDING if streams else IGNORED)
            rows += [
                (event.source, event.id, name, event.type, happened, received, received, kept_as) for name in streams or ("",)
            ]
        fresh: set[tuple[str, str]] = set()
        with self._database.transaction() as cursor:
            # In one order everywhere, or two processes with the same events wait for each other.
            for some in _chunks(sorted(rows, key=lambda row: row[:3])):
                marks = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s)"] * len(some))
                cursor.execute(
                    "INSERT INTO inbox_events (source, id, stream, type, happened_at, received_at, due_at, state)"
                    f" VALUES {marks} ON CONFLICT (source, id, stream) DO NOTHING RETURNING source, id",
                    [value for row in some for value in row],
                )
                fresh |= {(source, id_) for source, id_ in cursor.fetchall()}
        return [_take(fresh, (event.source, event.id)) for event in events]

    def pending(self, source: str, stream: str, received_by: datetime, now: datetime, limit: int) -> list[Item]:
        """The oldest items of a stream that are due `now` and were received up to `received_by`.

        What lies further ahead than any wait was written by a clock that was wrong, and is due as well.
        """
        ahead = _write(now + AHEAD)
        return self._items(
            "source = %s AND stream = %s AND state = 'pending' AND (received_at <= %s OR received_at > %s)"
            " AND (due_at <= %s OR due_at > %s) ORDER BY seq LIMIT %s",
            [source, stream, _write(received_by), ahead, _write(now), ahead, limit],
        )

    def requested(self, source: str) -> list[Item]:
        """The items for which a run was requested, oldest first."""
        return self._items("source = %s AND state = 'requested' ORDER BY seq", [source])

    def troubled(self, attempts: int, source: str | None = None, limit: int = 20) -> list[Item]:
        """Items that are not done after so many attempts, oldest first."""
        chosen = "state IN ('pending', 'requested') AND attempts >= %s"
        if source is None:
            return self._items(f"{chosen} ORDER BY seq LIMIT %s", [attempts, limit])
        return self._items(f"source = %s AND {chosen} ORDER BY seq LIMIT %s", [source, attempts, limit])

    def request(self, items: Sequence[Item], batch: str, now: datetime) -> int:
        """Mark pending items as waiting for the run of `batch`; how many were still pending."""
        return self._mark(items, "state = 'requested', batch = %s, requested_at = %s", [batch, _write(now)], PENDING)

    def acknowledge(self, items: Sequence[Item], now: datetime, state: str = ACKNOWLEDGED) -> int:
        """The items are done (or `ignored`, when nothing can be pulled for them)."""
        return self._mark(items, "state = %s, closed_at = %s, trouble = NULL", [state, _write(now)])

    def release(self, items: Sequence[Item], due_at: datetime, trouble: str) -> int:
        """Back to pending after a run in vain: one attempt more, due then, and why."""
        setting = "state = 'pending', batch = NULL, attempts = attempts + 1, due_at = %s, trouble = %s"
        return self._mark(items, setting, [_write(due_at), trouble], REQUESTED)

    def dismiss(self, source: str, id_: str, now: datetime) -> int:
        """Set an event aside as ignored, whatever waits for it; how many of its items were not done yet."""
        open_items = self._items("source = %s AND id = %s AND state IN ('pending', 'requested')", [source, id_])
        return self.acknowledge(open_items, now, IGNORED)

    def waiting(self, source: str) -> int:
        """How many items of a source are pending."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT COUNT(*) FROM inbox_events WHERE source = %s AND state = 'pending'", [source])
            return int(cursor.fetchall()[0][0])

    def counts(self) -> list[Count]:
        """How many rows there are, by source, stream and state."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "SELECT source, stream, state, COUNT(*), MIN(received_at), MAX(attempts) FROM inbox_events"
                " GROUP BY source, stream, state ORDER BY source, stream, state"
            )
            return [
                Count(source, stream, state, rows, datetime.fromisoformat(oldest), attempts)
                for source, stream, state, rows, oldest, attempts in cursor.fetchall()
            ]

    def forget(self, before: datetime) -> int:
        """Delete what was done, or never to be done, before then; an event that comes again after that counts as new."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "DELETE FROM inbox_events WHERE (state = 'acknowledged' AND closed_at < %s)"
                " OR (state IN ('ignored', 'unreadable') AND received_at < %s)",
                [_write(before), _write(before)],
            )
            return int(cursor.rowcount)

    def _items(self, where: str, values: Sequence[object]) -> list[Item]:
        with self._database.transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM inbox_events WHERE {where}", values)
            return [_item(row) for row in cursor.fetchall()]

    def _mark(self, items: Sequence[Item], setting: str, values: Sequence[object], only: str | None = None) -> int:
        """Set columns of those items; `only` those that are in that state by now."""
        changed = 0
        with self._database.transaction() as cursor:
            for some in _chunks([item.seq for item in items]):
                marks = ", ".join(["%s"] * len(some))
                guard = f" AND state = '{only}'" if only else ""
                cursor.execute(f"UPDATE inbox_events SET {setting} WHERE seq IN ({marks}){guard}", [*values, *some])
                changed += cursor.rowcount
        return changed


def open_inbox(uri: str) -> Inbox:
    """The inbox that the setting INTEGRATION_INBOX_URI names, made if it is not there yet.

    Raises `SpecError` for an address that is none, `RescheduleError` when the database is not available now.
    """
    if uri.startswith(("postgresql:", "postgres:")):
        from integration_assets.inbox.postgres import Postgres

        return Inbox(Postgres(uri))
    if "://" in uri and not uri.startswith(("sqlite:///", "file://")):
        raise SpecError(
            f"an inbox cannot be in {uri.partition('://')[0]}",
            field="INTEGRATION_INBOX_URI",
            remedy="Give a file, or postgresql://HOST/DATABASE.",
        )
    from integration_assets.inbox.sqlite import Sqlite

    return Inbox(Sqlite(uri))


def _tables(serial: str) -> tuple[str, ...]:
    return (
        f"""CREATE TABLE IF NOT EXISTS inbox_events (
            seq {serial}, source TEXT NOT NULL, id TEXT NOT NULL, stream TEXT NOT NULL, type TEXT NOT NULL,
            happened_at TEXT, received_at TEXT NOT NULL, due_at TEXT NOT NULL, state TEXT NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0, batch TEXT, requested_at TEXT, closed_at TEXT, trouble TEXT,
            UNIQUE (source, id, stream))""",
        "CREATE INDEX IF NOT EXISTS inbox_events_open ON inbox_events (source, state, stream, seq)",
    )


def _item(row: Sequence[Any]) -> Item:
    seq, source, id_, stream, type_, *times, attempts, batch, requested_at, trouble = row
    happened, received, due = times
    return Item(
        seq,
        source,
        id_,
        stream,
        type_,
        _read(happened),
        datetime.fromisoformat(received),
        datetime.fromisoformat(due),
        attempts,
        batch,
        _read(requested_at),
        trouble,
    )


def _write(moment: datetime) -> str:
    """Text of one width in UTC, so that it sorts as time does, in both databases alike."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _take(fresh: set[tuple[str, str]], key: tuple[str, str]) -> bool:
    """Whether the key is there, once: the second of two equal events in one call is a duplicate."""
    if key not in fresh:
        return False
    fresh.discard(key)
    return True


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    yield from (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))
