"""Whether a list that is read by number moved while it was read, so that records of it may have been passed over.

Which record a number names depends on how many stand before it. When one of them leaves the list, those behind it move up,
and the one that crosses the edge between two pages is on neither. Records that come in before them only push some onto a
second page. So pages that share a record have nothing between them, as long as records that do not change keep their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration_assets.spec.records import DELETED, Batch
from integration_assets.spec.source import Stream

if TYPE_CHECKING:
    import pyarrow as pa

_WINDOW = 200_000
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
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._last: set[int] = set()
        self._total: int | None = None
        self._begun = False
        self._current = stream.disposition not in _VERSIONS

    def go_on(self, total: int | None, *, moved: bool) -> None:
        """Go on after the pages of an earlier run, at which the API counted `total`, and which may have told of moves."""
        self._total, self.signs = total, int(moved)
        self.first = "an earlier run, from which this one goes on, saw it" if moved else ""

    def page(self, batch: Batch, total: int | None, *, doubled: bool = False) -> None:
        """Take in the next page.

        total   : how many records the API counts, where it does.
        doubled : the page was asked for so that it may repeat records of the last one.
        """
        rows = _rows(batch.table, self._stream)
        marks = {version for _, version in rows} | {hash(reject.payload) for reject in batch.rejects}
        if (self._begun or self._total) and (sign := self._sign(rows, marks, total, doubled=doubled)):
            self.first = self.first or sign
            self.signs += 1
        keys = dict(rows)
        # Several versions of a record on one page: the API lists versions, and a key that comes again says nothing.
        self._current = self._current and len(keys) == len({version for _, version in rows})
        self._remember(keys)
        self._last, self._begun = marks, True
        if total:  # past its end an API may count 0
            self._total = total

    def _sign(self, rows: list[tuple[int, int]], marks: set[int], total: int | None, *, doubled: bool) -> str:
        """Why records may have been passed over before this page; empty when nothing says so."""
        before = [self._before(key) for key, _ in rows]
        again = [then == version for then, (_, version) in zip(before, rows, strict=True)]
        linked = not marks.isdisjoint(self._last)
        fell = bool(total and self._total and total < self._total)
        newer = sum(then is not None for then in before) - sum(again)
        if self._overlap and self._begun and not linked:
            return "a page did not begin with the end of the one before it"
        if fell and not linked:
            return f"the API's count went from {self._total:,} to {total:,}"
        if newer and self._current and not linked:
            return f"{newer:,} records came again with another version"
        more = sum(again) - (self._overlap if linked else 0)
        if more <= 0 or doubled:
            return ""
        if any(then is None for then in before[: _last_true(again)]):
            return f"{more:,} records came again behind others that had not come yet"
        # A record that came in before them pushed them here, and hid nothing: it is told of by the count where there is one, and
        # cannot be in a range that is closed. Where no later slice brings a record that went to the front, one may have.
        cursor = self._stream.cursor
        pushed = cursor is not None and (total > self._total if total and self._total else cursor.end_param is None)
        return "" if pushed else f"{more:,} records of one page came again on the next"

    def _before(self, key: int) -> int | None:
        return self._young[key] if key in self._young else self._old.get(key)

    def _remember(self, keys: dict[int, int]) -> None:
        self._young.update(keys)
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}


def _last_true(flags: list[bool]) -> int:
    return max(position for position, flag in enumerate(flags) if flag)


def _rows(table: pa.Table, stream: Stream) -> list[tuple[int, int]]:
    """A number for each row's key, and one for key, version and deletion; none for a stream without a key."""
    if not stream.key or not table.num_rows:
        return []
    keys = [hash(key) for key in zip(*(_plain(table.column(name)) for name in stream.key), strict=True)]
    named = (stream.version_column, stream.cursor.field if stream.cursor else None, DELETED)
    versions = [_plain(table.column(name)) for name in dict.fromkeys(named) if name]
    return list(zip(keys, (hash(whole) for whole in zip(keys, *versions, strict=True)), strict=True))


def _plain(column: pa.ChunkedArray) -> list[object]:
    """The values; of moments their numbers, which are quicker to make."""
    import pyarrow as pa

    found: list[object] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
    return found


def told(kind: str, first: Moves, last: Moves | None) -> str:
    """What the receipt says of a list that moved the `first` time it was read; `last` is the second, if there was one."""
    begin = f"feed moved while it was read by {kind.replace('_', ' ')}: {first.first}"
    if last is not None and last is not first and not last.signs:
        return f"{begin}; it was read a second time, and held still"
    twice = "; it moved the second time too" if last is not first else ""
    remedy = "pull the range again when it is quiet, or sweep it; read by a page token or in smaller slices if the API has them"
    return f"{begin}{twice}; records may be missing: {remedy}"
