"""A contract made from its pandera model: the one place that reads columns, checks and their meaning out of pandera."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Sequence

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from integration_assets.errors import SpecError
from integration_assets.spec.contract_data import Column, Contract
from integration_assets.spec.inline import InlineContract
from integration_assets.spec.masks import check_marks
from integration_assets.spec.paths import FORMATS, parse_path


def contract_of_model(ref: str) -> Contract:
    """Import `package.module:Model`. Raises `SpecError` naming the model and the column that is wrong."""
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


def contract_of_columns(contract: InlineContract) -> Contract:
    """The contract that a spec holds itself. Raises `SpecError` naming the column that is wrong."""
    from integration_assets.spec.contract import column
    from integration_assets.spec.inline_model import inline_model

    return _contract("the contract", inline_model(contract, column))


def _contract(ref: str, model: type[pandera.DataFrameModel]) -> Contract:
    schema = model.to_schema()
    columns = tuple(_column(ref, name, field) for name, field in schema.columns.items())
    description = inspect.cleandoc(model.__doc__ or "")
    return Contract(ref.rpartition(":")[2], description, columns, _hash(columns, schema), lambda: schema)


def _hash(columns: Sequence[Column], schema: pandera.DataFrameSchema) -> str:
    described = [
        [
            c.name,
            str(c.type),
            list(c.path),
            c.format,
            c.nullable,
            checks_of(schema.columns[c.name]),
            *filter(None, [c.mask]),
        ]
        for c in columns
    ]
    text = json.dumps([described, checks_of(schema)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def checks_of(schema: pandera.DataFrameSchema | pandera.Column) -> list[list[str]]:
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
