"""Values to columns, record by record where need be: a record that does not fit is rejected alone, with every reason."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from integration_assets.extract.columns import text_column
from integration_assets.extract.plan import ABSENT, Plan, Planned, look_up
from integration_assets.extract.values import TRUTHS, Mismatch, kind
from integration_assets.spec.paths import Path
from integration_assets.spec.records import Batch, Drift, Reject

_INDEX = re.compile(r"\[\d+\]")


@dataclass
class Records:
    """The records of a page that could be taken apart.

    values : the values at a path, one a record; `ABSENT` where a record lacks it.
    raw    : each record's bytes.
    broken : rejects that have no values at all, counted among the page's records.
    """

    values: Callable[[Path], list[Any]]
    raw: Sequence[bytes]
    broken: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.raw)


def assemble(plan: Plan, records: Records, drift: Drift) -> Batch:
    """The page as a batch; `drift` is told what was retyped or missing."""
    reasons: dict[int, list[str]] = defaultdict(list)
    deleted = _tombstones(plan, records, drift, reasons)
    arrays: dict[str, list[Any] | pa.Array] = {}
    total = len(records) + len(records.broken)
    live = not all(deleted)
    for column in plan.columns:
        values = records.values(column.path)
        if column.tenant is not None:
            values = _of_tenant(column, values, text=plan.text)
        elif live and all(value is ABSENT for value in values):
            drift.missing[column.shown] += total
        arrays[column.name], mismatches = _convert(column, values, text=plan.text)
        for position, mismatch in mismatches.items():
            if deleted[position] and not column.needed:
                continue
            where = column.shown + mismatch.path
            reasons[position].append(f"{where}: expected {mismatch.expected}, got {mismatch.shown}")
            anywhere = _INDEX.sub("[]", mismatch.path)
            drift.retyped[f"{column.shown}{anywhere}: expected {mismatch.expected}, got {mismatch.got}"] += 1
        for position in _others(column, arrays[column.name], mismatches):
            reasons[position].append(f"{column.shown}: is not the tenant that was asked for, got {repr(values[position])[:60]}")
    good = [position for position in range(len(records)) if position not in reasons]
    columns = [_column(arrays[column.name], column.type, good) for column in plan.columns]
    table = pa.table([*columns, pa.array([deleted[position] for position in good], pa.bool_())], schema=plan.schema)
    rejects = [Reject(bytes(records.raw[at]), tuple(reasons[at]), _key(plan, arrays, at)) for at in sorted(reasons)]
    return Batch(table, Chosen(records.raw, good), (*records.broken, *rejects), total)


def _tombstones(plan: Plan, records: Records, drift: Drift, reasons: dict[int, list[str]]) -> list[bool]:
    """Which records say that they are gone. One whose mark is of another type says neither, and is rejected."""
    if plan.tombstone is None:
        return [False] * len(records)
    path, mark = plan.tombstone
    expected = {bool: "bool", int: "int64", str: "string"}[type(mark)]
    flags = []
    shown = ".".join(map(str, path))
    for position, value in enumerate(records.values(path)):
        same = type(value) is type(mark)
        if plan.text and isinstance(value, str):
            flags.append(TRUTHS.get(value.lower()) is mark if isinstance(mark, bool) else value == str(mark))
            continue
        if not same and value is not None and value is not ABSENT:
            drift.retyped[f"{shown}: expected {expected}, got {kind(value)}"] += 1
            reasons[position].append(f"{shown}: expected {expected}, got {repr(value)[:60]}")
        flags.append(same and value == mark)
    return flags


def _of_tenant(column: Planned, values: list[Any], *, text: bool) -> list[Any]:
    """The values as sent, the tenant's own where none was."""
    own = str(column.tenant) if text else column.tenant
    return [own if value is ABSENT or value is None else value for value in values]


def _others(column: Planned, values: list[Any] | pa.Array, mismatches: Collection[int]) -> list[int]:
    """Which records are another tenant's."""
    if column.tenant is None:
        return []
    plain = values.to_pylist() if isinstance(values, pa.Array) else values
    return [position for position, value in enumerate(plain) if value != column.tenant and position not in mismatches]


def _convert(column: Planned, values: list[Any], *, text: bool) -> tuple[list[Any] | pa.Array, dict[int, Mismatch]]:
    if text and (array := text_column(values, column.type, column.format)) is not None:
        return array, {}
    converted: list[Any] = []
    mismatches = {}
    for position, value in enumerate(values):
        try:
            converted.append(None if value is ABSENT else column.convert(value))
        except Mismatch as mismatch:
            mismatches[position] = mismatch
            converted.append(None)
    return converted, mismatches


def _column(values: list[Any] | pa.Array, type_: pa.DataType, good: list[int]) -> pa.Array:
    if isinstance(values, pa.Array):
        return values if len(good) == len(values) else values.take(pa.array(good, pa.int64()))
    chosen = [values[position] for position in good]
    if pa.types.is_timestamp(type_):
        return pa.array(chosen, pa.timestamp("us", "UTC")).cast(type_)
    return pa.array(chosen, type_)


def _key(plan: Plan, arrays: dict[str, list[Any] | pa.Array], position: int) -> str | None:
    values = []
    for name in plan.key:
        value = arrays[name][position]
        values.append(value.as_py() if isinstance(value, pa.Scalar) else value)
    return None if not values or any(value is None for value in values) else "|".join(str(value) for value in values)


def object_values(objects: Sequence[Any]) -> Callable[[Path], list[Any]]:
    """Look a path up in each of several JSON objects."""

    def values(path: Path) -> list[Any]:
        if len(path) == 1 and all(isinstance(item, dict) for item in objects):
            return [item.get(path[0], ABSENT) for item in objects]  # as most are, and in a fifth of the time
        return [look_up(item, path) for item in objects]

    return values


class Chosen(Sequence[bytes]):
    """Some of the records, as bytes made only when asked for."""

    def __init__(self, raw: Sequence[Any], positions: Sequence[int]) -> None:
        self._raw = raw
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - an index or a slice, as Sequence has it
        if isinstance(index, slice):
            return Chosen(self._raw, self._positions[index])
        return bytes(self._raw[self._positions[index]])
