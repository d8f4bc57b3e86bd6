"""The whole flow of one slice, on one screen: pages, sieve, gate, transform, one commit, and the receipt of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets import __version__
from integration_assets.errors import IntegrationError, RejectThresholdError, ResponseError
from integration_assets.extract.files import Landed
from integration_assets.extract.lane import Lane
from integration_assets.extract.opening import AnyReading, Client, high_of, once_of, reading_of
from integration_assets.extract.position import PlaceLostError
from integration_assets.extract.usage import Usage
from integration_assets.land.hashing import row_hashes
from integration_assets.land.lake import LakeTable
from integration_assets.land.quarantine import Quarantine
from integration_assets.land.state import LakeState
from integration_assets.land.writer import Writer
from integration_assets.parents import Parents
from integration_assets.resume import Keeper
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.cursor import CursorValue, Slice, watermark
from integration_assets.spec.freshness import QUIET
from integration_assets.spec.parent import owner_columns
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.records import DELETED, Batch, Reject, combine
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.tenants import for_tenant
from integration_assets.transform.masking import UNMASKED, Masking
from integration_assets.transform.technical import lake_schema, stamp
from integration_assets.validate.drift import sentences
from integration_assets.validate.gate import Gate
from integration_assets.validate.sieve import Seen, inside

# What pages free goes back to the system and does not wait for the next ones: 30 MB less at the peak, and as quick.
pa.set_memory_pool(pa.system_memory_pool())

BATCH_ROWS = 20_000
"""Rows that go through gate and writer at once: pandera's fixed cost is spread, memory stays bounded (law 4)."""
BATCH_BYTES = 32 * 2**20
"""Or so many bytes of rows, when records are large."""
TOLERATED = 10
"""Rejects that a slice may have whatever their share, as long as it has a good record: one typo must not stop a small delta."""
_REASONS = 10


@dataclass(frozen=True)
class Feed:
    """One stream with everything it flows through. `mask` makes of rows as decoded the rows as stored.

    lane    : the slice's place beside others that are pulled at once.
    parents : whose children the stream has; None for a stream that is nobody's child.
    """

    source: Source
    stream: Stream
    contract: Contract
    client: Client
    table: LakeTable
    quarantine: Quarantine
    mask: Masking = UNMASKED
    lane: Lane = field(default_factory=Lane)
    parents: Parents | None = None


@dataclass(frozen=True)
class Job:
    """One slice to pull, and how.

    base       : the lake's state it was planned on; a commit since then that overlaps it makes the run plan again.
    skip_known : drop records that are in the lake as they are (a planned sync reads its lookback again, an open partition
                 is read many times); a range that was asked for lands anew.
    dry_run    : ask for one page and write nothing.
    """

    slice: Slice
    base: LakeState
    run_id: str
    partition: str | None = None
    skip_known: bool = False
    dry_run: bool = False


@dataclass
class Progress:
    """The running count of one slice; handed to `watch` after every page.

    resumed, earlier : pages and seconds of earlier runs, from which this one goes on; the other counts have theirs in them.
    """

    stream: str
    job: Job
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=monotonic)
    pages: int = 0
    bytes: int = 0
    fetched: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicate: int = 0
    filtered: int = 0
    tombstones: int = 0
    high: CursorValue | None = None
    reasons: list[str] = field(default_factory=list)
    resumed: int = 0
    earlier: float = 0.0

    @property
    def seconds(self) -> float:
        """Wall time that was spent on the slice, by this run and by the earlier ones that it goes on from."""
        return self.earlier + monotonic() - self.started


Watch = Callable[[Progress], None]


def ingest(feed: Feed, job: Job, watch: Watch = lambda _: None) -> Receipt:
    """Pull one slice and land it in one commit; returns the receipt which that commit carries.

    Raises the errors of `integration_assets.errors`; whatever is raised, nothing of the slice was committed. What was read of
    it is kept in a checkpoint, from which the next try of the slice goes on (see `resume`).
    """
    keeper = Keeper(feed, job)
    try:
        return _ingest(feed, job, watch, keeper)
    except PlaceLostError as lost:
        keeper.start_over(lost)
        return _ingest(feed, job, watch, keeper)


