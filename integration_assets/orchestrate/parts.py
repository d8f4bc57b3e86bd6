"""What a run pulls of a stream, part by part, from what it is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from integration_assets.errors import SpecError
from integration_assets.orchestrate.catchup import closing, due
from integration_assets.orchestrate.children import horizon, ready
from integration_assets.orchestrate.modes import Mode, Wanted
from integration_assets.orchestrate.partitions import most_a_run, partition_key, split_key
from integration_assets.spec.cursor import Slice, of

if TYPE_CHECKING:
    from integration_assets.feed import Feed

Pulls = Callable[[Sequence[str]], Mapping[str, datetime]]
"""When partitions were last pulled: `history.last_pulls` of one asset."""


@dataclass(frozen=True)
class Part:
    """A partition, a range, both (that range of the partition), or neither: what is new. Where there are tenants, of one of them.

    missed : the partition is due because the lake lacks some of it; another run may have pulled it since.
    """

    key: str | None = None
    span: Slice | None = None
    missed: bool = False
    tenant: str | None = None

    @property
    def label(self) -> str | None:
        """Dagster's key of the partition; None for a stream without partitions."""
        return partition_key(self.key, self.tenant)


def parts(feed: Feed, wanted: Wanted, keys: Sequence[str] | None, pulls: Pulls, tenants: Sequence[str] = ()) -> list[Part]:
    """What is pulled of a stream, tenant by tenant and then oldest first.

    keys    : the run's partitions; None for a run without any.
    tenants : those of the stream, if it has some, in the order in which they are pulled.
    """
    if feed.stream.tenants is None:
        return partition_parts(feed, wanted, keys, pulls) if feed.stream.partitions else whole_parts(feed, wanted)
    if keys is not None:
        pairs = [split_key(feed.stream, key) for key in keys]
        return sorted((Part(date, tenant=tenant) for date, tenant in pairs), key=lambda part: tenants.index(str(part.tenant)))
    if feed.stream.partitions is None:
        return [replace(part, tenant=tenant) for tenant in tenants for part in whole_parts(feed, wanted)]
    now, finished = feed.client.now(), feed.table.state().finished
    found = []
    for tenant in tenants:
        mine = [replace(done, tenant=None) for done in of(finished, tenant)]
        known = _of_tenant(pulls, tenant)
        found += [replace(part, tenant=tenant) for part in partition_parts(feed, wanted, None, known, now, mine)]
    return found


def _of_tenant(pulls: Pulls, tenant: str) -> Pulls:
    """When a tenant's partitions were last pulled, by their keys in time."""

    def mine(dates: Sequence[str]) -> dict[str, datetime]:
        by_label = {str(partition_key(date, tenant)): date for date in dates}
        return {by_label[label]: moment for label, moment in pulls(list(by_label)).items()}

    return mine


def whole_parts(feed: Feed, wanted: Wanted) -> list[Part]:
    """What is pulled of a stream without partitions."""
    if wanted.mode is Mode.full_reload and feed.stream.cursor is not None:
        return [Part(span=Slice(feed.stream.origin))]
    return [Part(span=wanted.span)]


def partition_parts(
    feed: Feed,
    wanted: Wanted,
    keys: Sequence[str] | None,
    pulls: Pulls,
    now: datetime | None = None,
    finished: Sequence[Slice] | None = None,
) -> list[Part]:
    """What is pulled of a partitioned stream, oldest first.

    keys     : the run's partitions; None for a run without any, which pulls those that are due, those of the range, or all.
    now      : by the API's clock, which is asked when None.
    finished : what the lake has, which is looked up when None.
    """
    stream = feed.stream
    assert stream.partitions is not None  # noqa: S101 - asked only of partitioned streams
    assert stream.cursor is not None  # noqa: S101 - partitions need one
    if keys is not None:
        return [Part(key) for key in keys]
    now = now or feed.client.now()
    above = feed.parents.table.state().finished if feed.parents else None
    now = now if above is None else horizon(stream, above, now)
    final = now - stream.cursor.safety_lag
    if wanted.mode is Mode.full_reload:
        keys = list(stream.partitions.keys(stream.partitions.origin, final))
        over = [key for key in keys if _over(stream.partitions.slice_of(key), final)]
        return [Part(key) for key in (over if stream.partitions.refresh is None else keys)]
    if wanted.span is None:
        owed = due(stream, feed.table.state().finished if finished is None else finished, now, pulls(closing(stream, now)))
        owed = owed if above is None else [one for one in owed if ready(stream, above, one.key, now)]
        return [Part(one.key, missed=one.why == "missed") for one in owed[: most_a_run(stream.partitions)]]
    start, end = wanted.span.start, wanted.span.end
    assert isinstance(start, datetime)  # noqa: S101 - partitions are in time
    until = min(end, final) if isinstance(end, datetime) else final
    if start >= until:
        raise SpecError(
            f"{wanted.span} has not begun: the API's data is final up to {final.isoformat()}",
            source=feed.source.name,
            stream=stream.name,
            field="from",
            remedy="Ask for an earlier range.",
        )
    return [Part(key, _within(stream.partitions.slice_of(key), start, until)) for key in stream.partitions.keys(start, until)]


def _over(partition: Slice, final: datetime) -> bool:
    return isinstance(partition.end, datetime) and partition.end <= final


def _within(partition: Slice, start: datetime, end: datetime) -> Slice | None:
    """The part of `[start, end)` in a partition; None for the whole partition."""
    assert isinstance(partition.start, datetime)  # noqa: S101 - a partition is closed on both sides
    assert isinstance(partition.end, datetime)  # noqa: S101 - a partition is closed on both sides
    cut = Slice(max(partition.start, start), min(partition.end, end))
    return None if cut == partition else cut
