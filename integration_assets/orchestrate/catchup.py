"""Which partitions a stream is owed now, from what the lake has finished; no I/O.

Missed: a partition is over and final, and the lake lacks some of it. Closing: it was pulled whole, but before its lookback was
over, so records that came late may be missing. Open: it is not over, and what the lake has of it is older than `refresh`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from integration_assets.orchestrate.partitions import latest_closed
from integration_assets.spec.cursor import Cursor, Slice, of
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.source import Stream

Why = Literal["missed", "closing", "open"]
_MARGIN = timedelta(minutes=1)
"""An API tells its clock to the second: a pull right after the lookback's end might seem to be one right before it."""


@dataclass(frozen=True)
class Due:
    """A partition to pull, and why."""

    key: str
    why: Why


def due(stream: Stream, finished: Sequence[Slice], now: datetime, pulled: Mapping[str, datetime]) -> list[Due]:
    """What a partitioned stream is owed at `now`, the API's clock; oldest first.

    finished : the ranges that the lake has, ascending.
    pulled   : when partitions were last pulled, by the API's clock; those of `closing` matter, and one that is not in it is
               taken for closed.
    """
    partitions, cursor = _described(stream)
    final = now - cursor.safety_lag
    found = {key: Due(key, "missed") for key in missed(partitions, finished, final)}
    for key in closing(stream, now):
        if key in pulled and pulled[key] < _closes(partitions, cursor, key):
            found.setdefault(key, Due(key, "closing"))
    current = open_partition(partitions, finished, final)
    if current is not None:
        found.setdefault(current, Due(current, "open"))
    return sorted(found.values(), key=lambda one: _start(partitions, one.key))


def missed(partitions: Partitions, finished: Sequence[Slice], final: datetime) -> list[str]:
    """The partitions that are over at `final` and not whole in the lake, ascending.

    They are looked for from the first that was ever pulled, at most `catch_up` back. The last one that is over is owed always.
    """
    newest, end = _newest(partitions, final)
    holes = _holes(finished, _since(partitions, finished, final, newest), end)
    return list(dict.fromkeys(key for hole in holes for key in partitions.keys(*hole)))


def owed_by_tenant(
    stream: Stream, finished: Sequence[Slice], now: datetime, tenants: Sequence[str]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each tenant with the partitions that it is owed, missed ones and the open one, and with those that the lake has whole."""
    partitions, cursor = _described(stream)
    final = now - cursor.safety_lag
    for tenant in tenants:
        mine = [replace(done, tenant=None) for done in of(finished, tenant)]
        keys, current = missed(partitions, mine, final), open_partition(partitions, mine, final)
        yield tenant, [*keys, *([current] if current else [])], [key for key in over(partitions, mine, final) if key not in keys]


def over(partitions: Partitions, finished: Sequence[Slice], final: datetime, after: datetime | None = None) -> list[str]:
    """The partitions that are over at `final` and that should be in the lake, ascending: those that began at `after` or later."""
    newest, end = _newest(partitions, final)
    start = _since(partitions, finished, final, newest)
    return list(partitions.keys(max(start, after) if after else start, end))


def closing(stream: Stream, now: datetime, after: datetime | None = None) -> list[str]:
    """The partitions whose lookback is over at `now`, ascending: those that began at `after` or later, at most `catch_up` back.

    Empty for a stream without a lookback: what is pulled once its partition is final stays so.
    """
    partitions, cursor = _described(stream)
    if not cursor.lookback:
        return []
    earliest = max(partitions.origin, now - partitions.catch_up, after or partitions.origin)
    latest = now - cursor.safety_lag - _lookback(cursor) - _MARGIN
    return [key for key in partitions.keys(earliest, latest) if _end(partitions, key) <= latest]


def open_partition(partitions: Partitions, finished: Sequence[Slice], final: datetime) -> str | None:
    """The partition that holds `final`, if it is to be refreshed and what the lake has of it is too old; else None."""
    if partitions.refresh is None or final <= partitions.origin or (partitions.limit is not None and final >= partitions.limit):
        return None
    key = partitions.key_of(final)
    start = _start(partitions, key)
    reached = max((_cut(done.end, final) for done in finished if done.covers(Slice(start, start))), default=start)
    return key if final - reached >= partitions.refresh else None


def contiguous(partitions: Partitions, keys: Sequence[str], limit: int) -> list[str]:
    """The first keys of `keys`, ascending, that follow each other without a gap: `limit` at most, as one run can take them."""
    taken = list(keys[:1])
    for key in keys[1:limit]:
        if _start(partitions, key) != _end(partitions, taken[-1]):
            break
        taken.append(key)
    return taken


def _newest(partitions: Partitions, final: datetime) -> tuple[datetime, datetime]:
    """The last partition that is over at `final`; of no length where there is none, or none is owed any more."""
    last = latest_closed(partitions, final)
    if last is not None:
        return _start(partitions, last), _end(partitions, last)
    nothing = partitions.limit if partitions.limit is not None and final >= partitions.limit else partitions.origin
    return nothing, nothing


def _since(partitions: Partitions, finished: Sequence[Slice], final: datetime, newest: datetime) -> datetime:
    """From where on missed partitions are looked for: the start of one, `newest` at the latest."""
    if not finished:
        return newest
    first = finished[0].start
    begun = first if isinstance(first, datetime) else partitions.origin
    earliest = max(partitions.origin, begun, final - partitions.catch_up)
    return _start(partitions, partitions.key_of(earliest)) if earliest < newest else newest


def _holes(finished: Sequence[Slice], start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """What `[start, end)` has outside of the finished ranges."""
    for done in finished:
        if isinstance(done.start, datetime) and done.start > start:
            yield start, min(done.start, end)
        if done.end is None:
            return
        start = max(start, _cut(done.end, end))
        if start >= end:
            return
    if start < end:
        yield start, end


def _described(stream: Stream) -> tuple[Partitions, Cursor]:
    assert stream.partitions is not None  # noqa: S101 - asked only of partitioned streams
    assert stream.cursor is not None  # noqa: S101 - partitions need one
    return stream.partitions, stream.cursor


def _closes(partitions: Partitions, cursor: Cursor, key: str) -> datetime:
    """From when on a pull of the partition finds everything that may still come."""
    return _end(partitions, key) + cursor.safety_lag + _lookback(cursor)


def _lookback(cursor: Cursor) -> timedelta:
    assert isinstance(cursor.lookback, timedelta)  # noqa: S101 - partitions are in time
    return cursor.lookback


def _cut(value: object, most: datetime) -> datetime:
    return min(value, most) if isinstance(value, datetime) else most


def _start(partitions: Partitions, key: str) -> datetime:
    start = partitions.slice_of(key).start
    assert isinstance(start, datetime)  # noqa: S101 - a partition is closed on both sides
    return start


def _end(partitions: Partitions, key: str) -> datetime:
    end = partitions.slice_of(key).end
    assert isinstance(end, datetime)  # noqa: S101 - a partition is closed on both sides
    return end
