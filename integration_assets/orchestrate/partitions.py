"""Partitions as Dagster knows them. Their windows are those of `spec.partitions`, which a test compares key by key."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from integration_assets.spec.cursor import Slice
from integration_assets.spec.partitions import Partitions

_A_RUN = {"hour": 168, "day": 31, "week": 13, "month": 12}
_TICK = timedelta(microseconds=1)


def partitions_def(partitions: Partitions) -> dg.TimeWindowPartitionsDefinition:
    """The spec's partitions for Dagster, with the same keys; the last is the last whole one, or the open one if refreshed."""
    start = partitions.start.strftime(partitions.key_format)
    end = partitions.end.strftime(partitions.key_format) if partitions.end else None
    zone = partitions.timezone
    open_too = 0 if partitions.refresh is None else 1
    match partitions.every:
        case "hour":
            return dg.HourlyPartitionsDefinition(start_date=start, end_date=end, timezone=zone, end_offset=open_too)
        case "day":
            return dg.DailyPartitionsDefinition(start_date=start, end_date=end, timezone=zone, end_offset=open_too)
        case "week":
            return dg.WeeklyPartitionsDefinition(start_date=start, end_date=end, timezone=zone, day_offset=1, end_offset=open_too)
        case _:
            return dg.MonthlyPartitionsDefinition(start_date=start, end_date=end, timezone=zone, end_offset=open_too)


def backfill_policy(partitions: Partitions) -> dg.BackfillPolicy:
    """How many partitions one run of a backfill takes: `most_a_run`."""
    return dg.BackfillPolicy.multi_run(most_a_run(partitions))


def most_a_run(partitions: Partitions) -> int:
    """How many partitions one run takes: so many that its start costs little, so few that it ends in hours."""
    return _A_RUN[partitions.every]


def latest_closed(partitions: Partitions, moment: datetime) -> str | None:
    """The key of the last partition that ends at or before `moment`; None while the first is open, or long after the end."""
    if moment < partitions.origin:
        return None
    if partitions.limit is not None and moment >= partitions.limit:
        # A closed history: its last partition is due once, and then nothing is.
        last = partitions.key_of(partitions.limit - _TICK)
        started = partitions.slice_of(last).start
        assert isinstance(started, datetime)  # noqa: S101 - a partition is closed on both sides
        return last if moment < partitions.limit + (partitions.limit - started) else None
    begun: Slice = partitions.slice_of(partitions.key_of(moment))
    assert isinstance(begun.start, datetime)  # noqa: S101 - a partition is closed on both sides
    before = begun.start - _TICK
    return partitions.key_of(before) if before >= partitions.origin else None