def _ingest(feed: Feed, job: Job, watch: Watch, keeper: Keeper) -> Receipt:
    stream, schema, gate = feed.stream, schema_of(feed), gate_of(feed)
    count, digest = Progress(stream.name, job), hashlib.sha256()
    pages, lane = 1 if job.dry_run else None, feed.lane
    landed = Landed(feed.table.once, job.skip_known)
    above = feed.parents.rows(job.slice) if feed.parents else None
    reading = reading_of(
        feed.client,
        feed.source,
        stream,
        feed.contract,
        job.slice,
        _etag(feed, job),
        pages,
        landed,
        lane,
        above,
        keeper.position,
        keeper.rows,
    )
    if not job.dry_run:
        feed.table.prepare(schema)
    seen = seen_before(feed, job.slice if job.skip_known else None, keeper.rows)

    with feed.table.writer(schema, lane.share) as writer:
        keeper.take_up(count, reading, writer)
        with keeper.reading(count, reading, writer):
            coming = _watched(reading, feed, count, watch, keeper)
            for batch in batches(coming, lane.part(BATCH_ROWS), lane.part(BATCH_BYTES), lambda: keeper.due(count)):
                if not batch.table.num_rows and not batch.rejects:
                    continue  # an empty page, as an idle API has, is over before anything heavy is imported
                mine = inside(batch, stream.cursor.field, job.slice) if stream.cursor else batch
                fresh = seen.fresh(mine)
                accepted, stored, rejects = judge(feed, gate, fresh)
                if not job.dry_run:
                    name, contract = feed.source.name, feed.contract.hash
                    feed.quarantine.add(
                        name, stream.name, rejects, job.slice, job.run_id, contract, job.partition, pulled_at=count.began
                    )
                    writer.write(stamp(stored, count.began, job.run_id))
                _count(count, batch, mine, fresh, accepted, rejects, stream)
                if stream.disposition == "replace":
                    _digest(digest, stored)
                keeper.note_if_due(count, reading, writer)
                del batch, mine, fresh, accepted, stored, rejects  # a batch is freed before the next one is gathered

        receipt = _receipt(feed, job, count, reading, keeper.spent(), digest.hexdigest())
        if job.dry_run:
            return receipt
        with keeper.landing(count, reading, writer):
            return _land(feed, job, count, reading, writer, receipt)


def _land(feed: Feed, job: Job, count: Progress, reading: AnyReading, writer: Writer, receipt: Receipt) -> Receipt:
    """Commit what was read, if there is something to commit and nothing that forbids it."""
    stream = feed.stream
    _refuse(stream, receipt, job, reading.times)
    if reading.unchanged or _same_snapshot(stream, receipt, job.base):
        return replace(receipt, outcome="unchanged", accepted=0, duplicate=count.duplicate + count.accepted)
    covered = _covered(stream, job.slice, high_of(reading, count.high))
    if stream.disposition == "replace" and stream.allow_empty:
        writer.write_no_rows()
    elif not count.accepted and (covered is None or _nothing_to_say(stream, job, count, covered)):
        return receipt
    return feed.table.commit(
        writer,
        receipt,
        covered,
        job.base,
        stream.origin,
        etag=receipt.etag,
        content_hash=receipt.content_hash,
        once=once_of(reading),
    )


def schema_of(feed: Feed) -> pa.Schema:
    """The columns of the stream's lake table."""
    return lake_schema(feed.contract, _tenant_column(feed.stream))


def gate_of(feed: Feed) -> Gate:
    """The stream's gate."""
    return Gate(feed.contract, _required(feed.stream), feed.stream.key, owner_columns(feed.stream))


def judge(feed: Feed, gate: Gate, batch: Batch) -> tuple[pa.Table, pa.Table, list[Reject]]:
    """A batch's good rows, the same as they are stored, and the records that are turned away, without a credential in them."""
    accepted, found = gate.check(batch)
    return accepted, feed.mask(accepted), [_clean(reject, feed.client) for reject in found]


def batches(
    pages: Iterable[Batch], rows: int = BATCH_ROWS, size: int = BATCH_BYTES, due: Callable[[], bool] = lambda: False
) -> Iterator[Batch]:
    """Pages joined into batches of at least `rows` records or `size` bytes, the last one as it comes; earlier when it is `due`.

    When the pages end with an error, those that came before it are given first.
    """
    waiting: list[Batch] = []
    records = weight = 0
    try:
        for page in pages:
            waiting.append(page)
            records += page.fetched
            weight += page.table.nbytes + sum(len(reject.payload) for reject in page.rejects)
            if records >= rows or weight >= size or due():
                yield combine(waiting)
                waiting, records, weight = [], 0, 0
    except IntegrationError:
        if waiting:
            yield combine(waiting)
        raise
    if waiting:
        yield combine(waiting)


