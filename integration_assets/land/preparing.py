"""A table made ready for rows: made if it is not there, given the columns that the contract gained, refused if they clash."""

from __future__ import annotations

import json

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import StructType

from integration_assets.errors import LakeError, LakeNewerThanContractError, RescheduleError
from integration_assets.land.state import carry, read_state
from integration_assets.land.store import Store
from integration_assets.land.turns import turn
from integration_assets.land.warehouse import SWEPT_AT
from integration_assets.land.writer import skipping_columns

_TRIES = 10


def prepare(store: Store, schema: pa.Schema) -> None:
    """Make the table, or add the columns that `schema` gained. Safe when several runs do it at once.

    Raises `LakeNewerThanContractError` when the table has columns that `schema` lacks, `LakeError` when a type changed.
    """
    wanted = _delta_schema(schema)
    for _ in range(_TRIES):
        table = store.open()
        try:
            if table is None:
                with turn(store.uri):
                    if store.open() is None:
                        _create(store, wanted, schema)
                continue
            missing = _missing(store, table, wanted)
            if not missing:
                return
            table.alter.add_columns(missing, commit_properties=carry(read_state(store, table)))
        except (OSError, DeltaError) as error:
            # Another run made the table or added the columns first: look again.
            if not isinstance(error, CommitFailedError) and not _overtaken(store, table):
                raise store.explain(error, "prepare") from error
    raise RescheduleError(f"the table at {store.uri} kept changing while it was prepared", remedy="Sync again later.")


def _delta_schema(schema: pa.Schema) -> Schema:
    described = [
        field.with_metadata({"comment": field.metadata[b"description"]})
        if field.metadata and field.metadata.get(b"description")
        else field.remove_metadata()
        for field in schema
    ]
    try:
        return Schema.from_arrow(pa.schema([field.with_nullable(nullable=True) for field in described]))
    except Exception as error:  # deltalake raises a bare Exception here, with a Rust backtrace as its text
        raise LakeError(
            f"Delta cannot store a column: {str(error).splitlines()[0]}", remedy="Use a type of spec.contract."
        ) from error


def _create(store: Store, wanted: Schema, schema: pa.Schema) -> None:
    DeltaTable.create(
        store.uri,
        # deltalake 1.6 reads no statistics of the columns that follow a struct, so structs come last.
        schema=Schema(sorted(wanted.fields, key=lambda field: isinstance(field.type, StructType))),
        storage_options=dict(store.options),
        configuration={
            # The receipts are the audit: log entries are kept for a hundred years.
            "delta.logRetentionDuration": "interval 36500 days",
            # Opening a table reads the log since its last checkpoint, and each slice opens it a few times.
            "delta.checkpointInterval": "10",
            "delta.dataSkippingStatsColumns": ",".join(skipping_columns(schema)),
        },
    )


def _missing(store: Store, table: DeltaTable, wanted: Schema) -> list[Field]:
    """The fields that the table lacks. Raises when the table has others than `wanted`, or of other types."""
    there = {field.name: field for field in table.schema().fields}
    known = {field.name for field in wanted.fields}
    extra = [name for name in there if name not in known and name != SWEPT_AT]
    if extra:
        raise LakeNewerThanContractError(
            f"the table at {store.uri} has columns that this code's contract does not know: {', '.join(extra)}",
            field=extra[0],
            remedy="Deploy the newer code, or declare the columns in the contract (nullable, if the API dropped them).",
        )
    for field in wanted.fields:
        old = there.get(field.name)
        if old is not None and old.type != field.type:
            raise LakeError(
                f"the column is {_type(old)} in the lake and {_type(field)} in the contract",
                field=field.name,
                remedy="Give the new type a new column name, or move the table away and sync from the start.",
            )
    return [field for field in wanted.fields if field.name not in there]


def _overtaken(store: Store, seen: DeltaTable | None) -> bool:
    now = store.open()
    return now is not None and (seen is None or now.version() > seen.version())


def _type(field: Field) -> str:
    text = json.loads(field.to_json())["type"]
    return text if isinstance(text, str) else json.dumps(text)
