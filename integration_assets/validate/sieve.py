"""What is set aside before the gate: records of another slice, and records already seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Batch

Numbers = npt.NDArray[Any]


def inside(batch: Batch, cursor_field: str, slice_: Slice) -> Batch:
    """The rows whose cursor lies in `[start, end)`. A null cursor stays, for the gate to reject with its reason."""
    values = batch.table.column(cursor_field)
    mask = pc.is_null(values)
    within = pa.chunked_array([pa.repeat(pa.scalar(value=True), batch.table.num_rows)])
    if slice_.start is not None:
        within = pc.and_(within, pc.fill_null(pc.greater_equal(values, pa.scalar(slice_.start, values.type)), fill_value=False))
    if slice_.end is not None:
        within = pc.and_(within, pc.fill_null(pc.less(values, pa.scalar(slice_.end, values.type)), fill_value=False))
    keep = pc.or_(mask, within)
    return batch if pc.all(keep).as_py() else batch.filter(keep)


class Seen:
    """What was last seen of each record version, the newest of them: `window` at most, half as many at least.

    A record is a duplicate only when the last one with its key and version was equal to it in every column: an API that
    corrects a record, or withdraws it, without a new version is not passed over. The window bounds memory (law 4); a
    duplicate from before it lands in the lake twice, and the warehouse merges by key and version, so its table is the same.

    identity : the key and version columns; empty lets every row pass.
    columns  : the columns that make up a row.
    hashes   : a 64-bit number per row, equal for equal rows.
    as_stored : what makes of rows that come the rows that the lake has of them.
    landed   : rows that the lake has; they are read when the first row comes, so that a sync which finds nothing is cheap.
    """

    def __init__(
        self,
        identity: tuple[str, ...],
        columns: Sequence[str],
        hashes: Callable[[pa.Table], Numbers],
        window: int = 500_000,
        as_stored: Callable[[pa.Table], pa.Table] | None = None,
        landed: Callable[[], Iterable[pa.Table]] | None = None,
    ) -> None:
        self._identity = identity
        self._columns = list(columns)
        self._hashes = hashes
        self._as_stored = as_stored
        self._landed = landed
        self._half = max(1, window // 2)
        self._young = self._old = _Known()

    def fresh(self, batch: Batch) -> Batch:
        """The rows that differ from what was last seen of their key and version; they count as seen now.

        A row with a null in its key or version is never a duplicate: the gate says what is wrong with it.
        """
        if not self._identity or not batch.table.num_rows:
            return batch
        if self._landed is not None:
            landed, self._landed = self._landed, None
            for rows in landed():
                self.add(rows)
        mask = self._meet(self._as_stored(batch.table) if self._as_stored else batch.table)
        return batch if mask.all() else batch.filter(pa.array(mask, pa.bool_()))

    def add(self, table: pa.Table) -> None:
        """Count rows of the lake as seen, in the order in which they landed."""
        if table.num_rows:
            self._meet(table)

    def __len__(self) -> int:
        """How many record versions are remembered."""
        return len(self._young.names) + len(self._old.names)

    def _meet(self, table: pa.Table) -> Numbers:
        """Whether each row is new, remembering it: all rows at once, by the numbers of their names and of their contents."""
        named = table.select(self._identity)
        whole = np.flatnonzero(_no_null(named))
        mask = np.ones(table.num_rows, bool)
        if not len(whole):
            return mask
        names = self._hashes(pa.table({name: _plain(named.column(name)) for name in self._identity}))[whole]
        rows = self._hashes(table.select(self._columns))[whole]
        order = np.argsort(names, kind="stable")
        names, rows = names[order], rows[order]
        head = np.ones(len(names), bool)
        head[1:] = names[1:] != names[:-1]
        heads = np.flatnonzero(head)
        # What was seen before a row: the row before it in the batch, or for the first of a name what is remembered.
        before, known = np.roll(rows, 1), ~head
        known[heads], before[heads] = self._look_up(names[heads])
        mask[whole[order]] = ~(known & (before == rows))
        last = np.append(heads[1:], len(names)) - 1
        self._remember(names[last], rows[last])
        return mask

    def _look_up(self, names: Numbers) -> tuple[Numbers, Numbers]:
        """Whether each name is known, and the number of its last row."""
        known, rows = self._old.look_up(names)
        newer, newest = self._young.look_up(names)
        return known | newer, np.where(newer, newest, rows)

    def _remember(self, names: Numbers, rows: Numbers) -> None:
        self._young = self._young.with_(names, rows)
        if len(self._young.names) >= self._half:
            # The batch may be larger than the window: which of its rows are forgotten then makes no difference.
            self._old, self._young = self._young.first(self._half), _Known()


@dataclass(frozen=True)
class _Known:
    """Numbers of names, ascending, and the number of the last row of each."""

    names: Numbers = field(default_factory=lambda: np.empty(0, np.uint64))
    rows: Numbers = field(default_factory=lambda: np.empty(0, np.uint64))

    def look_up(self, names: Numbers) -> tuple[Numbers, Numbers]:
        if not len(self.names):
            return np.zeros(len(names), bool), np.zeros(len(names), np.uint64)
        at = np.minimum(np.searchsorted(self.names, names), len(self.names) - 1)
        return self.names[at] == names, self.rows[at]

    def with_(self, names: Numbers, rows: Numbers) -> _Known:
        """These and `names`, which are ascending and different from each other; their rows replace older ones."""
        at = np.searchsorted(self.names, names)
        there = self.look_up(names)[0]
        mine = self.rows.copy()
        mine[at[there]] = rows[there]
        return _Known(np.insert(self.names, at[~there], names[~there]), np.insert(mine, at[~there], rows[~there]))

    def first(self, most: int) -> _Known:
        return _Known(self.names[:most], self.rows[:most])


def _no_null(table: pa.Table) -> Numbers:
    whole = np.ones(table.num_rows, bool)
    for column in table.columns:
        if column.null_count:
            whole &= pc.is_valid(column).to_numpy()
    return whole


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # Two time zones of one instant must be equal.
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
