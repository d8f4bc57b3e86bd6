"""Jobs and schedules: what runs together, and when. Schedules are stopped until someone switches them on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from integration_assets.orchestrate.partitions import latest_closed
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.source import Source, Stream


@dataclass(frozen=True)
class SyncJob:
    """Streams of one source that run together.

    partitions : what those of them that are partitioned share; None when none is.
    """

    name: str
    source: Source
    streams: tuple[Stream, ...]
    partitions: Partitions | None

    def keys(self, *, partitioned: bool = True) -> list[dg.AssetKey]:
        """Lake and warehouse keys of the streams; `partitioned=False` leaves the partitioned ones out."""
        chosen = [stream for stream in self.streams if partitioned or stream.partitions is None]
        return [key for stream in chosen for key in (lake_key(self.source, stream), warehouse_key(self.source, stream))]


def sync_jobs(source: Source) -> list[SyncJob]:
    """`<source>_sync`. A run has one kind of partition, so a source with several also gets `<source>_<every>_sync` for each."""
    kinds = list(dict.fromkeys(stream.partitions for stream in source.streams if stream.partitions))
    if len(kinds) <= 1:
        return [SyncJob(f"{source.name}_sync", source, source.streams, kinds[0] if kinds else None)]
    jobs = []
    whole = tuple(stream for stream in source.streams if stream.partitions is None)
    if whole:
        jobs.append(SyncJob(f"{source.name}_sync", source, whole, None))
    for kind in kinds:
        alike = [other for other in kinds if other.every == kind.every]
        words = [source.name, kind.every]
        if len(alike) > 1:
            words += [f"from_{kind.start:%Y_%m_%d}", kind.timezone.lower().replace("/", "_").replace("-", "_").replace("+", "_")]
        streams = tuple(stream for stream in source.streams if stream.partitions == kind)
        jobs.append(SyncJob("_".join([*words, "sync"]), source, streams, kind))
    return jobs


def nightly(job: SyncJob) -> dg.ScheduleDefinition | None:
    """The job's schedule, `<source>_nightly`; None for a source without one. Each tick asks for the last closed partition."""
    source = job.source
    if source.schedule is None:
        return None

    @dg.schedule(
        name=job.name.removesuffix("_sync") + "_nightly",
        job_name=job.name,
        cron_schedule=source.schedule,
        execution_timezone=source.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"{job.name} at {source.schedule} ({source.timezone})"
        + (", for the last closed partition." if job.partitions else "."),
    )
    def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        yield request(job, context.scheduled_execution_time)

    return tick


def request(job: SyncJob, moment: datetime) -> dg.RunRequest | dg.SkipReason:
    """The run to ask for at `moment`: the last partition that is closed and final, and the unpartitioned streams with it."""
    if job.partitions is None:
        return dg.RunRequest()
    lags = [stream.cursor.safety_lag for stream in job.streams if stream.cursor and stream.partitions]
    key = latest_closed(job.partitions, moment.astimezone(UTC) - max(lags, default=timedelta(0)))
    if key is not None:
        return dg.RunRequest(partition_key=key)
    whole = job.keys(partitioned=False)
    if whole:
        return dg.RunRequest(asset_selection=whole)
    return dg.SkipReason(f"The first {job.partitions.every} of {job.source.name} is not over yet.")
