"""What Dagster's runs know of a stream's partitions: which are being pulled, and which failed and are to wait."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

from integration_assets import errors
from integration_assets.errors import HumanNeededError, SpecError
from integration_assets.orchestrate.automation import SyncJob, sync_jobs
from integration_assets.orchestrate.sensors.memory import FIRST_WAIT, LONGEST_WAIT
from integration_assets.orchestrate.specs import lake_key
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.source import Source, Stream

CATCH_UP_TAG = "integration_assets/catch_up"
"""On runs that the catch-up asked for: the stream, as `source.stream`."""
PARTITION = "dagster/partition"
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
# Not NOT_STARTED: a run is that for a moment, or for ever when its submission was cut off.
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_REMEMBERED = 50
_DOUBLINGS = 30
_FORGOTTEN = 24 * 3600.0
_STEPS = 10


@dataclass(frozen=True)
class UnderWay:
    """What is being pulled of one stream.

    everything : a run of the stream names no partition, so it may pull any.
    caught_up  : a run that the catch-up asked for is among them.
    keys       : partitions of queued and running runs and of backfills.
    """

    everything: bool
    caught_up: bool
    keys: frozenset[str]


@dataclass(frozen=True)
class Failures:
    """How often the catch-up's runs failed for a partition in a row, and when the last of them ended; seconds since 1970.

    longest : nobody but a human can mend the last one, so that soon is too early.
    """

    count: int
    ended: float
    longest: bool = False

    @property
    def again(self) -> float:
        """When the partition is asked for again: ever later, by hours at most."""
        wait = LONGEST_WAIT if self.longest else FIRST_WAIT * 2.0 ** min(self.count - 1, _DOUBLINGS)
        return self.ended + min(wait, LONGEST_WAIT)


@dataclass(frozen=True)
class Runs:
    """The unfinished runs and backfills of an instance, looked up once for all streams of a source."""

    source: Source
    jobs: Sequence[SyncJob]
    runs: Sequence[dg.DagsterRun]
    backfills: Sequence[object]

    @classmethod
    def of(cls, instance: dg.DagsterInstance, source: Source) -> Runs:
        """Ask the instance."""
        runs = instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY))
        asked = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING])
        return cls(source, sync_jobs(source), runs, instance.get_backfills(filters=asked))

    def under_way(self, stream: Stream) -> UnderWay:
        """What is being pulled of one of the source's streams."""
        key = lake_key(self.source, stream)
        mine = [run for run in self.runs if self._pulls(run, stream)]
        named = [keys_of(run, stream.partitions) for run in mine]
        keys = {each for some in named if some for each in some}
        keys.update(each for backfill in self.backfills for each in _targets(backfill, key))
        caught_up = any(run.tags.get(CATCH_UP_TAG) == name_of(self.source, stream) for run in mine)
        return UnderWay(any(some is None for some in named), caught_up, frozenset(keys))

    def _pulls(self, run: dg.DagsterRun, stream: Stream) -> bool:
        if run.asset_selection is not None:
            return lake_key(self.source, stream) in run.asset_selection
        return any(job.name == run.job_name and stream in job.streams for job in self.jobs)


def name_of(source: Source, stream: Stream) -> str:
    """`source.stream`."""
    return f"{source.name}.{stream.name}"


def keys_of(run: dg.DagsterRun, partitions: Partitions | None) -> Collection[str] | None:
    """The partitions that a run names; None for a run that names none."""
    if partitions is None:
        return None
    if PARTITION in run.tags:
        return [run.tags[PARTITION]]
    first, last = (run.tags.get(tag) for tag in RANGE)
    if first is None or last is None:
        return None
    if "|" in first:
        return [first, last]  # of a stream with tenants: whoever asks wants to know that there are some, not which
    try:
        start, end = partitions.slice_of(first).start, partitions.slice_of(last).end
    except SpecError:
        return []  # of partitions that the stream had before its description changed
    assert isinstance(start, datetime)  # noqa: S101 - a partition is closed on both sides
    assert isinstance(end, datetime)  # noqa: S101 - a partition is closed on both sides
    return list(partitions.keys(start, end))


def failures(instance: dg.DagsterInstance, source: Source, stream: Stream, now: float) -> dict[str | None, Failures]:
    """What failed of the runs that the catch-up asked for, by partition; under None for a stream without partitions.

    Counted are failures in a row: those since the partition's last success, with no day between one and the next, or `now`.
    A run that someone cancelled counts as failed: it is not asked for again at once.
    """
    failed = _ended(instance, source, stream, [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
    right: dict[str | None, float] = {}
    for _, key, ended in _ended(instance, source, stream, [dg.DagsterRunStatus.SUCCESS]) if failed else ():
        right[key] = max(right.get(key, 0.0), ended)
    found: dict[str | None, Failures] = {}
    reached: dict[str | None, float] = {}
    for run, key, ended in sorted(failed, key=lambda one: one[2], reverse=True):
        if ended <= right.get(key, 0.0) or reached.get(key, now) - ended > _FORGOTTEN:
            right[key] = max(right.get(key, 0.0), ended)  # nor do those count that ended before it
            continue
        reached[key] = ended
        first = found.get(key)
        found[key] = (
            replace(first, count=first.count + 1) if first else Failures(1, ended, _needs_human(instance, run, ended, now))
        )
    return found


def _ended(
    instance: dg.DagsterInstance, source: Source, stream: Stream, statuses: Sequence[dg.DagsterRunStatus]
) -> list[tuple[str, str | None, float]]:
    """The catch-up's last runs that ended so: run, partition and moment."""
    wanted = dg.RunsFilter(tags={CATCH_UP_TAG: name_of(source, stream)}, statuses=statuses)
    found: list[tuple[str, str | None, float]] = []
    for record in instance.get_run_records(wanted, limit=_REMEMBERED):
        keys = keys_of(record.dagster_run, stream.partitions)
        ended = record.end_time or record.update_timestamp.timestamp()
        found += [(record.dagster_run.run_id, key, ended) for key in ([None] if keys is None else keys)]
    return found


def _needs_human(instance: dg.DagsterInstance, run_id: str, ended: float, now: float) -> bool:
    """Whether a step of the run failed with a `HumanNeededError`; not looked up once the longest wait is over."""
    if now - ended > LONGEST_WAIT:
        return False
    page = instance.get_records_for_run(run_id, None, dg.DagsterEventType.STEP_FAILURE, limit=_STEPS)
    for record in page.records:
        event = record.event_log_entry.dagster_event
        said = event.step_failure_data.user_failure_data if event else None
        name = said.metadata.get("error") if said else None
        kind = getattr(errors, str(name.value), None) if name else None
        if isinstance(kind, type) and issubclass(kind, HumanNeededError):
            return True
    return False


def _targets(backfill: object, key: dg.AssetKey) -> Iterator[str]:
    """The partitions of an asset that a backfill is to pull; Dagster has no public type for one."""
    data = getattr(backfill, "asset_backfill_data", None)
    if data is not None and key in data.target_subset.partitions_subsets_by_asset_key:
        yield from data.get_target_partitions_subset(key).get_partition_keys()
