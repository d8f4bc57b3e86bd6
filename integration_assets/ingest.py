"""The whole flow of one slice, on one screen: pages, sieve, gate, transform, one commit, and the receipt of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pyarrow as pa

from integration_assets.errors import IntegrationError
from integration_assets.extract.files import Landed
from integration_assets.extract.opening import AnyReading, high_of, once_of, reading_of
from integration_assets.extract.position import PlaceLostError
from integration_assets.feed import Feed, Job
from integration_assets.land.quarantine import Pull
from integration_assets.land.writer import Writer
from integration_assets.landing import finished_by, needless, refuse, same_snapshot
from integration_assets.progress import Progress, Watch
from integration_assets.receipts import known_etag, slice_receipt
from integration_assets.resume import Checkpointer
from integration_assets.spec.cursor import Slice
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.records import Batch
from integration_assets.stages import BATCH_BYTES, BATCH_ROWS, batches, gate_of, judge, schema_of, seen_before
from integration_assets.transform.technical import stamp
from integration_assets.validate.gate import Gate
from integration_assets.validate.sieve import inside

_RECEIPTS = 1_000
"""Commits that are looked through for the one that a bad record came with first."""


def ingest(feed: Feed, job: Job, watch: Watch = lambda _: None) -> Receipt:
    """Pull one slice and land it in one commit; returns the receipt which that commit carries.

    Raises the errors of `integration_assets.errors`; whatever is raised, nothing of the slice was committed. What was read of
    it is kept in a checkpoint, from which the next try of the slice goes on (see `resume`).
    """
    checkpointer = Checkpointer(feed, job)
    try:
        return _ingest(feed, job, watch, checkpointer)
    except PlaceLostError as lost:
        checkpointer.start_over(lost)
        return _ingest(feed, job, watch, checkpointer)


def _ingest(feed: Feed, job: Job, watch: Watch, checkpointer: Checkpointer) -> Receipt:
    stream, schema, gate = feed.stream, schema_of(feed), gate_of(feed)
    count, digest = Progress(stream.name, job), hashlib.sha256()
    reading, lane = _open(feed, job, checkpointer), feed.lane
    if not job.dry_run:
        feed.table.prepare(schema)
    seen = seen_before(feed, job.slice if job.skip_known else None, checkpointer.rows)

    with feed.table.writer(schema, lane.share) as writer:
        checkpointer.take_up(count, reading, writer)
        with checkpointer.reading(count, reading, writer):
            coming = _watched(reading, feed, count, watch, checkpointer, gate)
            for batch in batches(coming, lane.part(BATCH_ROWS), lane.part(BATCH_BYTES), lambda: checkpointer.due(count)):
                if not batch.table.num_rows and not batch.rejects:
                    continue  # an empty page, as an idle API has, is over before anything heavy is imported
                mine = inside(batch, stream.cursor.field, job.slice) if stream.cursor else batch
                fresh = seen.fresh(mine)
                accepted, stored, rejects = judge(feed, gate, fresh)
                if not job.dry_run:
                    name, contract = feed.source.name, feed.contract.hash
                    feed.quarantine.add(
                        name, stream.name, rejects, job.slice, job.run_id, contract, job.partition, pulled_at=count.stamp
                    )
                    writer.write(stamp(stored, count.stamp, job.run_id))
                count.add(batch, mine, fresh, accepted, rejects, stream)
                if stream.disposition == "replace":
                    _digest(digest, stored)
                checkpointer.note_if_due(count, reading, writer)
                del batch, mine, fresh, accepted, stored, rejects  # a batch is freed before the next one is gathered

        receipt = slice_receipt(feed, job, count, reading, checkpointer.spent(), digest.hexdigest())
        if job.dry_run:
            return receipt
        with checkpointer.landing(count, reading, writer):
            return _land(feed, job, count, reading, writer, receipt)


def _land(feed: Feed, job: Job, count: Progress, reading: AnyReading, writer: Writer, receipt: Receipt) -> Receipt:
    """Commit what was read, if there is something to commit and nothing that forbids it."""
    stream = feed.stream
    refuse(stream, receipt, job, reading.times, lambda: _met_before(feed, job, receipt))
    if reading.unchanged or same_snapshot(stream, receipt, job.base):
        return replace(receipt, outcome="unchanged", accepted=0, duplicate=count.duplicate + count.accepted)
    finished = finished_by(stream, job.slice, high_of(reading, count.high))
    if stream.disposition == "replace" and stream.allow_empty:
        writer.write_no_rows()
    elif not count.accepted and (finished is None or needless(stream, job, count, finished)):
        return receipt
    return feed.table.commit(
        writer,
        receipt,
        finished,
        job.base,
        stream.origin,
        etag=receipt.etag,
        content_hash=receipt.content_hash,
        once=once_of(reading),
    )


def _met_before(feed: Feed, job: Job, receipt: Receipt) -> int:
    """How many of the slice's rejects came in a slice before that was committed, so that somebody was told of them then."""
    if not job.skip_known:
        return 0
    committed = [_pull_of(one) for one in feed.table.receipts(limit=_RECEIPTS)]
    return feed.quarantine.met_before(feed.source.name, feed.stream.name, _pull_of(receipt), committed)


def _pull_of(receipt: Receipt) -> Pull:
    began = datetime.fromisoformat(receipt.started_at) if receipt.started_at else None
    return Pull(Slice.from_json(receipt.slice, receipt.tenant), receipt.run_id, began)


def _open(feed: Feed, job: Job, checkpointer: Checkpointer) -> AnyReading:
    """What reads the slice's pages, from where an earlier run left it. Nothing is asked for yet."""
    return reading_of(
        feed.client,
        feed.source,
        feed.stream,
        feed.contract,
        job.slice,
        known_etag(feed, job),
        1 if job.dry_run else None,
        Landed(feed.table.once, job.skip_known),
        feed.lane,
        feed.parents.rows(job.slice) if feed.parents else None,
        checkpointer.position,
        checkpointer.rows,
    )


def _watched(
    reading: AnyReading, feed: Feed, count: Progress, watch: Watch, checkpointer: Checkpointer, gate: Gate
) -> Iterator[Batch]:
    """The pages as they come, counted, and shown when they were taken."""
    before, earlier = feed.client.usage.snapshot(), count.bytes
    try:
        for page in reading:
            if page.fetched and not count.fetched:
                gate.warm_up()
            count.pages, count.fetched = reading.pages, count.fetched + page.fetched
            count.bytes = earlier + feed.client.usage.minus(before).bytes
            yield page
            watch(count)
    except IntegrationError as error:
        checkpointer.broke(error)
        raise


def _digest(digest: hashlib._Hash, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    digest.update(sink.getvalue())
