"""What is set aside before the gate: records of another slice, and records already seen."""

from __future__ import annotations

from collections import deque

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Batch


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
    """Record versions already met, by exact key and version, the newest `window` of them.

    The window bounds memory (law 4). A duplicate from before it lands in the lake twice; the warehouse merges by key and
    version, so its table is the same.
    """

    def __init__(self, columns: tuple[str, ...], window: int = 500_000) -> None:
        self._columns = columns
        self._window = window
        self._known: set[tuple[object, ...] | object] = set()
        self._order: deque[object] = deque()

    def fresh(self, batch: Batch) -> Batch:
        """The rows whose key and version were not met before, in this batch or an earlier one; they count as met now.

        A row with a null in its key or version is never a duplicate: the gate says what is wrong with it.
        """
        if not self._columns:
            return batch
        mask = [self._admit(name) for name in _names(batch.table.select(self._columns))]
        self._forget()
        return batch if all(mask) else batch.filter(pa.array(mask, pa.bool_()))

    def add(self, table: pa.Table) -> None:
        """Count rows of the lake as met; `table` has the key and version columns."""
        for name in _names(table.select(self._columns)):
            self._admit(name)
        self._forget()

    def _admit(self, name: object) -> bool:
        if name is None:
            return True
        if name in self._known:
            return False
        self._known.add(name)
        self._order.append(name)
        return True

    def _forget(self) -> None:
        while len(self._order) > self._window:
            self._known.discard(self._order.popleft())


def _names(table: pa.Table) -> list[object]:
    """One hashable name a row: the tuple of its values, None when one of them is null."""
    columns = [_plain(column).to_pylist() for column in table.columns]
    if len(columns) == 1:
        return list(columns[0])
    return [None if None in row else row for row in zip(*columns, strict=True)]


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # A timestamp as a Python datetime costs ten times its integer, and two time zones of one instant must be equal.
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
