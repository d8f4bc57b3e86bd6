"""What is set aside before the gate: records of another slice, and records already seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

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
    """What was last seen of each record version, the newest `window` of them.

    A record is a duplicate only when the last one with its key and version was equal to it in every column: an API that
    corrects a record, or withdraws it, without a new version is not passed over. The window bounds memory (law 4); a
    duplicate from before it lands in the lake twice, and the warehouse merges by key and version, so its table is the same.

    identity : the key and version columns; empty lets every row pass.
    columns  : the columns that make up a row.
    hashes   : a number per row, equal for equal rows.
    """

    def __init__(
        self,
        identity: tuple[str, ...],
        columns: Sequence[str],
        hashes: Callable[[pa.Table], Sequence[int]],
        window: int = 500_000,
    ) -> None:
        self._identity = identity
        self._columns = list(columns)
        self._hashes = hashes
        self._window = window
        self._last: dict[object, int] = {}

    def fresh(self, batch: Batch) -> Batch:
        """The rows that differ from what was last seen of their key and version; they count as seen now.

        A row with a null in its key or version is never a duplicate: the gate says what is wrong with it.
        """
        if not self._identity or not batch.table.num_rows:
            return batch
        mask = self._meet(batch.table)
        return batch if all(mask) else batch.filter(pa.array(mask, pa.bool_()))

    def add(self, table: pa.Table) -> None:
        """Count rows of the lake as seen, in the order in which they landed."""
        if table.num_rows:
            self._meet(table)

    def _meet(self, table: pa.Table) -> list[bool]:
        """Whether each row is new, remembering it."""
        names = _names(table.select(self._identity))
        mask = []
        for name, number in zip(names, self._hashes(table.select(self._columns)), strict=True):
            new = name is None or self._last.get(name) != number
            if new and name is not None:
                self._last.pop(name, None)
                self._last[name] = number
            mask.append(new)
        for name in list(islice(self._last, max(0, len(self._last) - self._window))):
            del self._last[name]
        return mask


def _names(table: pa.Table) -> list[object]:
    """One hashable name a row: the tuple of its values, None when one of them is null."""
    columns = [_plain(column).to_pylist() for column in table.columns]
    if len(columns) == 1:
        return list(columns[0])
    return [None if None in row else row for row in zip(*columns, strict=True)]


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # A timestamp as a Python datetime costs ten times its integer, and two time zones of one instant must be equal.
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
