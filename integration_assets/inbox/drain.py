"""From events to runs and back: what to pull for what waits, and which events the runs have settled.

Events are hints and the pull is the truth, so an event is done only when a slice that began after the event was received, and
that reaches past the event's own time, has landed and was merged. Whatever else becomes of a run, its events wait again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import uuid4

from integration_assets.inbox.store import IGNORED, Inbox, Item
from integration_assets.spec.cursor import Slice
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

BATCH = 5000
"""Events of a stream that one request takes along: one run serves them all."""
RUNS = 10
"""Runs that one request asks for; the rest waits for the next."""
LOST = timedelta(minutes=5)
"""After that long, a request of which no run came is lost."""
PATIENCE = timedelta(hours=24)
"""After that long, a run that has not ended is not waited for."""
STUCK = 5
"""Runs in vain after which an event is reported. It is kept, and tried again."""
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
_SKEW = timedelta(minutes=5)
_TICK = timedelta(microseconds=1)
_PROVES_NOTHING = ("taken", "dry-run")


@dataclass(frozen=True)
class Wanted:
    """A run to request: these streams, of these partitions (None: they have none); `batch` is the run's mark."""

    batch: str
    streams: tuple[str, ...]
    first: str | None
    last: str | None
    events: int


@dataclass(frozen=True)
class Seen:
    """What is known of a batch's run. `receipts`: by stream, of the slices of those that were pulled to the end and merged."""

    ended: bool
    receipts: Mapping[str, Sequence[Receipt]]


@dataclass(frozen=True)
class Settled:
    """How many items were acknowledged, went back to pending, and still wait for their run."""

    acknowledged: int = 0
    released: int = 0
    waiting: int = 0

    def __add__(self, other: Settled) -> Settled:
        return Settled(self.acknowledged + other.acknowledged, self.released + other.released, self.waiting + other.waiting)


def settle(inbox: Inbox, source: Source, look: Callable[[str], Seen | None], now: datetime) -> Settled:
    """Acknowledge the items whose run did what they asked for; release those whose run did not, or was lost.

    look : what is known of the run of a batch, None when there is none.
    """
    total = Settled()
    requested = sorted(inbox.requested(source.name), key=lambda item: str(item.batch))
    for batch, some in groupby(requested, key=lambda item: str(item.batch)):
        items = list(some)
        age = now - (items[0].requested_at or now)
        seen = look(batch)
        if seen is None and age > LOST:
            total += _release(inbox, {"no run came of the request": items}, now)
        elif seen is not None and not seen.ended and age > PATIENCE:
            total += _release(inbox, {f"run of batch {batch} has not ended": items}, now)
        elif seen is None or not seen.ended:
            total += Settled(waiting=len(items))
        else:
            total += _judge(inbox, source, items, seen, now)
    return total


def request(inbox: Inbox, source: Source, now: datetime) -> list[Wanted]:
    """Mark what is due as requested and say which runs it needs. A stream whose events are under way waits for those first."""
    assert source.events is not None  # noqa: S101 - asked only for sources with events
    busy = {item.stream for item in inbox.requested(source.name)}
    groups: dict[tuple[Partitions | None, str | None, str | None], dict[str, list[Item]]] = {}
    for name in source.events.wanted:
        if name in busy:
            continue
        stream = source.stream(name)
        final = now - _lag(source, stream)
        due = [item for item in inbox.pending(source.name, name, final, now, BATCH) if not _ahead(source, item, final)]
        for (first, last), items in _by_span(inbox, stream, due, now).items():
            groups.setdefault((stream.partitions, first, last), {})[name] = items
    found = []
    oldest_first = sorted(groups.items(), key=lambda group: min(items[0].seq for items in group[1].values()))
    for (_, first, last), streams in oldest_first[:RUNS]:
        batch = uuid4().hex
        marked = sum(inbox.request(items, batch, now) for items in streams.values())
        found.append(Wanted(batch, tuple(streams), first, last, marked))
    return found


def _ahead(source: Source, item: Item, final: datetime) -> bool:
    """Whether a pull by this machine's clock would end just before the event: then it waits a moment.

    One that is far ahead is wrong about the time; it goes on, and is reported when no run can reach it.
    """
    if source.clock_path is not None or item.happened_at is None:
        return False
    return final <= item.happened_at < final + _SKEW


