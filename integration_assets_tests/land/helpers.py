"""Rows, receipts and commits as the flow makes them, with real tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from integration_assets.land.lake import LakeTable
from integration_assets.land.state import LakeState
from integration_assets.spec.cursor import CursorValue, Slice
from integration_assets.spec.receipt import Receipt

START = datetime(2024, 1, 1, tzinfo=UTC)
CONTRACT = pa.schema([("id", pa.string()), ("n", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
TECHNICAL = pa.schema([("_deleted", pa.bool_()), ("_extracted_at", pa.timestamp("us", "UTC")), ("_run_id", pa.string())])
SCHEMA = pa.schema([*CONTRACT, *TECHNICAL])


def day(number: float) -> datetime:
    """That many days after the stream's origin."""
    return START + timedelta(days=number)


def days(first: float, last: float, tenant: str | None = None) -> Slice:
    """`[day(first), day(last))`."""
    return Slice(day(first), day(last), tenant)


def receipt(run_id: str = "run", slice_: Slice | None = None, accepted: int = 0, started: datetime | None = None) -> Receipt:
    """A receipt as a run hands it to the commit."""
    start, end = (slice_ or Slice()).to_json()
    began = started.isoformat() if started else ""
    whose = slice_.tenant if slice_ else None
    counts = {"fetched": accepted, "accepted": accepted}
    return Receipt("shop", "orders", run_id, "committed", (start, end), tenant=whose, started_at=began, **counts)


def row(key: str, version: float, n: int | None = 0, *, deleted: bool = False, extracted: float = 100) -> dict[str, Any]:
    """One lake row: `version` and `extracted` in days."""
    return {"id": key, "n": n, "at": day(version), "_deleted": deleted, "_extracted_at": day(extracted), "_run_id": "run"}


def rows(*given: dict[str, Any], schema: pa.Schema = SCHEMA) -> pa.Table:
    """Lake rows as a table."""
    return pa.Table.from_pylist(list(given), schema=schema)


def land(
    table: LakeTable,
    given: Sequence[dict[str, Any]] | pa.Table = (),
    slice_: Slice | None = None,
    *,
    run_id: str = "run",
    base: LakeState | None = None,
    origin: CursorValue | None = START,
    schema: pa.Schema = SCHEMA,
    started: datetime | None = None,
    **kept: str,
) -> Receipt:
    """Prepare, write and commit as the flow does it; returns the committed receipt."""
    table.prepare(schema)
    data = given if isinstance(given, pa.Table) else rows(*given, schema=schema)
    with table.writer(schema) as writer:
        writer.write(data)
        base = base or table.state()
        return table.commit(writer, receipt(run_id, slice_, data.num_rows, started), slice_, base, origin, **kept)
