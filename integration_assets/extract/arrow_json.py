"""The quick way: records that Arrow's JSON reader took by the contract's schema, made the contract's columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.extract.columns import fit, read_type
from integration_assets.extract.plan import ABSENT, Plan, Planned, Shape, look_up
from integration_assets.extract.quoting import Quotes, add_quote, quote_for
from integration_assets.extract.values import RECORD
from integration_assets.spec.paths import Path
from integration_assets.spec.records import Batch, Drift

_MARKS: dict[type, pa.DataType] = {bool: pa.bool_(), int: pa.int64(), str: pa.string()}


@dataclass(frozen=True)
class ArrowShape:
    """The schema by which Arrow reads `{"records": […]}`, and what has to be quoted before it does."""

    schema: pa.Schema
    quotes: Quotes


@dataclass
class _Node:
    leaf: pa.DataType | None = None
    fields: dict[str, _Node] = field(default_factory=dict)
    item: _Node | None = None

    def type(self) -> pa.DataType | None:
        """Its Arrow type; None when it is asked to be two things."""
        if (self.leaf is not None) + bool(self.fields) + (self.item is not None) != 1:
            return None
        if self.leaf is not None:
            return self.leaf
        if self.item is not None:
            below = self.item.type()
            return None if below is None else pa.list_(below)
        types = {name: node.type() for name, node in self.fields.items()}
        return None if None in types.values() else pa.struct(list(types.items()))


def arrow_shape(plan: Plan) -> ArrowShape | None:
    """How Arrow shall read the records; None where a column's type or two columns' paths leave it to the strict way."""
    root = _Node()
    wanted: list[tuple[Path, pa.DataType | None]] = []
    quotes: Quotes = {}
    for column in plan.columns:
        quote = quote_for(column.type, column.format)
        if quote is not None and not add_quote(quotes, column.path, quote):
            return None
        wanted.append((column.path, pa.string() if quote else read_type(column.type, column.format)))
    if plan.tombstone:
        wanted.append((plan.tombstone[0], _MARKS[type(plan.tombstone[1])]))
    for path, type_ in wanted:
        node = root
        for part in path:
            if isinstance(part, str):
                node = node.fields.setdefault(part, _Node())
            else:
                node.item = node.item or _Node()
                node = node.item
        if type_ is None or node.leaf not in (None, type_):
            return None
        node.leaf = type_
    whole = root.type()
    return None if whole is None else ArrowShape(pa.schema([("records", pa.list_(whole))]), quotes)


def page_from_arrow(
    plan: Plan, structs: pa.StructArray, raw: Sequence[bytes], counts: Sequence[int], texts: Sequence[Any]
) -> tuple[Batch, Drift] | None:
    """The rows of one page or several, `counts` records each; None when some value needs a closer look.

    Fields that the contract does not know are counted as far as Arrow read them.

    texts : each page's records as JSON.
    """
    drift = Drift()
    if not len(structs):
        return Batch(pa.Table.from_batches([], plan.schema), raw, (), 0), drift
    read: dict[str, pa.Array] = {column.name: _at(structs, column.path) for column in plan.columns}
    columns = []
    for column in plan.columns:
        fitted = fit(read[column.name], column.type, column.format)
        if fitted is not None and column.tenant is not None:
            fitted = _of_tenant(fitted, column.tenant)
        if fitted is None:
            return None
        columns.append(fitted)
    deleted = _deleted(plan, structs)
    table = pa.table([*columns, deleted], schema=plan.schema)
    _count_new(structs, plan.shape, "", np.arange(len(structs)), drift)
    at = 0
    for count, text in zip(counts, texts, strict=True):
        if pc.any(pc.invert(deleted.slice(at, count))).as_py():
            _count_missing(plan, read, raw, text, at, count, drift)
        at += count
    return Batch(table, raw, (), len(structs)), drift


def _of_tenant(values: pa.Array, tenant: str | int) -> pa.Array | None:
    """The tenant's column, filled where it was not sent; None when a record is another tenant's."""
    own = pa.scalar(tenant, values.type)
    return pc.fill_null(values, own) if pc.all(pc.equal(values, own)).as_py() is not False else None


def _at(array: pa.Array, path: Path) -> pa.Array:
    for part in path:
        array = pc.struct_field(array, [part]) if isinstance(part, str) else _element(array, part)
    return array


def _element(lists: pa.ListArray, index: int) -> pa.Array:
    """The element at `index` of each list, null where the list is shorter."""
    inside = pc.greater(pc.list_value_length(lists), index)
    starts = lists.offsets.slice(0, len(lists))
    return lists.values.take(pc.if_else(inside, pc.add(starts, index), None))


def _deleted(plan: Plan, structs: pa.StructArray) -> pa.Array:
    if plan.tombstone is None:
        return pa.array(np.zeros(len(structs), bool))
    path, mark = plan.tombstone
    flags = pc.equal(_at(structs, path), pa.scalar(mark, _MARKS[type(mark)]))
    return pc.fill_null(flags, fill_value=False)


def _count_new(array: pa.Array, shape: Shape, path: str, rows: Any, drift: Drift) -> None:  # noqa: ANN401 - numpy array
    """Count fields that Arrow found beside the known ones. `rows` says which record each value belongs to."""
    if shape.whole:
        return
    if pa.types.is_struct(array.type):
        for below in array.type:
            here = f"{path}.{below.name}" if path else below.name
            known = shape.fields.get(below.name)
            if known is not None and not (known.fields or known.item):
                continue
            values = pc.struct_field(array, [below.name])
            if known is not None:
                _count_new(values, known, here, rows, drift)
            elif values.null_count < len(values):
                drift.new[here] += len(np.unique(rows[np.asarray(values.is_valid())]))
    elif pa.types.is_list(array.type) and shape.item:
        parents = np.asarray(pc.list_parent_indices(array))
        _count_new(array.flatten(), shape.item, f"{path}[]", rows[parents], drift)


def _count_missing(
    plan: Plan,
    read: dict[str, pa.Array],
    raw: Sequence[bytes],
    text: Any,  # noqa: ANN401 - raw JSON
    at: int,
    count: int,
    drift: Drift,
) -> None:
    """Columns that are null throughout a page are looked at in its records: a field that is there as null is not missing."""
    null = [column for column in plan.columns if column.tenant is None and read[column.name].null_count >= count]
    null = [column for column in null if read[column.name].slice(at, count).null_count == count]
    doubted = _perhaps_there(null, text) if null else []
    for column in null:
        if column not in doubted:
            drift.missing[column.shown] += count
    for position in range(at, at + count):
        if not doubted:
            return
        value = RECORD.decode(raw[position])
        doubted = [column for column in doubted if look_up(value, column.path) is ABSENT]
    for column in doubted:
        drift.missing[column.shown] += count


def _perhaps_there(columns: Sequence[Planned], text: Any) -> list[Planned]:  # noqa: ANN401 - raw JSON
    """Those whose name is somewhere in the text: many an API leaves out what is null, and each record would be decoded for it."""
    page = bytes(text)
    if b"\\u" in page:  # names may be written so
        return list(columns)
    # The first name decides: a field below an object that is null counts as null, and as there.
    return [one for one in columns if json.dumps(one.path[0], ensure_ascii=False).encode() in page]
