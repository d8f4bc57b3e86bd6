"""Partitions as Dagster knows them. Their windows are those of `spec.partitions`, which a test compares key by key."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from integration_assets.spec.cursor import Slice
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.tenants import Listing, Tenants

DATE, TENANT = "date", "tenant"
"""Dimensions of a stream with both. Dagster writes their keys in the order of the names: `2024-03-01|eu`."""
_TENANTS_A_RUN = 25
_A_RUN = {"hour": 168, "day": 31, "week": 13, "month": 12}
_TICK = timedelta(microseconds=1)


def stream_partitions(source: Source, stream: Stream) -> dg.PartitionsDefinition[str] | None:
    """A stream's partitions: in time, by tenant, or both; None without."""
    time = partitions_def(stream.partitions) if stream.partitions else None
    whose = tenants_def(source, stream.tenants) if stream.tenants else None
    if time is not None and whose is not None:
        return dg.MultiPartitionsDefinition({DATE: time, TENANT: whose})
    return time if time is not None else whose


def tenants_def(source: Source, tenants: Tenants) -> dg.PartitionsDefinition[str]:
    """A partition a tenant: fixed, or those that were added under the listing's name."""
    if tenants.listing is not None:
        return dg.DynamicPartitionsDefinition(name=set_name(source, tenants.listing))
    return dg.StaticPartitionsDefinition(list(tenants.keys))


def set_name(source: Source, listing: Listing) -> str:
    """The name of the listed tenants in Dagster's instance: `<source>__<listing>`."""
    return f"{source.name}__{listing.name}"


def partitioned(stream: Stream) -> bool:
    """Whether a stream's lake table has partitions."""
    return stream.partitions is not None or stream.tenants is not None


def partition_key(date: str | None, tenant: str | None) -> str | None:
    """Dagster's key for a partition in time, a tenant's, or one of both; None for neither."""
    if date is not None and tenant is not None:
        return dg.MultiPartitionKey({DATE: date, TENANT: tenant})
    return date if date is not None else tenant


def split_key(stream: Stream, key: str) -> tuple[str | None, str | None]:
    """The partition in time and the tenant that one of the stream's keys names. The inverse of `partition_key`."""
    if stream.tenants is None:
        return key, None
    if stream.partitions is None:
        return None, key
    date, _, tenant = key.partition("|")
    return date, tenant


def stream_backfill(stream: Stream) -> dg.BackfillPolicy | None:
    """How a backfill of the stream is cut into runs; one of both dimensions takes one tenant's days, or one day's tenants."""
    if stream.partitions is not None:
        return backfill_policy(stream.partitions)
    return dg.BackfillPolicy.multi_run(_TENANTS_A_RUN) if stream.tenants else None


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
