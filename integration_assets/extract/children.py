"""A slice of children: those of every parent in it, several parents asked at once, given back in the parents' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

import numpy as np
import pyarrow as pa

from integration_assets.errors import IntegrationError, ResponseError
from integration_assets.extract.ahead import Ahead
from integration_assets.extract.client import SourceClient
from integration_assets.extract.lane import Lane
from integration_assets.extract.reading import AHEAD_BYTES, TOGETHER_BYTES, Reading, _bound
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.cursor import CursorValue, Slice
from integration_assets.spec.limits import Limits
from integration_assets.spec.parent import Parent, for_parent, owner_columns
from integration_assets.spec.records import Batch, Drift, Reject, combine
from integration_assets.spec.source import Source, Stream

TOLERATED = 10
"""Parents of a slice that may be gone whatever their share: a small slice may be of just those that were deleted."""
_GONE = frozenset({404, 410})
_BATCHES = 4
_TOGETHER = 256
_SECONDS = 5.0
_SHOWN = 5


class Fan:
    """The batches of a slice of children, each of some parents; iterate once. Has what a `Reading` has.

    parents   : tables of the parent's columns that the stream wants, and its cursor; in the order of the cursor.
    max_pages : stop quietly after so many pages; None reads all.
    high      : up to which number of the parents' the slice is finished; None where the cursor is a time.

    A parent that the API does not know any more has no children. Any other error ends the slice: nothing of it lands.
    """

    unchanged = False
    etag: str | None = None

    def __init__(
        self,
        client: SourceClient,
        source: Source,
        stream: Stream,
        contract: Contract,
        slice_: Slice,
        parents: Generator[pa.Table, None, None],
        max_pages: int | None = None,
        lane: Lane | None = None,
    ) -> None:
        assert stream.parent is not None  # noqa: S101 - made only for streams with a parent
        self.pages = 0
        self.moved = 0
        self.times = 1
        self.drift = Drift()
        self.warnings: list[str] = []
        # An open range of numbers ends behind the highest: more parents may come to have that one.
        self.high: CursorValue | None = slice_.end - 1 if isinstance(slice_.end, int) else None
        self._client = client
        self._source = source
        self._stream = stream
        self._schema = contract.arrow_schema
        self._parent: Parent = stream.parent
        self._slice = slice_
        self._parents = parents
        self._max_pages = max_pages
        lane = lane or Lane()
        self._width = 1 if max_pages is not None else width(source.limits, lane.share)
        self._lane = replace(lane, share=lane.share * self._width)
        # One parent's pages come one after the other: several at once would take the connections of other parents.
        self._in_turn = source.model_copy(update={"limits": source.limits.model_copy(update={"max_connections": 1})})
        self._alone = _alone(stream)
        self._owner = owner_columns(stream)
        self._contract = replace(contract, columns=tuple(c for c in contract.columns if c.name not in self._parent.columns))
        self._tally = _Tally()

    def __iter__(self) -> Iterator[Batch]:
        """Raises what a `Reading` raises, naming the parent, and `ResponseError` when too many parents are gone."""
        try:
            with ExitStack() as stack:
                stack.enter_context(closing(self._parents))
                asks = stack.enter_context(closing(self._asks()))
                yield from self._grouped(self._pieces(asks, stack))
        except IntegrationError as error:
            error.at(self._source.name, self._stream.name)
            raise
        if self._max_pages is None:
            self._account()

    def _asks(self) -> Generator[_Asked, None, None]:
        """The parents that are asked, each with its reading, not yet begun."""
        keys = self._parent.keys
        for table in self._parents:
            values = table.select(list(dict.fromkeys(keys.values()))).to_pylist()
            for row, found in enumerate(values):
                given = {name: found[column] for name, column in keys.items()}
                if any(value is None for value in given.values()):
                    continue
                asked = for_parent(self._alone, given)
                if asked is None:
                    self._tally.unaskable.append(_named(given))
                    continue
                yield _Asked(_named(given), table.slice(row, 1), self._reading(asked))

    def _reading(self, stream: Stream) -> Reading:
        return Reading(self._client, self._in_turn, stream, self._contract, self._slice, None, self._max_pages, self._lane)

    def _pieces(self, asks: Iterator[_Asked], stack: ExitStack) -> Iterator[tuple[_Asked, Batch]]:
        """Every parent's batches in order, a few parents ahead of the one whose turn it is."""
        under_way: deque[_Asked] = deque()
        ahead = 1 if self._width == 1 else 2 * self._width  # who waits for the first in line has a successor
        stack.callback(_stop, under_way)
        while True:
            while len(under_way) < ahead and (new := next(asks, None)):
                new.start(self._lane)
                under_way.append(new)
            if not under_way:
                return
            first = under_way[0]
            for batch in first.take():
                yield first, batch
            if not first.running:
                under_way.popleft()
                self._finish(first)
                if self._max_pages is not None and self.pages >= self._max_pages:
                    return

    def _finish(self, one: _Asked) -> None:
        """Count a parent in; raise what ended its children."""
        one.stop()
        self._tally.asked += 1
        self.pages += one.reading.pages
        self.moved += one.reading.moved
        self.times = max(self.times, one.reading.times)
        self.drift.add(one.reading.drift)
        _bound(self.drift.new)
        _bound(self.drift.retyped)
        if len(self._tally.warnings) < _SHOWN:
            self._tally.warnings.update(dict.fromkeys(one.reading.warnings))
        error = one.error
        if error is None:
            return
        if isinstance(error, ResponseError) and error.status in _GONE and not one.reading.pages:
            self._tally.gone += 1
            self._tally.named += [one.name] if len(self._tally.named) < _SHOWN else []
            return
        if isinstance(error, IntegrationError):
            error.what = f"the children of {self._parent.stream} {one.name}: {error.what}"
        raise error

    def _grouped(self, pieces: Iterator[tuple[_Asked, Batch]]) -> Iterator[Batch]:
        """Small answers joined, with their parents' columns: what a batch costs by itself is then shared."""
        waiting: list[tuple[_Asked, Batch]] = []
        size, began = 0, monotonic()
        for one, batch in pieces:
            waiting.append((one, batch))
            size += batch.table.nbytes + sum(len(reject.payload) for reject in batch.rejects)
            if len(waiting) >= _TOGETHER or size >= self._lane.part(TOGETHER_BYTES) or monotonic() - began > _SECONDS:
                yield self._with_parents(waiting)
                waiting, size, began = [], 0, monotonic()
        if waiting:
            yield self._with_parents(waiting)

    def _with_parents(self, pieces: Sequence[tuple[_Asked, Batch]]) -> Batch:
        batch = combine([replace(batch, rejects=tuple(self._from(one, each) for each in batch.rejects)) for one, batch in pieces])
        owners = np.repeat(np.arange(len(pieces)), [batch.table.num_rows for _, batch in pieces])
        above = pa.concat_tables([one.parent for one, _ in pieces]).combine_chunks().take(pa.array(owners))
        table = batch.table
        for place, column in enumerate(self._schema):
            if column.name in self._parent.columns:
                table = table.add_column(place, column, above.column(self._parent.columns[column.name]).cast(column.type))
        return replace(batch, table=table)

    def _from(self, one: _Asked, reject: Reject) -> Reject:
        """The reject, which tells its parent."""
        reasons = tuple(f"{reason}, of {self._parent.stream} {one.name}" for reason in reject.reasons)
        whose = [one.parent.column(self._parent.columns[name])[0].as_py() for name in self._owner]
        return replace(reject, reasons=reasons, owner="|".join(map(str, whose)))

    def _account(self) -> None:
        """What the receipt says of parents that are gone; too many of them, and the slice is refused."""
        tally, name = self._tally, self._parent.stream
        self.warnings += list(tally.warnings)
        if tally.unaskable:
            shown = ", ".join(tally.unaskable[:_SHOWN])
            self.warnings.append(f"{len(tally.unaskable):,} of {name} cannot stand in a path and were not asked: {shown}")
        if not tally.gone:
            return
        found = f"{tally.gone:,} of {tally.asked:,} {name} are gone (404)"
        if tally.gone > max(TOLERATED, self._parent.gone_threshold * tally.asked):
            raise ResponseError(
                f"{found}, more than the allowed {self._parent.gone_threshold:.0%}; nothing of the slice was committed",
                source=self._source.name,
                stream=self._stream.name,
                field="path",
                remedy="Check the path; if the API has forgotten so many, raise parent.gone_threshold.",
            )
        more = ", …" if tally.gone > len(tally.named) else ""
        self.warnings.append(f"{found}, and have no children: {'; '.join(tally.named)}{more}")


