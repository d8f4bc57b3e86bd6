"""How old a stream may become: as its spec says, or so that one missed tick of its source's schedule is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

import dagster as dg

from integration_assets.spec.freshness import QUIET, Freshness
from integration_assets.spec.source import Source, Stream

_WARN, _FAIL = 1.5, 2.5
"""Ticks of the schedule: half a tick after one was missed, and half a tick after the second."""
_SAMPLED = datetime(2024, 1, 1, tzinfo=UTC)
_DAYS = (9, 800)
_ENOUGH = 3
_EVERY = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}


def pull_limits(source: Source, stream: Stream) -> Freshness | None:
    """How long ago the last pull may be; None when nothing says how often the stream is pulled."""
    if stream.freshness is not None:
        return stream.freshness
    if source.schedule is None:
        return None
    tick = longest_gap(source.schedule, source.timezone)
    return Freshness(warn_after=_WARN * tick, fail_after=_FAIL * tick) if tick else None


def frontier_limits(source: Source, stream: Stream) -> Freshness | None:
    """How far the frontier may be behind now; None for a stream whose cursor is not a time.

    Where the schedule decides, what is not final yet is allowed for: a partition that is not over, the safety lag, and the
    time in which a sync that finds nothing leaves the frontier where it is.
    """
    limits, cursor = pull_limits(source, stream), stream.cursor
    if limits is None or cursor is None or cursor.kind != "timestamp":
        return None
    if stream.freshness is not None:
        return limits
    open_ = QUIET + cursor.safety_lag + (_EVERY[stream.partitions.every] if stream.partitions else timedelta(0))
    return Freshness(warn_after=limits.warn_after + open_, fail_after=limits.fail_after + open_)


def policy(source: Source, stream: Stream) -> dg.FreshnessPolicy | None:
    """Dagster's own policy, by the time of the last materialization. A history that ends has none: it becomes done."""
    limits = pull_limits(source, stream)
    if limits is None or (stream.partitions and stream.partitions.end):
        return None
    return dg.FreshnessPolicy.time_window(fail_window=limits.fail_after, warn_window=limits.warn_after)


@lru_cache
def longest_gap(cron: str, timezone: str) -> timedelta | None:
    """The longest time between two ticks of a schedule, such as its weekend; None for one that ticks once in years."""
    for days in _DAYS:
        ticks = list(_ticks(cron, timezone, _SAMPLED + timedelta(days=days)))
        if len(ticks) >= _ENOUGH:
            return max(later - earlier for earlier, later in pairwise(ticks))
    return None


def _ticks(cron: str, timezone: str, end: datetime) -> Iterator[datetime]:
    pattern = "%Y-%m-%dT%H:%M%z"
    windows = dg.TimeWindowPartitionsDefinition(cron_schedule=cron, start=_SAMPLED, fmt=pattern, timezone=timezone)
    for key in windows.get_partition_keys(current_time=end):
        yield datetime.strptime(key, pattern).astimezone(UTC)
