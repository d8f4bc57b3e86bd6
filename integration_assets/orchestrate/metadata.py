"""What a materialization says about itself: the receipt in the catalogue's words, the columns, and a few rows to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from integration_assets.orchestrate.columns import lake_columns, lake_lineage, warehouse_columns, warehouse_lineage
from integration_assets.orchestrate.links import folder_link, table_link
from integration_assets.orchestrate.specs import docs_link
from integration_assets.spec.cursor import Slice
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.land.lake import LakeTable
    from integration_assets.land.warehouse import MergeResult
    from integration_assets.spec.contract_data import Contract
    from integration_assets.stores import Stores
    from integration_assets.transform.showing import Showing

Metadata = dict[str, dg.MetadataValue[Any]]
SAMPLE_ROWS = 5
_CELL = 60
_RECORD = 300


def receipt_metadata(receipt: Receipt, *, partitioned: bool) -> Metadata:
    """The receipt's counts, slice, watermark and troubles, and the receipt whole as JSON."""
    value = dg.MetadataValue
    rate = receipt.accepted / receipt.seconds if receipt.seconds else 0.0
    found: Metadata = {
        "outcome": value.text(receipt.outcome),
        "slice": value.text(f"[{_shown(receipt.slice[0])}, {_shown(receipt.slice[1])})"),
        "watermark before": value.text(_shown(receipt.watermark_before)),
        "watermark after": value.text(_shown(receipt.watermark_after)),
        "records fetched": value.int(receipt.fetched),
        "rows accepted": value.int(receipt.accepted),
        "rows rejected": value.int(receipt.rejected),
        "rows duplicate": value.int(receipt.duplicate),
        "rows filtered": value.int(receipt.filtered),
        "tombstones": value.int(receipt.tombstones),
        "pages": value.int(receipt.pages),
        "requests": value.int(receipt.requests),
        "retries": value.int(receipt.retries),
        "bytes": value.int(receipt.bytes),
        "seconds": value.float(receipt.seconds),
        "seconds throttled": value.float(receipt.throttled),
        "seconds queued": value.float(receipt.queued),
        "rows per second": value.float(round(rate, 1)),
        "share rejected": value.float(receipt.rejected / receipt.fetched if receipt.fetched else 0.0),
        "contract hash": value.text(receipt.contract_hash),
        "receipt": value.json(json.loads(receipt.to_json())),
    }
    if partitioned:
        found["dagster/partition_row_count"] = value.int(receipt.accepted)
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        latency = receipt.latency_ms(share)
        if latency is not None:
            found[f"latency {name}, ms"] = value.int(latency)
    lag = _frontier_lag(receipt)
    if lag is not None:
        found["frontier lag, hours"] = value.float(lag)
    if receipt.version is not None:
        found["lake version"] = value.int(receipt.version)
    if receipt.warnings:
        found["warnings"] = value.md(bullets(receipt.warnings))
    if any(receipt.drift.values()):
        found["drift"] = value.json({kind: dict(fields) for kind, fields in receipt.drift.items() if fields})
    if receipt.reasons:
        found["reasons of rejects"] = value.md(bullets(receipt.reasons))
    return found


def _frontier_lag(receipt: Receipt) -> float | None:
    """Hours from the watermark to the API's now; None where the watermark is no time."""
    mark = Slice.from_json((receipt.watermark_after, None)).start
    if not isinstance(mark, datetime) or not receipt.finished_at:
        return None
    now = datetime.fromisoformat(receipt.finished_at) + timedelta(seconds=receipt.clock_offset)
    return round((now - mark) / timedelta(hours=1), 2)


def table_metadata(
    source: Source, stream: Stream, contract: Contract, table: LakeTable, rows: Sequence[Mapping[str, object]]
) -> Metadata:
    """Where the lake's table is, how many record versions it has, its columns, the API's documentation, `rows` as a sample."""
    found: Metadata = {
        "lake": dg.MetadataValue.path(table.uri),
        "dagster/uri": dg.MetadataValue.text(table.uri),
        "dagster/row_count": dg.MetadataValue.int(table.count()),
        "dagster/column_schema": dg.MetadataValue.table_schema(lake_columns(contract)),
        "dagster/column_lineage": dg.MetadataValue.column_lineage(lake_lineage(source, stream, contract)),
        **folder_link("lake in the console", table.uri),
        **docs_link(source, stream),
    }
    if rows:
        found["sample"] = dg.MetadataValue.md(markdown_table(rows))
    return found