def _watched(reading: AnyReading, feed: Feed, count: Progress, watch: Watch, keeper: Keeper) -> Iterator[Batch]:
    """The pages as they come, counted, and shown when they were taken."""
    before, earlier = feed.client.usage.snapshot(), count.bytes
    try:
        for page in reading:
            count.pages, count.fetched = reading.pages, count.fetched + page.fetched
            count.bytes = earlier + feed.client.usage.minus(before).bytes
            yield page
            watch(count)
    except IntegrationError as error:
        keeper.broke(error)
        raise


def seen_before(feed: Feed, known: Slice | None, earlier: Callable[[], Iterable[pa.Table]] = tuple) -> Seen:
    """What counts as seen to begin with: what the lake has of the slice `known`, if it is given, and then `earlier` rows."""
    columns = [*feed.contract.arrow_schema.names, DELETED]
    cursor = feed.stream.cursor

    def landed() -> Iterator[pa.Table]:
        if known and cursor:
            yield from feed.table.known(columns, cursor.field, known, _tenant_column(feed.stream))
        yield from earlier()

    identity = _identity(feed.stream)
    return Seen(identity, columns, row_hashes, as_stored=feed.mask, landed=landed if identity else None)


def _required(stream: Stream) -> tuple[str, ...]:
    """Columns without which a row cannot be merged or placed: null there rejects the record, tombstones included."""
    names = [*stream.key, stream.version_column, stream.cursor.field if stream.cursor else None]
    return tuple(dict.fromkeys(name for name in names if name))


def _tenant_column(stream: Stream) -> str | None:
    return stream.tenants.column if stream.tenants else None


def _identity(stream: Stream) -> tuple[str, ...]:
    """What makes two records the same version of one record; empty when the stream has no key."""
    return _required(stream) if stream.key else ()


def _count(
    count: Progress, batch: Batch, mine: Batch, fresh: Batch, accepted: pa.Table, rejects: Sequence[Reject], stream: Stream
) -> None:
    count.filtered += batch.table.num_rows - mine.table.num_rows
    count.duplicate += mine.table.num_rows - fresh.table.num_rows
    count.accepted += accepted.num_rows
    count.rejected += len(rejects)
    for reason in (valueless(reason) for reject in rejects for reason in reject.reasons):
        if len(count.reasons) < _REASONS and reason not in count.reasons:
            count.reasons.append(reason)
    count.tombstones += pc.sum(accepted.column(DELETED)).as_py() or 0
    if stream.cursor and accepted.num_rows:
        high = pc.max(accepted.column(stream.cursor.field)).as_py()
        count.high = high if count.high is None else max(count.high, high)


