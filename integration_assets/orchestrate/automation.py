"""Jobs and schedules: what runs together, when, and before what."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from integration_assets.orchestrate.partitions import partitioned
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.settings import Settings
from integration_assets.spec.parent import ancestors
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.source import Source, Stream

NIGHTLY, CATCH_UP = 10, 5
"""Ranks of runs; a backfill's and those that someone starts have 0."""
_JITTER = timedelta(minutes=30)
_DAY = 24
_SOUGHT = (9, 800)


@dataclass(frozen=True)
class SyncJob:
    """Streams of one source that run together.

    partitions : what those of them that are partitioned in time share; None when none is.
    """

    name: str
    source: Source
    streams: tuple[Stream, ...]
    partitions: Partitions | None

    def keys(self) -> list[dg.AssetKey]:
        """Lake and warehouse keys of the streams."""
        return [key for stream in self.streams for key in (lake_key(self.source, stream), warehouse_key(self.source, stream))]


Kind = tuple[Partitions | None, tuple[str, ...] | None]
"""What the streams of one job share: partitions in time, tenants, or both."""


def sync_jobs(source: Source) -> list[SyncJob]:
    """`<source>_sync`. A run has one kind of partition, so a source with several also gets `<source>_<every>_sync` for each.

    Where they are by tenant, the tenants' column or listing stands in the job's name as well.
    """
    kinds = list(dict.fromkeys(_kind(stream) for stream in source.streams if partitioned(stream)))
    if len(kinds) <= 1:
        return [SyncJob(f"{source.name}_sync", source, source.streams, kinds[0][0] if kinds else None)]
    jobs = []
    # Children without partitions run with the parents that have some, after them.
    kinded = {stream.name: _kind(_first(source, stream)) for stream in source.streams}
    whole = tuple(stream for stream in source.streams if kinded[stream.name] == (None, None))
    if whole:
        jobs.append(SyncJob(f"{source.name}_sync", source, whole, None))
    for kind in kinds:
        streams = tuple(stream for stream in source.streams if kinded[stream.name] == kind)
        jobs.append(SyncJob("_".join([source.name, *_words(kind, kinds, streams[0]), "sync"]), source, streams, kind[0]))
    return jobs


def _first(source: Source, stream: Stream) -> Stream:
    """The stream whose records are asked for before all others that lead to this one's."""
    return (stream, *ancestors(source, stream))[-1]


def _kind(stream: Stream) -> Kind:
    return stream.partitions, stream.tenants.axis if stream.tenants else None


def _words(kind: Kind, kinds: Sequence[Kind], stream: Stream) -> list[str]:
    """What tells a job from those of the source's other kinds."""
    time, whose = kind
    words: list[str] = []
    if time is not None:
        alike = [other for other in kinds if other[0] and other[0].every == time.every and other[1] == whose]
        words.append(time.every)
        if len(alike) > 1:
            words += [f"from_{time.start:%Y_%m_%d}", time.timezone.lower().replace("/", "_").replace("-", "_").replace("+", "_")]
    if stream.tenants is not None:
        listing = stream.tenants.listing
        words.append(listing.name if listing else stream.tenants.column.lower())
        fixed = list(dict.fromkeys(other[1] for other in kinds if other[1] is not None and other[1][0] == "keys"))
        if listing is None and len(fixed) > 1:
            words.append(str(fixed.index(stream.tenants.axis) + 1))
    return words


def nightly(job: SyncJob) -> dg.ScheduleDefinition | None:
    """The job's schedule, `<source>_nightly`; None for a source without one.

    Its runs name no partition: a partitioned stream then pulls what is due, so a night makes up for those that were missed.
    """
    source, cron = job.source, begins(job.source)
    if cron is None:
        return None
    return dg.ScheduleDefinition(
        name=job.name.removesuffix("_sync") + "_nightly",
        job_name=job.name,
        cron_schedule=cron,
        execution_timezone=source.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if runs_by_itself() else dg.DefaultScheduleStatus.STOPPED,
        tags=priority(NIGHTLY),
        description=f"{job.name} at {cron} ({source.timezone}): what is new"
        + (", and every partition that is due." if job.partitions else "."),
    )


def begins(source: Source) -> str | None:
    """The cron of the source's night: its schedule, later by its share of the jitter where the minute is a plain number."""
    if source.schedule is None:
        return None
    late = _share(source)
    minute, _, later = source.schedule.partition(" ")
    if not minute.isdigit() or not late:
        return source.schedule
    hour, *rest = later.split()
    hours, minutes = divmod(int(minute) + late, 60)
    # An hour that is no plain number, or the day's last, stays: the night is spread within it.
    moved = str(int(hour) + hours) if hour.isdigit() and int(hour) + hours < _DAY else hour
    return " ".join([str(minutes), moved, *rest])


def _share(source: Source) -> int:
    """Minutes of the jitter that are this source's own, from its name."""
    default = Source.model_fields["schedule"].default
    most = source.jitter if source.jitter is not None else _JITTER if source.schedule == default else timedelta(0)
    minutes = int(most / timedelta(minutes=1))
    return int(hashlib.sha256(source.name.encode()).hexdigest(), 16) % (minutes + 1) if minutes else 0


def last_tick(cron: str, timezone: str, moment: datetime) -> datetime | None:
    """The last tick of a cron at or before `moment`; None for one that had none in two years."""
    for days in _SOUGHT:
        start = moment - timedelta(days=days)
        windows = dg.TimeWindowPartitionsDefinition(cron_schedule=cron, start=start, fmt="%Y-%m-%dT%H:%M%z", timezone=timezone)
        keys = windows.get_partition_keys(current_time=moment)
        if keys:
            return windows.time_window_for_partition_key(keys[-1]).end.astimezone(UTC)
    return None


def runs_by_itself() -> bool:
    """Whether schedules and sensors are switched on until someone stops them: INTEGRATION_AUTOMATION."""
    return Settings.from_environ().automation


def priority(rank: int) -> dict[str, str]:
    """The tag by which a run is taken from the queue, and gets a slot of its pool, before those of a lower rank."""
    return {"dagster/priority": str(rank)}
