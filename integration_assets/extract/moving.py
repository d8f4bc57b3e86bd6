"""Whether a list that is read by number moved while it was read, so that records of it may have been passed over.

Which record a number names depends on how many stand before it. When one of them leaves the list, those behind it move up,
and the one that crosses the edge between two pages is on neither. Records that come in before them only push some onto a
second page. So pages that share a record have nothing between them, as long as records that do not change keep their order.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice
from typing import TYPE_CHECKING, Any

from integration_assets.spec.records import DELETED, Batch
from integration_assets.spec.source import Stream

if TYPE_CHECKING:
    import pyarrow as pa

_WINDOW = 100_000
"""Records that are remembered at most, and half as many at least: memory is bounded (law 4)."""
_VERSIONS = ("append", "history")
"""Dispositions whose list may have several versions of one record."""


class Moves:
    """What the pages of one reading, told in order, say of a list that changed meanwhile.

    overlap : with how many of the last page's records each page begins, by how it was asked for.
    signs   : pages so far at which records may have been passed over.
    first   : what was seen at the first of them, in words.
    """

    def __init__(self, stream: Stream, overlap: int = 0, window: int = _WINDOW) -> None:
        self.signs = 0
        self.first = ""
        self._stream = stream
        self._overlap = overlap
        self._half = max(1, window // 2)
        self._young: dict[Hashable, Hashable] = {}
        self._old: dict[Hashable, Hashable] = {}
        self._last: dict[Hashable, Hashable] = {}
        self._total: int | None = None
        self._begun = False
        self._chained = True
        self._current = stream.disposition not in _VERSIONS

    def go_on(self, total: int | None, *, moved: bool) -> None:
        """Go on after the pages of an earlier run, at which the API counted `total`, and which may have told of moves."""
        self._total, self.signs = total, int(moved)
        self.first = "an earlier run, from which this one goes on, saw it" if moved else ""

    def remember(self, rows: pa.Table) -> None:
        """Count rows that an earlier run took in as having come, in their order: a record that comes again may show a move."""
        self._old.update(zip(*_named(rows, self._stream), strict=True))
        for name in list(islice(self._old, max(0, len(self._old) - self._half))):
            del self._old[name]
        self._chained = self._overlap > 0  # without an overlap nothing says whether its pages shared records

    def page(self, batch: Batch, total: int | None, *, doubled: bool = False) -> None:
        """Take in the next page.

        total   : how many records the API counts, where it does.
        doubled : the page was asked for so that it may repeat records of the last one.
        """
        keys, versions = _named(batch.table, self._stream)
        rejects = _turned_away(batch, self._stream)
        found = dict(zip(keys, versions, strict=True))
        if (self._begun or self._total) and (sign := self._sign(keys, versions, rejects, total, doubled=doubled)):
            self.first = self.first or sign
            self.signs += 1
        # Several versions of a record on one page: the API lists versions, and a key that comes again says nothing.
        self._current = self._current and (len(found) == len(keys) or len(found) == len(set(zip(keys, versions, strict=True))))
        found.update((key, payload) for key, payload in rejects.items() if key not in found)
        self._young.update(found)
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._last, self._begun = found, True
        if total:  # past its end an API may count 0
            self._total = total

    def _sign(
        self,
        keys: list[Hashable],
        versions: list[Hashable],
        rejects: dict[Hashable, Hashable],
        total: int | None,
        *,
        doubled: bool,
    ) -> str:
        """Why records may have been passed over before this page; empty when nothing says so."""
        before = self._before(keys)
        again = [then == version for then, version in zip(before, versions, strict=True)] if before else []
        linked = self._linked(keys, versions) or self._linked(list(rejects), list(rejects.values()))
        self._chained = self._chained and (linked or not self._begun)
        if self._overlap and self._begun and not linked:
            return "a page did not begin with the end of the one before it"
        if total and self._total and total < self._total and not linked:
            return f"the API's count went from {self._total:,} to {total:,}"
        newer = sum(then is not None for then in before) - sum(again)
        newer += sum(then not in (None, rejects[key]) for key, then in zip(rejects, self._before(list(rejects)), strict=False))
        # Their places came free some time after their pages: nothing was hidden only if all pages since share records.
        if newer and self._current and not self._chained:
            return f"{newer:,} records came again with another version"
        more = sum(again) - (self._overlap if linked else 0)
        if more <= 0 or doubled:
            return ""
        last = max(position for position, same in enumerate(again) if same)
        if any(then is None for then in before[:last]):
            return f"{more:,} records came again behind others that had not come yet"
        # A record that came in before them pushed them here, and hid nothing: it is told of by the count where there is one, and
        # cannot be in a range that is closed. Where no later slice brings a record that went to the front, one may have.
        cursor = self._stream.cursor
        pushed = cursor is not None and (total > self._total if total and self._total else cursor.end_param is None)
        return "" if pushed else f"{more:,} records of one page came again on the next"

    def _before(self, keys: list[Hashable]) -> list[Hashable | None]:
        """The version in which each key came on an earlier page, None where it did not; empty when none did."""
        if self._young.keys().isdisjoint(keys) and self._old.keys().isdisjoint(keys):
            return []
        return [self._young[key] if key in self._young else self._old.get(key) for key in keys]

    def _linked(self, keys: list[Hashable], versions: list[Hashable]) -> bool:
        """Whether the page has a record of the last one, unchanged."""
        if self._last.keys().isdisjoint(keys):
            return False
        return any(key in self._last and self._last[key] == version for key, version in zip(keys, versions, strict=True))


def _named(table: pa.Table, stream: Stream) -> tuple[list[Hashable], list[Hashable]]:
    """Each row's key, and what tells its version; none for a stream without a key."""
    if not stream.key or not table.num_rows:
        return [], []
    ordered = dict.fromkeys((stream.version_column, stream.cursor.field if stream.cursor else None))
    named = [name for name in ordered if name is not None and name in table.column_names]  # a sweep reads keys alone
    versions: list[Hashable] = _together(table, named) if named else [0] * table.num_rows
    gone = _plain(table.column(DELETED))
    if any(gone):
        versions = [(version, "gone") if flag else version for version, flag in zip(versions, gone, strict=True)]
    return _together(table, list(stream.key)), versions


