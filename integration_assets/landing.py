"""Whether a slice that was read is committed: what forbids it, what makes it needless, and which range is finished by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from integration_assets.errors import RejectThresholdError, ResponseError
from integration_assets.feed import Job
from integration_assets.land.state import LakeState
from integration_assets.progress import Progress
from integration_assets.spec.cursor import CursorValue, Slice, watermark
from integration_assets.spec.freshness import QUIET
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Stream

_TOLERATED = 10
"""Rejects that a slice may have whatever their share, as long as it has a good record: one typo must not stop a small delta."""


def refuse(stream: Stream, receipt: Receipt, job: Job, times: int, met_before: Callable[[], int] = lambda: 0) -> None:
    """Raise `RejectThresholdError` by law 6, `ResponseError` for a snapshot that would empty a table.

    times      : how often the list was read; what is bad in it came as often.
    met_before : how many of the bad ones came in an earlier slice, which was committed; asked only where it decides.
    """
    good = receipt.accepted + receipt.duplicate
    tolerated = _TOLERATED * times if good else 0

    def too_many(bad: int) -> bool:
        return bad > max(tolerated, stream.reject_threshold * (good + bad))

    # What a lookback reads again, and someone was told of when it came, must not stop an API that has nothing new.
    if too_many(receipt.rejected) and too_many(max(0, receipt.rejected - times * met_before())):
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


def same_snapshot(stream: Stream, receipt: Receipt, base: LakeState) -> bool:
    """Whether the lake has the full snapshot as it is."""
    return stream.disposition == "replace" and receipt.content_hash == base.content_hash


def finished_by(stream: Stream, slice_: Slice, high: CursorValue | None) -> Slice | None:
    """The range that is finished when the slice is.

    Time passes by itself, numbers do not: a slice of integers reaches only to the highest one seen, which is read again.
    """
    if not stream.cursor:
        return None
    timed = stream.cursor.kind == "timestamp"
    reached = replace(slice_, end=slice_.end if timed and slice_.end is not None else high)
    return None if reached.end is None or reached.empty else reached


def needless(stream: Stream, job: Job, count: Progress, finished: Slice) -> bool:
    """Whether a range without a new row needs no commit: it is finished already, or a sync found the API idle a short while on.

    An idle API is asked far more often than anybody needs to know it: the frontier then follows at most `QUIET` behind.
    """
    if any(done.covers(finished) for done in job.base.finished):
        return True
    mark, end = watermark(job.base.finished, stream.origin, finished.tenant), finished.end
    planned = job.skip_known and job.partition is None and not count.rejected
    if stream.cursor and stream.cursor.step and finished.start and finished.end - finished.start >= stream.cursor.step:  # type: ignore[operator]
        return False  # a whole step: others may follow it in this run, and must not land beyond a gap
    if not (planned and isinstance(mark, datetime) and isinstance(end, datetime) and any(job.base.finished)):
        return False
    return end - mark <= (min(QUIET, stream.freshness.warn_after / 4) if stream.freshness else QUIET)