def sample(table: LakeTable, receipts: Sequence[Receipt], showing: Showing) -> list[dict[str, object]]:
    """Up to five of the rows that the receipts landed, read back from the lake, as people may see them; none if none landed."""
    from integration_assets.land.reading import LakeFile
    from integration_assets.land.store import VersionsGoneError

    for receipt in receipts:
        if not receipt.files or receipt.version is None:
            continue
        try:
            with table.scan([LakeFile(receipt.version, receipt.files[0], 0)]) as reader:
                for batch in reader:
                    return [showing.row(row) for row in batch.slice(0, SAMPLE_ROWS).to_pylist()]
        except VersionsGoneError:
            # Joined with others and vacuumed since the commit: the rows are there, the file is not.
            continue
    return []


def reject_sample(
    source: Source, stream: Stream, stores: Stores, showing: Showing, rejected: int, run_id: str, receipts: Sequence[Receipt]
) -> Metadata:
    """A few of the records that this run, or an earlier one of the same slices, put into quarantine, as people may see them."""
    if not rejected:
        return {}
    slices = {Slice.from_json(receipt.slice, receipt.tenant) for receipt in receipts}
    stored = stores.quarantine.list(source.name, stream.name, rejected)
    found = [one for one in stored if one.run_id == run_id or one.slice in slices][:SAMPLE_ROWS]
    rows = [
        {
            "key": showing.name(one.key, stream.key),
            "reasons": "; ".join(showing.reason(reason) for reason in one.reasons),
            "record": showing.record(one.payload, stream.format),
        }
        for one in found
    ]
    return {
        **({"rejects": dg.MetadataValue.md(markdown_table(rows, _RECORD))} if rows else {}),
        "quarantine": dg.MetadataValue.path(stores.quarantine.table(source.name, stream.name).uri),
    }


def limits_metadata(client: object) -> Metadata:
    """What all runs together have of the API now: breaker, quota and the API's own count; nothing for files."""
    from integration_assets.extract.client import SourceClient

    if not isinstance(client, SourceClient):
        return {}
    view, value = client.limits(), dg.MetadataValue
    counts = {"quota left today": view.quota_left, "API's requests left": view.api_left}
    return {
        "breaker": value.text(view.breaker),
        **{name: value.int(count) for name, count in counts.items() if count is not None},
    }


def merge_metadata(source: Source, stream: Stream, contract: Contract, uri: str, result: MergeResult) -> Metadata:
    """The merge's counts, the versions it took in, the table and its columns."""
    value = dg.MetadataValue
    before = "none" if result.lake_version_before is None else str(result.lake_version_before)
    return {
        "dagster/row_count": value.int(result.rows_total),
        "dagster/table_name": value.text(result.table.replace('"', "").strip("`")),
        "dagster/column_schema": value.table_schema(warehouse_columns(source, stream, contract)),
        "dagster/column_lineage": value.column_lineage(warehouse_lineage(source, stream, contract)),
        "warehouse": value.path(uri),
        **table_link("table in the console", uri, result.table),
        "rows read": value.int(result.rows_read),
        "rows inserted": value.int(result.inserted),
        "rows updated": value.int(result.updated),
        "rows deleted": value.int(result.deleted),
        "lake version before": value.text(before),
        "lake version after": value.text(str(result.lake_version_after)),
        "seconds": value.float(round(result.seconds, 3)),
        **({} if result.bytes_billed is None else {"bytes billed": value.int(result.bytes_billed)}),
        **({} if result.slot_seconds is None else {"slot seconds": value.float(result.slot_seconds)}),
        **({} if result.dry_run_bytes is None else {"bytes estimated": value.int(result.dry_run_bytes)}),
        **docs_link(source, stream),
    }


def bullets(lines: Sequence[str]) -> str:
    """A Markdown list; what an API sent is shown as text and never as markup."""
    return "\n".join(f"- {_plain(line)}" for line in lines)


def markdown_table(rows: Sequence[Mapping[str, object]], width: int = _CELL) -> str:
    """Rows as a Markdown table; values longer than `width` are cut."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *[[_cell(row.get(name), width) for name in names] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object, width: int) -> str:
    if value is None:
        return ""
    text = str(value)
    return _plain(text if len(text) <= width else f"{text[: width - 1]}…")


def _plain(text: str) -> str:
    flat = " ".join(text.split())
    for mark in "\\|`*_[]<>":
        flat = flat.replace(mark, f"&#{ord(mark)};")
    return flat


def _shown(value: str | int | None) -> str:
    return "…" if value is None else str(value)
