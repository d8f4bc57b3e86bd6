"""From a pandera model to one definition of the data: columns, Arrow schema and a hash.

A contract is a `pandera.pandas.DataFrameModel` whose fields are made with `column(...)` and whose types are the aliases
below. It is written in a source's `contracts.py` and named in the spec as `package.module:Model`, so that loading the
definitions does not import pandas and pandera.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from integration_assets.errors import SpecError
from integration_assets.spec.inline import InlineContract
from integration_assets.spec.masks import check_marks
from integration_assets.spec.parent import check_parent_columns
from integration_assets.spec.paths import FORMATS, Path, parse_path
from integration_assets.spec.tenants import check_column

if TYPE_CHECKING:
    from integration_assets.spec.source import Source, Stream

String = Annotated[pd.ArrowDtype, pa.string()]
Int64 = Annotated[pd.ArrowDtype, pa.int64()]
Float64 = Annotated[pd.ArrowDtype, pa.float64()]
Boolean = Annotated[pd.ArrowDtype, pa.bool_()]
Date = Annotated[pd.ArrowDtype, pa.date32()]
Timestamp = Annotated[pd.ArrowDtype, pa.timestamp("us", "UTC")]

__all__ = [
    "Boolean",
    "Column",
    "Contract",
    "Date",
    "Float64",
    "Int64",
    "Path",
    "String",
    "Timestamp",
    "check_stream",
    "column",
    "load_contract",
    "parse_path",
]


def column(
    path: str | None = None,
    *,
    format: str | None = None,  # noqa: A002 - the field's own word
    nullable: bool = True,
    description: str | None = None,
    pii: Literal["redact", "hash", "partial"] | None = None,
    mask: Literal["hash", "redact"] | None = None,
    **checks: Any,  # noqa: ANN401 - pandera's own checks
) -> Any:  # noqa: ANN401 - what pandera.Field returns
    """A contract's column.

    path        : where the value is in a record: `properties.mag`, `geometry.coordinates[0]`, `@id` (XML attribute);
                  the column's own name when None.
    format      : how a timestamp is written: `iso8601` (default), `epoch_s`, `epoch_ms` or a strftime pattern;
                  `json` keeps any value as its JSON text in a String column.
    nullable    : whether the value may be absent or null. Absent and null are the same.
    pii         : the value is personal, and people see this of it; lake and warehouse have it whole.
    mask        : lake and warehouse have this of the value, and quarantine the whole record should it be rejected.
    checks      : pandera's: `ge=0`, `isin=[…]`, `str_matches="…"`, `str_length={"min_value": 1}`, …
    """
    metadata = {"path": path, "format": format, "pii": pii, "mask": mask}
    return pandera.Field(nullable=nullable, description=description, metadata=metadata, **checks)


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, where its value is in a record, whether it may be null, and its marks of `spec.masks`."""

    name: str
    type: pa.DataType
    path: Path
    format: str | None
    nullable: bool
    description: str
    pii: str | None = None
    mask: str | None = None


@dataclass(frozen=True)
class Contract:
    """What a stream's rows must be. Arrow schema, warehouse types, gate and hash all come from it."""

    name: str
    description: str
    columns: tuple[Column, ...]
    schema: pandera.DataFrameSchema

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow fields, all nullable: the gate and not the file decides about nulls."""
        return pa.schema([pa.field(c.name, c.type, metadata={"description": c.description}) for c in self.columns])

    @property
    def personal(self) -> bool:
        """Whether any column is marked as personal, by how it is shown or how it is stored."""
        return any(column.pii or column.mask for column in self.columns)

    @cached_property
    def hash(self) -> str:
        """12 hex digits that change when columns, types, paths, nullability, checks or masks do."""
        columns = [
            [
                c.name,
                str(c.type),
                list(c.path),
                c.format,
                c.nullable,
                _checks(self.schema.columns[c.name]),
                *filter(None, [c.mask]),
            ]
            for c in self.columns
        ]
        text = json.dumps([columns, _checks(self.schema)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column_ in self.columns:
            if column_.name == name:
                return column_
        raise KeyError(name)


def _checks(schema: pandera.DataFrameSchema | pandera.Column) -> list[list[str]]:
    """Name and meaning of each check; a custom check's meaning is its source text."""
    described = []
    for check in schema.checks:
        function = getattr(check, "_check_fn", None)
        try:
            code = "" if check.statistics else inspect.getsource(inspect.unwrap(function)) if function else ""
        except (OSError, TypeError):
            code = repr(check)
        described.append([str(check.name), json.dumps(check.statistics or {}, sort_keys=True, default=str), code])
    return sorted(described)


def load_contract(contract: str | InlineContract) -> Contract:
    """Import `package.module:Model`, or make the model of a contract that the spec holds itself.

    Raises `SpecError` naming the model and the column that is wrong.
    """
    return _imported(contract) if isinstance(contract, str) else _inline(contract.model_dump_json())


@lru_cache(maxsize=1024)
def _inline(text: str) -> Contract:
    from integration_assets.spec.inline_model import inline_model

    return _contract("the contract", inline_model(InlineContract.model_validate_json(text), column))


