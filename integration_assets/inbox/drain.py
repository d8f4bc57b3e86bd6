"""From events to runs and back: what to pull for what waits, and which events the runs have settled.

Events are hints and the pull is the truth, so an event is done only when a slice that began after the event was received, and
that reaches past the event's own time, has landed and was merged. Whatever else becomes of a run, its events wait again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple
from uuid import uuid4

from integration_assets.inbox.store import AHEAD, IGNORED, Inbox, Item
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
_MARGIN, _NEAR = timedelta(minutes=1), timedelta(hours=1)
_TICK = timedelta(microseconds=1)
_PROVES_NOTHING = ("taken", "dry-run", "replayed")


class Part(NamedTuple):
    """What of a stream a run pulls: its partitions `first` to `last`, the range `[start, end)`, or, all None, what is new."""

    first: str | None = None
    last: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Wanted:
    """A run to request for so many events; `batch` is its mark."""

    batch: str
    streams: tuple[str, ...]
    part: Part
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
        if seen is None and abs(age) > LOST:  # marked by a clock that was ahead, it would seem to be new for ever
            total += _release(inbox, {"no run came of the request": items}, now)
        elif seen is not None and not seen.ended and abs(age) > PATIENCE:
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
    groups: dict[tuple[Partitions | None, Part], dict[str, list[Item]]] = {}
    for name in source.events.wanted:
        if name in busy:
            continue
        stream = source.stream(name)
        final = now - _lag(source, stream)
        pending = inbox.pending(source.name, name, final, now, BATCH)
        due = [_believed(item, final) for item in pending if not _ahead(source, item, final)]
        # Before a history's begin or after its end no run could ever pull it.
        inbox.acknowledge([item for item in due if _outside(stream, item)], now, IGNORED)
        for part, items in _by_part(stream, [item for item in due if not _outside(stream, item)]).items():
            groups.setdefault((stream.partitions, part), {})[name] = items
    found = []
    oldest_first = sorted(groups.items(), key=lambda group: min(items[0].seq for items in group[1].values()))
    for (_, part), streams in oldest_first[:RUNS]:
        batch = uuid4().hex
        marked = sum(inbox.request(items, batch, now) for items in streams.values())
        found.append(Wanted(batch, tuple(streams), part, marked))
    return found


def _ahead(source: Source, item: Item, final: datetime) -> bool:
    """Whether a pull by this machine's clock would end just before the event: then it waits a moment."""
    if source.clock_path is not None or item.happened_at is None:
        return False
    return final <= item.happened_at < final + _SKEW


def _believed(item: Item, final: datetime) -> Item:
    """The item, without its time if that is far ahead: no run could reach it, so the time it was received stands for it.

    Where that is far ahead as well, since the clock was wrong that told it, it counts as received just now.
    """
    if item.received_at > final + AHEAD:
        item = replace(item, received_at=final)
    ahead = item.happened_at is not None and item.happened_at >= final + _SKEW
    return replace(item, happened_at=None) if ahead else item


def _outside(stream: Stream, item: Item) -> bool:
    moment = item.happened_at or item.received_at
    if stream.partitions is not None:
        return next(stream.partitions.keys(moment, moment + _TICK), None) is None
    return isinstance(stream.origin, datetime) and moment < stream.origin


def _by_part(stream: Stream, items: Sequence[Item]) -> dict[Part, list[Item]]:
    """The items by what they need pulled."""
    if stream.partitions is not None and stream.tenants is not None:
        return _ranges(stream, items)  # no event tells whose partition it is about: the range is pulled of all tenants
    if stream.partitions is None:
        late = [item for item in items if _late(stream, item)]
        new = [item for item in items if not _late(stream, item)]
        return _ranges(stream, late) | ({Part(): new} if new else {})
    parts: dict[Part, list[Item]] = {}
    for item in items:
        parts.setdefault(_partitions(stream, stream.partitions, item), []).append(item)
    for part in [part for part in parts if part.first == part.last]:
        # What a wider run pulls anyway needs none of its own.
        wider = next((other for other in parts if other != part and part.first in other), None)
        if wider is not None:
            parts[wider] = sorted([*parts[wider], *parts.pop(part)], key=lambda item: item.seq)
    if stream.tenants is None:
        return parts
    # A partition is one tenant's then, and an event does not say whose it is: all tenants are asked, for the days' range.
    return {_whole(stream.partitions, part): items for part, items in parts.items()}


