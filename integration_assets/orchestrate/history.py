"""What Dagster's event log remembers of a stream's partitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from integration_assets.spec.cursor import Slice
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.receipt import NO_SLICE, Receipt

_PAGE = 200
_NO_PULL = ("taken", *NO_SLICE)


def receipt_of(event: dg.AssetMaterialization | dg.AssetObservation | None) -> Receipt | None:
    """The receipt that a materialization, or an observation, carries; None for one without."""
    value: Any = event.metadata.get("receipt") if event else None
    return Receipt.from_json(json.dumps(value.value)) if value else None


def replayed(event: dg.AssetMaterialization | None) -> bool:
    """Whether a materialization is of records from quarantine, for which the API was not asked."""
    receipt = receipt_of(event)
    return receipt is not None and receipt.outcome in NO_SLICE


def receipts_of(instance: dg.DagsterInstance, run_id: str, key: dg.AssetKey) -> list[Receipt]:
    """What a run has landed of an asset so far, told by its events: one receipt each."""
    found: list[Receipt] = []
    cursor, more = None, True
    while more:
        page = instance.get_records_for_run(run_id, cursor, dg.DagsterEventType.ASSET_MATERIALIZATION, limit=1000)
        events = [record.asset_materialization for record in page.records]
        kept = [receipt_of(event) for event in events if event and event.asset_key == key]
        found += [receipt for receipt in kept if receipt]
        cursor, more = page.cursor, page.has_more
    return found


def last_pulls(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Partitions, labels: Sequence[str]
) -> dict[str, datetime]:
    """When each partition was last pulled whole, by the API's clock; one that the log knows no pull of is left out.

    One that was only ever pulled in parts counts as pulled when the oldest of them was.

    labels : Dagster's keys of the partitions: of a stream with tenants, those of both dimensions.
    """
    whole: dict[str, datetime] = {}
    part: dict[str, datetime] = {}
    cursor, more = None, bool(labels)
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=list(labels))
    while more and len(whole) < len(labels):
        page = instance.fetch_materializations(wanted, limit=_PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            receipt = receipt_of(event)
            # What another run committed first, or came from quarantine, says nothing of when the API was asked.
            if (
                event is None
                or event.partition is None
                or receipt is None
                or receipt.outcome in _NO_PULL
                or not receipt.started_at
            ):
                continue
            moment = datetime.fromisoformat(receipt.started_at) + timedelta(seconds=receipt.clock_offset)
            if Slice.from_json(receipt.slice).covers(partitions.slice_of(event.partition.partition("|")[0])):
                whole.setdefault(event.partition, moment)
            else:
                part[event.partition] = moment
        cursor, more = page.cursor, page.has_more
    return {**part, **whole}


def found_event(
    key: dg.AssetKey, partitions: Partitions, partition: str, receipts: Sequence[Receipt], label: str | None = None
) -> dg.AssetMaterialization:
    """An event for a partition that the lake has and the log does not, with the newest of `receipts` that tells of it.

    label : Dagster's key, where it is not the partition's own.
    """
    whole = partitions.slice_of(partition)
    mine = next((receipt for receipt in receipts if _overlap(Slice.from_json(receipt.slice), whole)), None)
    return dg.AssetMaterialization(
        key,
        partition=label or partition,
        metadata={
            "outcome": dg.MetadataValue.text("found in the lake: no event tells of its pull"),
            **({"receipt": dg.MetadataValue.json(json.loads(mine.to_json()))} if mine else {}),
        },
    )


def _overlap(one: Slice, other: Slice) -> bool:
    starts = [start for start in (one.start, other.start) if isinstance(start, datetime)]
    ends = [end for end in (one.end, other.end) if isinstance(end, datetime)]
    return not Slice(max(starts, default=None), min(ends, default=None)).empty
