"""What a stream of children takes from its parent's lake table: which parents a slice has, and how far that table goes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.errors import SpecError
from integration_assets.land.lake import LakeTable
from integration_assets.land.newest import newest
from integration_assets.spec.cursor import CursorValue, Slice
from integration_assets.spec.parent import Parent, reach
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Stores

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Parents:
    """The parent's stream and its lake table, and what the child wants of it."""

    stream: Stream
    table: LakeTable
    wanted: Parent

    def rows(self, slice_: Slice) -> Generator[pa.Table, None, None]:
        """The wanted columns of the live parents whose newest version lies in the slice, by cursor; a few thousand at once."""
        cursor, version = self._cursor, self.stream.version_column
        assert version is not None  # noqa: S101 - a stream with a cursor has one
        identity = self.stream.key or tuple(self.wanted.keys.values())
        return newest(self.table, self.wanted.wanted, identity, cursor, version, slice_)

    def within(self, asked: Slice) -> Slice:
        """As much of `asked`, from its start, as the parent has finished; empty where it has not even begun there.

        The parents' highest number is among those of an open range of numbers, though more records may come to have it.
        """
        finished = [_with_highest(done) for done in self.table.state().finished]
        end = reach(finished, self._begins(asked.start))
        if end is None:
            nowhere = asked.start if asked.start is not None else datetime.now(UTC) if self._timed else 0
            return replace(asked, start=nowhere, end=nowhere)
        return replace(asked, end=end if asked.end is None else min(asked.end, end))

    def check(self, asked: Slice, source: Source, child: Stream) -> Slice:
        """As `within`, for a range that someone asked for. Raises `SpecError` where nothing of it can be pulled yet."""
        found = self.within(asked)
        if found.empty and not asked.empty:
            raise SpecError(
                f"{self.stream.name}, whose children these are, has nothing of {asked} in the lake yet",
                source=source.name,
                stream=child.name,
                field="parent",
                remedy=f"Sync {source.name}.{self.stream.name} for that range first.",
            )
        return found

    def _begins(self, start: CursorValue | None) -> CursorValue | None:
        """Where the parent has to have begun: its history begins where it does, though the child's spec may say earlier."""
        origin = self.stream.origin
        if start is None or origin is None:
            return origin if start is None else start
        return max(start, origin)

    @property
    def _cursor(self) -> str:
        assert self.stream.cursor is not None  # noqa: S101 - a parent has one
        return self.stream.cursor.field

    @property
    def _timed(self) -> bool:
        return self.stream.cursor is not None and self.stream.cursor.kind == "timestamp"


def _with_highest(done: Slice) -> Slice:
    """A finished range of numbers with the number at its end, as far as it has come."""
    return replace(done, end=done.end + 1) if isinstance(done.end, int) else done


def parents_of(source: Source, stream: Stream, stores: Stores) -> Parents | None:
    """The stream's parents; None for a stream that is nobody's child."""
    if stream.parent is None:
        return None
    above = source.stream(stream.parent.stream)
    return Parents(above, stores.table(source, above), stream.parent)


def left_out(source: Source, stream: Stream, late: Slice | None) -> tuple[str, ...]:
    """That nobody asks for the children of records that came late: the children's own slices of that time may be finished.

    late : the range of the cursor in which those records lie.
    """
    names = [one.name for one in source.streams if one.parent and one.parent.stream == stream.name]
    return (f"pull {late} of {', '.join(names)} again: children of what landed late are not asked for",) if names else ()


def around(stream: Stream, rows: pa.Table, tenant: str | None) -> Slice | None:
    """The range of the cursor in which the rows lie; None where there is none."""
    if stream.cursor is None:
        return None
    low, high = pc.min_max(rows.column(stream.cursor.field)).as_py().values()
    if low is None:
        return None
    end: CursorValue = high + (_TICK if isinstance(high, datetime) else 1)
    return Slice(low, end, tenant)