@lru_cache(maxsize=1024)
def _imported(ref: str) -> Contract:
    module_name, _, model_name = ref.partition(":")
    try:
        model = getattr(importlib.import_module(module_name), model_name)
    except (ImportError, AttributeError) as error:
        raise SpecError(
            f"the contract {ref} cannot be imported: {error}", field="contract", remedy="Mend the reference."
        ) from error
    if not (isinstance(model, type) and issubclass(model, pandera.DataFrameModel)):
        raise SpecError(
            f"{ref} is not a pandera DataFrameModel", field="contract", remedy="Derive it from pandera.pandas.DataFrameModel."
        )
    return _contract(ref, model)


def _contract(ref: str, model: type[pandera.DataFrameModel]) -> Contract:
    schema = model.to_schema()
    columns = tuple(_column(ref, name, field) for name, field in schema.columns.items())
    return Contract(ref.rpartition(":")[2], inspect.cleandoc(model.__doc__ or ""), columns, schema)


def _column(ref: str, name: str, field: pandera.Column) -> Column:
    dtype = getattr(field.dtype, "type", None)
    if not isinstance(dtype, pd.ArrowDtype):
        if isinstance(dtype, pd.StringDtype):
            dtype = pd.ArrowDtype(pa.string())
        else:
            raise SpecError(
                f"{ref}: column {name!r} has the type {field.dtype}, which is no Arrow type",
                field=f"contract.{name}",
                remedy="Use String, Int64, Float64, Boolean, Date, Timestamp or Annotated[pd.ArrowDtype, <pyarrow type>].",
            )
    if name.startswith("_"):
        raise SpecError(
            f"{ref}: column {name!r} begins with an underscore", field=f"contract.{name}", remedy="Those are the project's own."
        )
    metadata = field.metadata or {}
    format_ = metadata.get("format")
    if format_ not in FORMATS and "%" not in str(format_):
        raise SpecError(
            f"{ref}: column {name!r} has the unknown format {format_!r}", field=f"contract.{name}", remedy="See column()."
        )
    if format_ == "json" and not pa.types.is_string(dtype.pyarrow_dtype):
        raise SpecError(f"{ref}: column {name!r} keeps JSON text", field=f"contract.{name}", remedy="Make it a String.")
    path = parse_path(metadata.get("path") or name)
    pii, mask = metadata.get("pii"), metadata.get("mask")
    try:
        check_marks(name, pii=pii, mask=mask, text=pa.types.is_string(dtype.pyarrow_dtype), nullable=field.nullable)
    except SpecError as error:
        raise SpecError(f"{ref}: {error.what}", field=f"contract.{name}", remedy=error.remedy) from None
    return Column(name, dtype.pyarrow_dtype, path, format_, field.nullable, field.description or "", pii, mask)


def check_stream(source: Source, stream: Stream) -> Contract:
    """Load the stream's contract and check the spec against it.

    Raises `SpecError` naming source, stream and field: a key, cursor, version or partition that is no column, or of a wrong type.
    """
    try:
        contract = load_contract(stream.contract)
    except SpecError as error:
        raise error.at(source.name, stream.name) from error
    names = [c.name for c in contract.columns]
    wanted = [("key", name) for name in stream.key]
    wanted += [("cursor.field", stream.cursor.field)] if stream.cursor else []
    wanted += [("version", stream.version)] if stream.version else []
    wanted += [("partition_by", stream.partition_by)] if stream.partition_by else []
    for setting, name in wanted:
        if name not in names:
            raise SpecError(
                f"{name!r} is no column of {contract.name}",
                source=source.name,
                stream=stream.name,
                field=setting,
                remedy=f"Its columns are: {', '.join(names)}.",
            )
    try:
        check_column(stream, contract)
        check_parent_columns(source, stream, contract)
        _check_masks(stream, contract)
    except SpecError as error:
        raise error.at(source.name, stream.name) from None
    if stream.cursor:
        type_ = contract.column(stream.cursor.field).type
        fits = pa.types.is_timestamp(type_) if stream.cursor.kind == "timestamp" else pa.types.is_integer(type_)
        if not fits:
            raise SpecError(
                f"the {stream.cursor.kind} cursor {stream.cursor.field!r} has the type {type_}",
                source=source.name,
                stream=stream.name,
                field="cursor.kind",
                remedy="Make the column a Timestamp or an Int64, or change the cursor's kind.",
            )
    if stream.partition_by:
        type_ = contract.column(stream.partition_by).type
        if not (pa.types.is_date(type_) or pa.types.is_timestamp(type_)):
            raise SpecError(
                f"the table cannot be partitioned by {stream.partition_by!r}, which has the type {type_}",
                source=source.name,
                stream=stream.name,
                field="partition_by",
                remedy="Name a Date or a Timestamp that never changes, such as the record's creation.",
            )
    return contract


def _check_masks(stream: Stream, contract: Contract) -> None:
    """A mask leaves the key telling records apart, and cursor, version and tenant as they are."""
    plain = [("cursor.field", stream.cursor.field)] if stream.cursor else []
    plain += [("version", stream.version)] if stream.version else []
    plain += [("tenants.column", stream.tenants.column)] if stream.tenants else []
    for setting, name in [*plain, *(("key", name) for name in stream.key)]:
        mask = contract.column(name).mask
        if mask == "redact" or (mask and setting != "key"):
            raise SpecError(
                f"{name!r} is masked in {contract.name}, so rows cannot be told apart or ordered by it",
                field=setting,
                remedy="Hash it, if it is only a key, or mark it with pii instead.",
            )
