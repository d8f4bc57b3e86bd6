"""What a decoder does for one stream, worked out once: its columns, its tombstone, and the fields it knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from integration_assets.errors import SpecError
from integration_assets.extract.values import Convert, converter
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.paths import Path, parse_path
from integration_assets.spec.records import DELETED
from integration_assets.spec.source import Stream
from integration_assets.spec.tenants import tenant_value

ABSENT: Any = object()
"""There is no such field, as opposed to null."""
TEXT = "#text"
"""Where an XML element that has attributes keeps its text."""


@dataclass(frozen=True)
class Planned:
    """One column: where its value is and how it is made.

    tenant : the value that all records of the slice have, sent or not: whose they are.
    """

    name: str
    shown: str
    path: Path
    type: pa.DataType
    format: str | None
    convert: Convert
    needed: bool
    tenant: str | int | None = None


@dataclass
class Shape:
    """The fields that are known below a value. `whole`: everything below it is."""

    fields: dict[str, Shape] = field(default_factory=dict)
    item: Shape | None = None
    whole: bool = False


@dataclass(frozen=True)
class Plan:
    """The columns, what marks a tombstone, the known fields, and the columns that name a record."""

    columns: tuple[Planned, ...]
    schema: pa.Schema
    tombstone: tuple[Path, str | bool | int] | None
    shape: Shape
    key: tuple[str, ...]
    text: bool


def plan_for(stream: Stream, contract: Contract, tenant: str | None = None) -> Plan:
    """Work out a stream's decoding. Raises `SpecError` naming the stream and the column that cannot be read."""
    whose = stream.tenants.column if stream.tenants and tenant is not None else None
    text = stream.format.kind in {"csv", "xml"}
    needed = {*stream.key, stream.version_column, stream.cursor.field if stream.cursor else None}
    columns = []
    for column in contract.columns:
        try:
            convert = converter(column.type, column.format, text=text, flat=stream.format.kind == "csv")
        except SpecError as error:
            error.field = f"contract.{column.name}"
            error.at(stream=stream.name)
            raise
        columns.append(
            Planned(
                column.name,
                show(column.path),
                column.path,
                column.type,
                column.format,
                convert,
                needed=column.name in needed,
                tenant=tenant_value(tenant, column.type) if tenant is not None and column.name == whose else None,
            )
        )
    tombstone = (parse_path(stream.tombstone.path), stream.tombstone.value) if stream.tombstone else None
    return Plan(
        tuple(columns),
        contract.arrow_schema.append(pa.field(DELETED, pa.bool_())),
        tombstone,
        _shape(columns, tombstone, stream.ignore),
        stream.key,
        text,
    )


def show(path: Path) -> str:
    """`("a", 0, "b")` as `a[0].b`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def look_up(value: Any, path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """The value at a path; `ABSENT` where there is no such field, None where it or what holds it is null."""
    for part in path:
        if value is None:
            return None
        if isinstance(part, str):
            value = value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
        elif isinstance(value, list):
            value = value[part] if part < len(value) else ABSENT
        else:
            value = ABSENT
        if value is ABSENT:
            return ABSENT
    return value


def unknown(value: Any, shape: Shape, path: str, found: set[str]) -> None:  # noqa: ANN401 - any JSON value
    """Add to `found` the paths of fields with a value that the shape does not know."""
    if shape.whole or not (shape.fields or shape.item):
        return
    if isinstance(value, dict):
        for name, below in value.items():
            known = shape.fields.get(name)
            if below is None or name == TEXT or (known is not None and not (known.fields or known.item)):
                continue
            here = f"{path}.{name}" if path else name
            if known is None:
                found.add(here)
            else:
                unknown(below, known, here, found)
    elif isinstance(value, list) and shape.item:
        for below in value:
            unknown(below, shape.item, f"{path}[]", found)


def _shape(columns: list[Planned], tombstone: tuple[Path, object] | None, ignore: tuple[str, ...]) -> Shape:
    root = Shape()
    for column in columns:
        _grow(_reach(root, column.path), column.type, column.format)
    whole = [parse_path(path.replace("[]", "[0]")) for path in ignore]
    for path in [*whole, *([tombstone[0]] if tombstone else [])]:
        _reach(root, path).whole = True
    return root


def _reach(shape: Shape, path: Path) -> Shape:
    for part in path:
        if isinstance(part, str):
            shape = shape.fields.setdefault(part, Shape())
        else:
            shape.item = shape.item or Shape()
            shape = shape.item
    return shape


def _grow(shape: Shape, type_: pa.DataType, format_: str | None) -> None:
    if format_ == "json":
        shape.whole = True
    elif pa.types.is_struct(type_):
        for position in range(type_.num_fields):
            below = type_.field(position)
            _grow(shape.fields.setdefault(below.name, Shape()), below.type, None)
    elif pa.types.is_list(type_) or pa.types.is_large_list(type_):
        shape.item = shape.item or Shape()
        _grow(shape.item, type_.value_type, None)