def _turned_away(batch: Batch, stream: Stream) -> dict[Hashable, Hashable]:
    """The key of each record that is no row, as a row would have it, and for its version the record; of those whose key is known.

    Others say nothing: two that are alike may be two records.
    """
    if not batch.rejects or not stream.key:
        return {}
    import pyarrow as pa

    numbers = [pa.types.is_integer(batch.table.schema.field(name).type) for name in stream.key]
    found: dict[Hashable, Hashable] = {}
    for reject in batch.rejects:
        parts = (reject.key or "").split("|") if len(numbers) > 1 else [reject.key or ""]
        if reject.key is not None and len(parts) == len(numbers):
            key = tuple(int(part) if number else part for part, number in zip(parts, numbers, strict=True))
            found[key[0] if len(key) == 1 else key] = reject.payload
    return found


def _together(table: pa.Table, names: list[str]) -> list[Hashable]:
    """One value a row, of one column or of several."""
    columns = [_plain(table.column(name)) for name in names]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """The values; of moments their microseconds, which are quicker to make, and the same in a page as in the lake."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    quick = not column.null_count and (pa.types.is_integer(column.type) or pa.types.is_boolean(column.type))
    found: list[Any] = column.to_numpy().tolist() if quick else column.to_pylist()
    return found


def told(kind: str, first: Moves, last: Moves | None) -> str:
    """What the receipt says of a list that moved the `first` time it was read; `last` is the second, if there was one."""
    begin = f"feed moved while it was read by {kind.replace('_', ' ')}: {first.first}"
    if last is not None and last is not first and not last.signs:
        return f"{begin}; it was read a second time, and held still"
    twice = "; it moved the second time too" if last is not first else ""
    remedy = "pull the range again when it is quiet; for good, read by a page token, in smaller slices or with an overlap"
    return f"{begin}{twice}; records may be missing: {remedy}"