def _partitions(stream: Stream, partitions: Partitions, item: Item) -> Part:
    """The partition of the item's time, and the one before where the lookback reaches into it."""
    moment = item.happened_at or item.received_at
    key = partitions.key_of(moment)
    start = partitions.slice_of(key).start
    assert isinstance(start, datetime)  # noqa: S101 - a partition is closed on both sides
    reaches_back = moment - _lookback(stream) < start and start > partitions.origin
    return Part(partitions.key_of(start - _TICK) if reaches_back else key, key)


def _whole(partitions: Partitions, part: Part) -> Part:
    """The range of the part's partitions."""
    assert part.first is not None  # noqa: S101 - of a partitioned stream
    assert part.last is not None  # noqa: S101 - as above
    start, end = partitions.slice_of(part.first).start, partitions.slice_of(part.last).end
    assert isinstance(start, datetime)  # noqa: S101 - a partition is closed on both sides
    assert isinstance(end, datetime)  # noqa: S101 - as above
    return Part(start=start, end=end)


def _late(stream: Stream, item: Item) -> bool:
    """Whether the event came so long after what it tells of that pulls of what is new may have passed that, lookback and all.

    Otherwise the first such pull that begins after the event reads it: it starts at the end of one before, less the lookback.
    """
    timed = stream.partitions is None and stream.cursor is not None and stream.cursor.kind == "timestamp"
    return timed and item.happened_at is not None and item.received_at - item.happened_at > _lookback(stream)


def _ranges(stream: Stream, late: Sequence[Item]) -> dict[Part, list[Item]]:
    """Ranges around the items' times; near ones are one range."""
    ranges: dict[Part, list[Item]] = {}
    for moment, item in sorted(((item.happened_at or item.received_at, item) for item in late), key=lambda pair: pair[0]):
        start, end = moment - max(_lookback(stream), _MARGIN), moment + _MARGIN
        if isinstance(stream.origin, datetime):
            start = max(start, stream.origin)
        last = next(reversed(ranges), None)
        if last is not None and last.end is not None and start <= last.end + _NEAR:
            ranges[last._replace(end=end)] = [*ranges.pop(last), item]
        else:
            ranges[Part(start=start, end=end)] = [item]
    return ranges


def _lookback(stream: Stream) -> timedelta:
    lookback = stream.cursor.lookback if stream.cursor else None
    return lookback if isinstance(lookback, timedelta) else timedelta(0)


def _lag(source: Source, stream: Stream) -> timedelta:
    """How long after an event a pull must begin to reach it: the safety lag, and a second where the API's clock tells no less."""
    if stream.cursor is None or stream.cursor.kind != "timestamp":
        return timedelta(0)
    return stream.cursor.safety_lag + timedelta(seconds=1 if source.clock_path else 0)


def _judge(inbox: Inbox, source: Source, items: Sequence[Item], seen: Seen, now: datetime) -> Settled:
    done, troubles = [], dict[str, list[Item]]()
    for item in items:
        stream = source.stream(item.stream)
        planned = _believed(item, (item.requested_at or now) - _lag(source, stream))  # as it was when it was requested
        trouble = _trouble(source, stream, planned, seen.receipts.get(item.stream, ()))
        if trouble is None:
            done.append(item)
        else:
            troubles.setdefault(trouble, []).append(item)
    return Settled(acknowledged=inbox.acknowledge(done, now)) + _release(inbox, troubles, now)


def _trouble(source: Source, stream: Stream, item: Item, receipts: Sequence[Receipt]) -> str | None:
    """Why the receipts do not prove that what the event hints at was pulled; None when they do."""
    if _outside(stream, item):
        return None
    after = item.received_at + _lag(source, stream)
    pulled = [one for one in receipts if one.outcome not in _PROVES_NOTHING and _began(one, after)]
    if not pulled:
        return "its run landed and merged no slice that began after the event"
    named = stream.partitions if stream.tenants is None else None
    part = _partitions(stream, named, item) if named else Part()
    for key in dict.fromkeys((part.first, part.last)) if named else ():
        if not any(one.partition == key for one in pulled):
            return f"its run did not pull partition {key}"
    slices = [Slice.from_json(one.slice, one.tenant) for one in pulled if not named or one.partition == part.last]
    if item.happened_at is None or any(_reaches(one, item.happened_at, late=_late(stream, item)) for one in slices):
        return None
    return f"its run pulled {', '.join(map(str, slices))}, the event is of {item.happened_at.isoformat()}"


def _reaches(pulled: Slice, moment: datetime, *, late: bool) -> bool:
    """Whether the slice ends after the moment; for a late event it must also begin before. Numbers say nothing about time."""
    if late and isinstance(pulled.start, datetime) and pulled.start > moment:
        return False
    return not isinstance(pulled.end, datetime) or pulled.end > moment


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
