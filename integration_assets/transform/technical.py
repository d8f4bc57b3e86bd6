"""The project's own columns: when a row was pulled and by which run. They begin with an underscore."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from integration_assets.spec.contract_data import Contract
from integration_assets.spec.records import DELETED, TENANT

_TECHNICAL = (
    pa.field(DELETED, pa.bool_(), metadata={"description": "Whether the API said that the record is gone."}),
    pa.field("_extracted_at", pa.timestamp("us", "UTC"), metadata={"description": "When the slice's pull began."}),
    pa.field("_run_id", pa.string(), metadata={"description": "The run that pulled the row."}),
)


def lake_schema(contract: Contract, tenant_column: str | None = None) -> pa.Schema:
    """The contract's columns followed by the technical ones: the schema of a stream's lake table.

    tenant_column : marked as such, so that a tenant's files are found by it.
    """
    columns = [
        field.with_metadata({**(field.metadata or {}), TENANT: b"yes"}) if field.name == tenant_column else field
        for field in contract.arrow_schema
    ]
    return pa.schema([*columns, *_TECHNICAL])


def stamp(table: pa.Table, extracted_at: datetime, run_id: str) -> pa.Table:
    """`table` (contract columns and `_deleted`) with `_extracted_at` and `_run_id` appended."""
    rows = table.num_rows
    stamped = table.append_column("_extracted_at", pa.repeat(pa.scalar(extracted_at, pa.timestamp("us", "UTC")), rows))
    return stamped.append_column("_run_id", pa.repeat(pa.scalar(run_id, pa.string()), rows))
