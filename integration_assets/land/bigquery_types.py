"""Arrow columns as BigQuery columns."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from google.cloud.bigquery import SchemaField

from integration_assets.errors import WarehouseError

_REMEDY = "Keep the value as JSON text (format='json' in the contract), or give the column another type."
_PLAIN: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_boolean, "BOOL"),
    (pa.types.is_integer, "INT64"),
    (pa.types.is_floating, "FLOAT64"),
    (pa.types.is_string, "STRING"),
    (pa.types.is_large_string, "STRING"),
    (pa.types.is_binary, "BYTES"),
    (pa.types.is_large_binary, "BYTES"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_time, "TIME"),
)
_SAME = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "STRUCT": "RECORD"}
_NUMERIC = (29, 9)
"""Digits before and after the point that NUMERIC holds exactly."""
_BIGNUMERIC = (38, 38)


def column(field: pa.Field, *, required: bool = False, json: bool = False, description: str = "") -> SchemaField:
    """An Arrow field as a BigQuery column. Raises `WarehouseError` for a type that BigQuery does not have."""
    type_, repeated = field.type, _is_list(field.type)
    if repeated:
        type_ = type_.value_type
        if _is_list(type_):
            raise _unknown(field)
    parts = [column(type_.field(i)) for i in range(type_.num_fields)] if pa.types.is_struct(type_) else []
    mode = "REPEATED" if repeated else "REQUIRED" if required else "NULLABLE"
    kind = "JSON" if json else _kind(field, type_)
    return SchemaField(field.name, kind, mode, description=description, fields=parts)


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))


def _kind(field: pa.Field, type_: pa.DataType) -> str:
    if pa.types.is_struct(type_) and type_.num_fields:
        return "RECORD"
    if pa.types.is_timestamp(type_):
        return "TIMESTAMP" if type_.tz else "DATETIME"
    if pa.types.is_decimal(type_):
        whole = type_.precision - type_.scale
        for name, (before, after) in (("NUMERIC", _NUMERIC), ("BIGNUMERIC", _BIGNUMERIC)):
            if whole <= before and 0 <= type_.scale <= after:
                return name
    for fits, name in _PLAIN:
        # An unsigned 64-bit integer is the only one that INT64 cannot hold.
        if fits(type_) and not pa.types.is_uint64(type_):
            return name
    raise _unknown(field)


def _unknown(field: pa.Field) -> WarehouseError:
    return WarehouseError(f"BigQuery has no column for the type {field.type}", field=field.name, remedy=_REMEDY)


def spelled(field: SchemaField) -> str:
    """A column's type as SQL spells it, without REQUIRED: `ARRAY<STRUCT<a INT64, b STRING>>`."""
    kind = _SAME.get(field.field_type, field.field_type)
    if kind == "RECORD":
        kind = f"STRUCT<{', '.join(f'{part.name} {spelled(part)}' for part in field.fields)}>"
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else kind
