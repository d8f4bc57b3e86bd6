"""Which range a sync of a stream pulls now: what is new, a partition or a range that was asked for, as far as it is final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from integration_assets.errors import SpecError
from integration_assets.feed import Feed
from integration_assets.spec.cursor import Slice, plan


def plan_slice(
    feed: Feed,
    key: str | None = None,
    span: Slice | None = None,
    tenant: str | None = None,
    now: datetime | None = None,
    finished: Sequence[Slice] | None = None,
) -> Slice:
    """The range that a sync of this stream, or of one tenant of it, would pull now; of children as far as their parents are.

    now      : by the API's clock, which is asked where the source says so when None.
    finished : what the lake has, which is looked up when None.
    """
    found = _plan(feed, key, span, tenant, now, finished)
    if feed.parents is None:
        return found
    planned = key is None and span is None
    return feed.parents.within(found) if planned else feed.parents.check(found, feed.source, feed.stream)


def _plan(
    feed: Feed,
    key: str | None,
    span: Slice | None,
    tenant: str | None,
    now: datetime | None,
    finished: Sequence[Slice] | None,
) -> Slice:
    """The range as far as the API's own data is final."""
    stream = feed.stream
    if key is not None and stream.partitions is None:
        raise SpecError(
            f"there is no partition {key!r}: the stream is not partitioned",
            source=feed.source.name,
            stream=stream.name,
            remedy="Leave the partition out.",
        )
    if stream.cursor is None:
        if span is not None:
            raise SpecError(
                "the stream has no cursor and is always pulled whole",
                source=feed.source.name,
                stream=stream.name,
                remedy="Leave --from and --to out.",
            )
        return Slice(tenant=tenant)
    if span is not None:
        span = replace(span, tenant=tenant)
    now = now or feed.client.now()
    if (key is None or stream.cursor.kind == "integer") and span is None:
        finished = feed.table.state().finished if finished is None else finished
        return plan(stream.cursor, finished, stream.origin, now, tenant)
    if span is not None and stream.cursor.kind == "integer":
        return span
    asked = span or (stream.partitions.slice_of(key) if key is not None and stream.partitions else Slice())
    return _until(replace(asked, tenant=tenant), now - stream.cursor.safety_lag, feed)


def _until(asked: Slice, latest: datetime, feed: Feed) -> Slice:
    """`asked`, cut at `latest`: what has not happened yet cannot be finished."""
    end = latest if asked.end is None else min(asked.end, latest)
    cut = replace(asked, end=end)
    if cut.empty:
        raise SpecError(
            f"{asked} has not begun: the API's data is final up to {latest.isoformat()}",
            source=feed.source.name,
            stream=feed.stream.name,
            remedy="Ask for an earlier range.",
        )
    return cut
