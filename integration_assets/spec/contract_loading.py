"""Loads a stream's contract and checks the spec against it, without importing pandera where the contract is remembered."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from integration_assets.errors import SpecError
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.contract_memory import forget, recall, remember
from integration_assets.spec.inline import InlineContract
from integration_assets.spec.parent import check_parent_columns
from integration_assets.spec.tenants import check_column

if TYPE_CHECKING:
    import pandera.pandas as pandera

    from integration_assets.spec.source import Source, Stream


def load_contract(contract: str | InlineContract) -> Contract:
    """Import `package.module:Model`, or make the model of a contract that the spec holds itself.

    Raises `SpecError` naming the model and the column that is wrong.
    """
    return _imported(contract) if isinstance(contract, str) else _inline(contract.model_dump_json())


@lru_cache(maxsize=1024)
def _inline(text: str) -> Contract:
    def make() -> Contract:
        from integration_assets.spec.contract_model import contract_of_columns

        return contract_of_columns(InlineContract.model_validate_json(text))

    return _remembered(text, make)


@lru_cache(maxsize=1024)
def _imported(ref: str) -> Contract:
    def make() -> Contract:
        from integration_assets.spec.contract_model import contract_of_model

        return contract_of_model(ref)

    return _remembered(ref, make)


def _remembered(ref: str, make: Callable[[], Contract]) -> Contract:
    """The contract as it was when its files were as they are now; made of its model where that is not known."""
    known = recall(ref) if "pandera" not in sys.modules else None
    if known is None:
        made = make()
        remember(ref, made)
        return made

    def model() -> pandera.DataFrameSchema:
        made = make()
        if made.hash != known.hash:
            forget(ref)
            raise SpecError(
                f"the contract {known.name} is not what was remembered of it: it depends on more than its files",
                field="contract",
                remedy="Sync again: it is read anew. Let a contract depend on nothing but code.",
            )
        return made.schema

    return replace(known, model=model)


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
