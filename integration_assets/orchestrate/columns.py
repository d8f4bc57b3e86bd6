"""Columns as the catalogue shows them: what each means, what it may hold, and which field or column it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.orchestrate.specs import api_key, lake_key
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.spec.contract_data import Column, Contract


def lake_columns(contract: Contract) -> dg.TableSchema:
    """The contract's columns and the project's own, as the lake has them."""
    from integration_assets.transform.technical import lake_schema

    own = [*lake_schema(contract)][len(contract.columns) :]
    return dg.TableSchema(
        columns=[
            *(_column(column, contract, unique=False) for column in contract.columns),
            *(dg.TableColumn(field.name, str(field.type), field.metadata[b"description"].decode()) for field in own),
        ]
    )


def warehouse_columns(source: Source, stream: Stream, contract: Contract) -> dg.TableSchema:
    """The contract's columns and the project's own, as the warehouse has them; a key of one column is unique."""
    from integration_assets.land.warehouse import COMMENTS, IS_CURRENT, RUN_ID, VALID_FROM, VALID_TO, Target, own_columns

    aim = Target.of(source, stream, contract)
    key: Sequence[str] = stream.key if stream.disposition == "merge" else ()
    placed = str(contract.column(stream.version_column).type) if stream.version_column else "timestamp[us, tz=UTC]"
    types = {RUN_ID: "string", IS_CURRENT: "bool", VALID_FROM: placed, VALID_TO: placed}
    return dg.TableSchema(
        columns=[
            *(_column(column, contract, unique=tuple(key) == (column.name,)) for column in contract.columns),
            *(dg.TableColumn(name, types.get(name, "timestamp[us, tz=UTC]"), COMMENTS[name]) for name in own_columns(aim)),
        ],
        constraints=dg.TableConstraints(other=[f"unique: {', '.join(key)}"]) if len(key) > 1 else None,
    )


def lake_lineage(source: Source, stream: Stream, contract: Contract) -> dg.TableColumnLineage:
    """Each of the lake's columns comes from a field of the API's records."""
    api = api_key(source, stream)
    return dg.TableColumnLineage({column.name: [dg.TableColumnDep(api, written(column))] for column in contract.columns})


def warehouse_lineage(source: Source, stream: Stream, contract: Contract) -> dg.TableColumnLineage:
    """Each of the warehouse's columns comes from the lake's of the same name."""
    lake = lake_key(source, stream)
    names = [*(column.name for column in contract.columns), "_extracted_at", "_run_id"]
    return dg.TableColumnLineage({name: [dg.TableColumnDep(lake, name)] for name in names})


def written(column: Column) -> str:
    """Where a column's value is in a record, as a contract writes it: `a.b[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in column.path).removeprefix(".")


def _column(column: Column, contract: Contract, *, unique: bool) -> dg.TableColumn:
    field = written(column)
    marks = {"field": None if field == column.name else field, "personal": column.pii, "masked": column.mask}
    return dg.TableColumn(
        name=column.name,
        type=str(column.type),
        description=column.description or None,
        constraints=dg.TableColumnConstraints(
            nullable=column.nullable,
            unique=unique,
            other=[str(check.name) for check in contract.schema.columns[column.name].checks],
        ),
        tags={name: mark for name, mark in marks.items() if mark},
    )
