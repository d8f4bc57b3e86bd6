"""What a run pulls of a stream, part by part, from what it is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from integration_assets.errors import SpecError
from integration_assets.orchestrate.catchup import closing, due
from integration_assets.orchestrate.modes import Mode, Wanted
from integration_assets.orchestrate.partitions import most_a_run
from integration_assets.spec.cursor import Slice

if TYPE_CHECKING:
    from integration_assets.ingest import Feed

Pulls = Callable[[Sequence[str]], Mapping[str, datetime]]
"""When partitions were last pulled: `history.last_pulls` of one asset."""


@dataclass(frozen=True)
class Part:
    """A partition, a range, both (that range of the partition), or neither: what is new.

    missed : the partition is due because the lake lacks some of it; another run may have pulled it since.
    """

    key: str | None = None
    span: Slice | None = None
    missed: bool = False


def whole_parts(feed: Feed, wanted: Wanted) -> list[Part]:
    """What is pulled of a stream without partitions."""
    if wanted.mode is Mode.full_reload and feed.stream.cursor is not None:
        return [Part(span=Slice(feed.stream.origin))]
    return [Part(span=wanted.span)]


def partition_parts(feed: Feed, wanted: Wanted, keys: Sequence[str] | None, pulls: Pulls) -> list[Part]:
    """What is pulled of a partitioned stream, oldest first.

    keys : the run's partitions; None for a run without any, which pulls those that are due, those of the range, or all.
    """
    stream = feed.stream
    assert stream.partitions is not None  # noqa: S101 - asked only of partitioned streams
    assert stream.cursor is not None  # noqa: S101 - partitions need one
    if keys is not None:
        return [Part(key) for key in keys]
    now = feed.client.now()
    final = now - stream.cursor.safety_lag
    if wanted.mode is Mode.full_reload:
        keys = list(stream.partitions.keys(stream.partitions.origin, final))
        over = [key for key in keys if _over(stream.partitions.slice_of(key), final)]
        return [Part(key) for key in (over if stream.partitions.refresh is None else keys)]
    if wanted.span is None:
        owed = due(stream, feed.table.state().finished, now, pulls(closing(stream, now)))
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
