"""How a receipt is drawn up: what every one of a stream says, and the account of a slice that was read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from integration_assets import __version__
from integration_assets.extract.opening import AnyReading
from integration_assets.extract.usage import Usage
from integration_assets.feed import Feed, Job
from integration_assets.land.state import LakeState
from integration_assets.progress import Progress
from integration_assets.spec.cursor import Slice, watermark
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Stream
from integration_assets.spec.tenants import for_tenant
from integration_assets.validate.drift import sentences


def new_receipt(feed: Feed, base: LakeState, tenant: str | None, run_id: str, outcome: str, began: str) -> Receipt:
    """What every receipt of the stream says, on the lake's state `base`; `began` is ISO 8601 text.

    Its slice is empty, at the watermark: nothing was pulled, and nothing is finished by it.
    """
    mark = Slice(watermark(base.finished, feed.stream.origin, tenant)).to_json()[0]
    return Receipt(
        source=feed.source.name,
        stream=feed.stream.name,
        run_id=run_id,
        outcome=outcome,
        slice=(mark, mark),
        tenant=tenant,
        watermark_before=mark,
        watermark_after=mark,
        contract=feed.stream.contract_name,
        contract_hash=feed.contract.hash,
        code_version=__version__,
        started_at=began,
        finished_at=datetime.now(UTC).isoformat(),
        mask_key=feed.mask.key_name,
    )


def slice_receipt(feed: Feed, job: Job, count: Progress, reading: AnyReading, spent: Usage, digest: str) -> Receipt:
    """The account of a slice that was read, as nothing of it is committed yet; `digest` is that of a snapshot's rows."""
    stream = feed.stream
    start, end = job.slice.to_json()
    began, outcome = count.began.isoformat(), _outcome(stream, job, count, reading)
    return replace(
        new_receipt(feed, job.base, job.slice.tenant, job.run_id, outcome, began),
        slice=(start, end),
        partition=job.partition,
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
        latency={str(edge): number for edge, number in sorted(spent.latency.items())},
        clock_offset=round(feed.client.clock_offset),
        drift=reading.drift.to_json(),
        reasons=tuple(count.reasons),
        warnings=(*reading.warnings, *_once_more(stream, job, count), *sentences(reading.drift, count.fetched)),
        endpoint=_endpoint(feed, job.slice.tenant),
        etag=reading.etag if stream.conditional else None,
        content_hash=digest if stream.disposition == "replace" else None,
    )


def taken_receipt(feed: Feed, job: Job, winner: Receipt) -> Receipt:
    """The account of a slice that is left to another run, which committed it as `winner` says; it is in no commit."""
    start, end = job.slice.to_json()
    return Receipt(
        source=feed.source.name,
        stream=feed.stream.name,
        run_id=job.run_id,
        outcome="taken",
        slice=(start, end),
        partition=job.partition,
        tenant=job.slice.tenant,
        contract=feed.stream.contract_name,
        contract_hash=feed.contract.hash,
        warnings=(f"run {winner.run_id} committed {job.slice} while this one was pulling it; nothing was doubled",),
    )


def _once_more(stream: Stream, job: Job, count: Progress) -> tuple[str, ...]:
    """What is to be said of a range that is asked for again, where nothing tells a row from its copy."""
    keyless = stream.disposition == "append" and not stream.key
    left_out = stream.files is not None and job.skip_known  # the files that landed
    if not keyless or left_out or not count.accepted or not any(done.overlaps(job.slice) for done in job.base.finished):
        return ()
    return ("the lake had rows of this range; they have no key, so those that came again are there once more",)


def _outcome(stream: Stream, job: Job, count: Progress, reading: AnyReading) -> str:
    if job.dry_run:
        return "dry-run"
    if reading.unchanged:
        return "unchanged"
    return "committed" if count.accepted or (stream.disposition == "replace" and stream.allow_empty) else "empty"


def known_etag(feed: Feed, job: Job) -> str | None:
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