def _digest(digest: hashlib._Hash, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    digest.update(sink.getvalue())


def _etag(feed: Feed, job: Job) -> str | None:
    """The ETag to ask with: only if what it stands for is in the lake whole, under this contract and from this endpoint."""
    last = job.base.receipt
    if not feed.stream.conditional or last is None or job.dry_run:
        return None
    same = last.contract_hash == feed.contract.hash and last.endpoint == _endpoint(feed, None) and not last.rejected
    return job.base.etag if same else None


def _endpoint(feed: Feed, tenant: str | None) -> str:
    """What is asked, without secrets: address and fixed parameters."""
    stream = for_tenant(feed.stream, tenant)
    query = "&".join(f"{name}={value}" for name, value in sorted(stream.params.items()))
    return f"{feed.source.base_url}{stream.path}{'?' if query else ''}{query}"


def _clean(reject: Reject, client: Client) -> Reject:
    """The reject without the credential, should the API echo it (law 7)."""
    reasons = tuple(client.redact(reason) for reason in reject.reasons)
    return replace(reject, payload=client.redact(reject.payload), reasons=reasons)


def valueless(reason: str) -> str:
    """A reason without the record's value: receipts are kept for years, and a record may have to be forgotten."""
    return reason.partition(", got ")[0]


def _same_snapshot(stream: Stream, receipt: Receipt, base: LakeState) -> bool:
    return stream.disposition == "replace" and receipt.content_hash == base.content_hash


def _covered(stream: Stream, slice_: Slice, high: CursorValue | None) -> Slice | None:
    """The range that is finished when the slice is.

    Time passes by itself, numbers do not: a slice of integers reaches only to the highest one seen, which is read again.
    """
    if not stream.cursor:
        return None
    timed = stream.cursor.kind == "timestamp"
    reached = replace(slice_, end=slice_.end if timed and slice_.end is not None else high)
    return None if reached.end is None or reached.empty else reached


def _nothing_to_say(stream: Stream, job: Job, count: Progress, covered: Slice) -> bool:
    """Whether a range without a new row needs no commit: it is finished already, or a sync found the API idle a short while on.

    An idle API is asked far more often than anybody needs to know it: the frontier then follows at most `QUIET` behind.
    """
    if any(done.covers(covered) for done in job.base.finished):
        return True
    mark, end = watermark(job.base.finished, stream.origin, covered.tenant), covered.end
    planned = job.skip_known and job.partition is None and not count.rejected
    if stream.cursor and stream.cursor.step and covered.start and covered.end - covered.start >= stream.cursor.step:  # type: ignore[operator]
        return False  # a whole step: others may follow it in this run, and must not land beyond a gap
    if not (planned and isinstance(mark, datetime) and isinstance(end, datetime) and any(job.base.finished)):
        return False
    return end - mark <= (min(QUIET, stream.freshness.warn_after / 4) if stream.freshness else QUIET)


def _refuse(stream: Stream, receipt: Receipt, job: Job, times: int) -> None:
    """Law 6, and the snapshot that would empty a table. What is bad in a list that was read two `times` came as often."""
    good = receipt.accepted + receipt.duplicate
    tolerated = TOLERATED * times if good else 0
    if receipt.rejected > max(tolerated, stream.reject_threshold * (good + receipt.rejected)):
        error = RejectThresholdError(
            f"{receipt.rejected:,} of {good + receipt.rejected:,} records of {job.slice} were rejected, more than the allowed"
            f" {stream.reject_threshold:.0%}; nothing of the slice was committed. Reasons: {'; '.join(receipt.reasons)}",
            source=receipt.source,
            stream=receipt.stream,
            remedy="The records are in quarantine: mend the contract or ask the API's owner, then sync again.",
        )
        error.rejected, error.records, error.reasons = receipt.rejected, good + receipt.rejected, receipt.reasons
        raise error
    emptied = stream.disposition == "replace" and not receipt.accepted and receipt.outcome != "unchanged"
    if emptied and job.base.content_hash and not stream.allow_empty:
        raise ResponseError(
            "the full snapshot came without a record, and the table has some",
            source=receipt.source,
            stream=receipt.stream,
            remedy="Ask the API's owner; if it is right, set allow_empty on the stream.",
        )


def _outcome(stream: Stream, job: Job, count: Progress, reading: AnyReading) -> str:
    if job.dry_run:
        return "dry-run"
    if reading.unchanged:
        return "unchanged"
    return "committed" if count.accepted or (stream.disposition == "replace" and stream.allow_empty) else "empty"


def _receipt(feed: Feed, job: Job, count: Progress, reading: AnyReading, spent: Usage, digest: str) -> Receipt:
    stream = feed.stream
    start, end = job.slice.to_json()
    mark = Slice(watermark(job.base.finished, stream.origin, job.slice.tenant)).to_json()[0]
    return Receipt(
        source=feed.source.name,
        stream=stream.name,
        run_id=job.run_id,
        outcome=_outcome(stream, job, count, reading),
        slice=(start, end),
        partition=job.partition,
        tenant=job.slice.tenant,
        watermark_before=mark,
        watermark_after=mark,
        pages=reading.pages,
        resumed_pages=count.resumed,
        requests=spent.requests,
        retries=spent.retries,
        bytes=spent.bytes,
        fetched=count.fetched,
        accepted=count.accepted,
        rejected=count.rejected,
        duplicate=count.duplicate,
        filtered=count.filtered,
        tombstones=count.tombstones,
        moved=reading.moved,
        seconds=round(count.seconds, 3),
        throttled=round(spent.throttled, 3),
        queued=round(spent.queued, 3),
        latency={str(edge): count for edge, count in sorted(spent.latency.items())},
        clock_offset=round(feed.client.clock_offset),
        contract=stream.contract_name,
        contract_hash=feed.contract.hash,
        code_version=__version__,
        started_at=count.began.isoformat(),
        finished_at=datetime.now(UTC).isoformat(),
        drift=reading.drift.to_json(),
        reasons=tuple(count.reasons),
        warnings=(*reading.warnings, *sentences(reading.drift, count.fetched)),
        endpoint=_endpoint(feed, job.slice.tenant),
        etag=reading.etag if stream.conditional else None,
        content_hash=digest if stream.disposition == "replace" else None,
        mask_key=feed.mask.key_name,
        version=None,
    )
