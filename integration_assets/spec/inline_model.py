"""The pandera model of a contract that is written in a spec as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from integration_assets.spec.inline import InlineColumn, InlineContract
from integration_assets.spec.types import ColumnType

_ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
_READ: dict[str, Callable[[str], object]] = {"timestamp": pd.Timestamp, "date": date.fromisoformat}


def inline_model(contract: InlineContract, field: Callable[..., Any]) -> type[pandera.DataFrameModel]:
    """The model that a contracts.py would have; `field` is `spec.contract.column`."""
    made = {name: _field(column, field) for name, column in contract.columns.items()}
    types = {name: Annotated[pd.ArrowDtype, arrow_type(column.parsed)] for name, column in contract.columns.items()}
    body = {"__doc__": contract.description, "__module__": __name__, "__annotations__": types, **made}
    return type("contract", (pandera.DataFrameModel,), body)


def arrow_type(type_: ColumnType) -> pa.DataType:
    """The Arrow type of a column's."""
    match type_.name:
        case "decimal":
            return pa.decimal128(type_.precision, type_.scale)
        case "list":
            return pa.list_(arrow_type(type_.parts[0][1]))
        case "struct":
            return pa.struct([(name, arrow_type(part)) for name, part in type_.parts])
        case name:
            return _ARROW[name]


def _field(column: InlineColumn, field: Callable[..., Any]) -> Any:  # noqa: ANN401 - what pandera.Field returns
    read = _READ.get(column.parsed.name, _same)
    checks = {name: _read(given, read) for name, given in column.checks.given().items()}
    settings = {name: getattr(column, name) for name in InlineColumn.model_fields if name not in {"type", "checks"}}
    return field(**settings, **checks)


def _read(given: object, read: Callable[[str], object]) -> object:
    """A check's value with the times in it read; pandera takes several as a list, named ones as a dict."""
    if isinstance(given, Mapping):
        return {name: _read(value, read) for name, value in given.items()}
    if isinstance(given, tuple):
        return [_read(value, read) for value in given]
    return read(given) if isinstance(given, str) else given


def _same(text: str) -> str:
    return text
