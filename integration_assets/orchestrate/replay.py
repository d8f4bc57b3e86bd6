"""Records of the quarantine run again by Dagster: a job beside each sync job, and the run mode `replay`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.errors import IntegrationError, SpecError
from integration_assets.orchestrate.automation import SyncJob
from integration_assets.orchestrate.checks.names import standing_keys
from integration_assets.orchestrate.metadata import receipt_metadata, sample, table_metadata
from integration_assets.orchestrate.modes import MODE, Mode, Only
from integration_assets.orchestrate.specs import lake_key
from integration_assets.spec.receipt import Receipt

if TYPE_CHECKING:
    from integration_assets.feed import Feed
    from integration_assets.land.entries import Entry
    from integration_assets.transform.showing import Showing


def replay_job(job: SyncJob) -> dg.UnresolvedAssetJobDefinition:
    """`<source>_replay`: the open records of the same streams run again, and the warehouse brought up to them.

    A run of some of its assets replays those streams alone; a step's `only` says which records.
    """
    return dg.define_asset_job(
        job.name.removesuffix("_sync") + "_replay",
        selection=dg.AssetSelection.assets(*job.keys()) - dg.AssetSelection.checks(*standing_keys(job.source)),
        description=f"Run what is in quarantine of {', '.join(stream.name for stream in job.streams)} again, then merge.",
        tags={"source": job.source.name, MODE: Mode.replay.value},
    )


def replayed(
    feed: Feed, only: Only | None, context: dg.AssetExecutionContext, receipts: list[Receipt], showing: Showing
) -> Iterator[dg.MaterializeResult[object] | dg.AssetObservation]:
    """Replay the open records that are meant, noting each commit's receipt in `receipts`.

    A materialization tells of what landed, an observation of records that were all turned away again. What landed before an
    error is told of before the error goes on.
    """
    from integration_assets.replay import replay

    entries = _meant(feed, only, context)
    try:
        for receipt in replay(feed, context.run.run_id, entries, context.run.tags.get("user") or "dagster") if entries else ():
            receipts.append(receipt)
            context.log.info("%s of %s records landed, %s were turned away", receipt.accepted, receipt.fetched, receipt.rejected)
    except IntegrationError:
        yield from _told(feed, receipts, showing)
        raise
    yield from _told(feed, receipts, showing)


def _meant(feed: Feed, only: Only | None, context: dg.AssetExecutionContext) -> list[Entry]:
    """The open records to replay. A stream whose records cannot be is passed over with a word, unless some were chosen."""
    from integration_assets.land.entries import where
    from integration_assets.replay import check_replayable

    source, stream = feed.source, feed.stream
    asked = (only or Only()).model_dump()
    entries = feed.quarantine.entries(source.name, stream.name, where(source.name, stream.name, **asked, states=("open",)))
    if not entries:
        context.log.info("nothing that was meant is open in the quarantine")
        return []
    try:
        check_replayable(source, stream, feed)
    except SpecError as error:
        if only is not None:
            raise
        context.log.warning("%s records stay in quarantine: %s", f"{len(entries):,}", error)
        return []
    return entries


def _told(
    feed: Feed, receipts: Sequence[Receipt], showing: Showing
) -> Iterator[dg.MaterializeResult[object] | dg.AssetObservation]:
    from integration_assets.spec.summary import outcome

    total = outcome(receipts)
    if total is None:
        return
    key, rows = lake_key(feed.source, feed.stream), sample(feed.table, receipts, showing)
    counts = feed.quarantine.counts(feed.source.name, feed.stream.name)
    metadata = {
        **receipt_metadata(total, partitioned=False),
        **table_metadata(feed.source, feed.stream, feed.contract, feed.table, rows),
        "open in quarantine": dg.MetadataValue.int(counts["open"]),
    }
    if any(receipt.version is not None for receipt in receipts):
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)
    else:
        yield dg.AssetObservation(key, metadata=metadata)