def _by_span(inbox: Inbox, stream: Stream, due: Sequence[Item], now: datetime) -> dict[tuple[str | None, str | None], list[Item]]:
    """The items by the partitions they need; one that lies in the wider span of another goes with that."""
    spans: dict[tuple[str | None, str | None], list[Item]] = {}
    for item in due:
        span = _span(stream, item)
        if span is None:
            # Before the first partition or after the last: no run could ever pull it.
            inbox.acknowledge([item], now, IGNORED)
        else:
            spans.setdefault(span, []).append(item)
    for first, last in [span for span in spans if span[0] == span[1] and span[0] is not None]:
        wider = next((span for span in spans if span[0] != span[1] and first in span), None)
        if wider is not None:
            spans[wider] = sorted([*spans[wider], *spans.pop((first, last))], key=lambda item: item.seq)
    return spans


def _span(stream: Stream, item: Item) -> tuple[str | None, str | None] | None:
    """First and last partition that may hold what the event is about: the one of its time, and the one before within lookback.

    `(None, None)` for a stream without partitions, None when its time lies in none of them.
    """
    partitions = stream.partitions
    if partitions is None:
        return None, None
    moment = item.happened_at or item.received_at
    keys = list(partitions.keys(moment, moment + _TICK))
    if not keys:
        return None
    lookback = stream.cursor.lookback if stream.cursor else timedelta(0)
    start = partitions.slice_of(keys[0]).start
    assert isinstance(start, datetime)  # noqa: S101 - a partition is closed on both sides
    before = start - _TICK
    reaches_back = isinstance(lookback, timedelta) and moment - lookback < start and before >= partitions.origin
    return partitions.key_of(before) if reaches_back else keys[0], keys[0]


def _lag(source: Source, stream: Stream) -> timedelta:
    """How long after an event a pull must begin to reach it: the safety lag, and a second where the API's clock tells no less."""
    if stream.cursor is None or stream.cursor.kind != "timestamp":
        return timedelta(0)
    return stream.cursor.safety_lag + timedelta(seconds=1 if source.clock_path else 0)


def _judge(inbox: Inbox, source: Source, items: Sequence[Item], seen: Seen, now: datetime) -> Settled:
    done, troubles = [], dict[str, list[Item]]()
    for item in items:
        trouble = _trouble(source, source.stream(item.stream), item, seen.receipts.get(item.stream, ()))
        if trouble is None:
            done.append(item)
        else:
            troubles.setdefault(trouble, []).append(item)
    return Settled(acknowledged=inbox.acknowledge(done, now)) + _release(inbox, troubles, now)


def _trouble(source: Source, stream: Stream, item: Item, receipts: Sequence[Receipt]) -> str | None:
    """Why the receipts do not prove that what the event hints at was pulled; None when they do."""
    span = _span(stream, item)
    if span is None:
        return None
    after = item.received_at + _lag(source, stream)
    pulled = [one for one in receipts if one.outcome not in _PROVES_NOTHING and _began(one, after)]
    if not pulled:
        return "its run landed and merged no slice that began after the event"
    for key in dict.fromkeys(span):
        if not any(one.partition == key for one in pulled):
            return f"its run did not pull partition {key}"
    ends = [Slice.from_json(one.slice).end for one in pulled if one.partition == span[1]]
    reached = [end for end in ends if isinstance(end, datetime)]
    if item.happened_at is not None and len(reached) == len(ends) and max(reached) <= item.happened_at:
        return f"the API's data is final up to {max(reached).isoformat()}, the event is of {item.happened_at.isoformat()}"
    return None


def _began(receipt: Receipt, after: datetime) -> bool:
    return bool(receipt.started_at) and datetime.fromisoformat(receipt.started_at) >= after


def _release(inbox: Inbox, troubles: Mapping[str, Sequence[Item]], now: datetime) -> Settled:
    released = 0
    for trouble, items in troubles.items():
        for attempts, alike in _by_attempts(items):
            wait = min(_FIRST_WAIT * 2 ** min(attempts, 10), _LONGEST_WAIT)
            released += inbox.release(alike, now + wait, trouble)
    return Settled(released=released)


def _by_attempts(items: Sequence[Item]) -> Iterator[tuple[int, list[Item]]]:
    for attempts in sorted({item.attempts for item in items}):
        yield attempts, [item for item in items if item.attempts == attempts]