@dataclass
class _Tally:
    """What became of the parents."""

    asked: int = 0
    gone: int = 0
    named: list[str] = field(default_factory=list)
    unaskable: list[str] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)


@dataclass
class _Asked:
    """One parent: how it is named, its row, and its children as they are read."""

    name: str
    parent: pa.Table
    reading: Reading
    ahead: Ahead[Batch] | None = None
    error: BaseException | None = None
    running: bool = True

    def start(self, lane: Lane) -> None:
        """Ask for its children, in a thread of their own."""
        self.ahead = Ahead(self._batches(), lambda batch: batch.table.nbytes, _BATCHES, lane.part(AHEAD_BYTES), lane)
        self.ahead.__enter__()

    def take(self) -> list[Batch]:
        """The next of its batches; after the last, or an error, it runs no longer."""
        assert self.ahead is not None  # noqa: S101 - started before
        try:
            taken = self.ahead.take(TOGETHER_BYTES)
        except IntegrationError as error:
            self.error, taken = error, []
        self.running = bool(taken)
        return taken

    def stop(self) -> None:
        """Read no further."""
        if self.ahead is not None:
            self.ahead.__exit__(None, None, None)

    def _batches(self) -> Generator[Batch, None, None]:
        yield from self.reading


def _stop(under_way: Iterable[_Asked]) -> None:
    for one in under_way:
        one.stop()


def width(limits: Limits, share: int = 1) -> int:
    """How many parents are asked at once: as many as there are connections, and no more than get their turn in time.

    share : how many slices are pulled beside each other.
    """
    most = min(limits.max_connections, limits.concurrent or limits.max_connections)
    if limits.rate is not None:
        most = min(most, int(limits.rate * limits.pool_timeout / 4))
    return max(1, most // share)


def _alone(stream: Stream) -> Stream:
    """The stream as an API knows it that is asked for the children of one parent."""
    assert stream.parent is not None  # noqa: S101 - see Fan
    key = tuple(name for name in stream.key if name not in stream.parent.columns)
    return stream.model_copy(update={"key": key, "cursor": None, "parent": None})


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
