"""How far a stream of children can be pulled: as far as its parent's lake table is finished. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from integration_assets.spec.cursor import Slice
from integration_assets.spec.parent import reach
from integration_assets.spec.source import Stream


def horizon(child: Stream, above: Sequence[Slice], now: datetime) -> datetime:
    """The moment to plan children by: when what the parent has finished was just final; the API's own while that is earlier.

    above : what the parent's lake table has finished, ascending.
    """
    assert child.cursor is not None  # noqa: S101 - a child has one
    ends = [done.end for done in above if isinstance(done.end, datetime)]
    origin = child.origin
    begun = max(ends, default=origin if isinstance(origin, datetime) else now)
    return min(now, begun + child.cursor.safety_lag)


def ready(child: Stream, above: Sequence[Slice], key: str, now: datetime) -> bool:
    """Whether the parent has all of a partition that is over, and some of one that is not, so that the children can be pulled."""
    assert child.partitions is not None  # noqa: S101 - asked only of partitioned streams
    assert child.cursor is not None  # noqa: S101 - a child has one
    whole = child.partitions.slice_of(key)
    end = reach(above, whole.start)
    if not isinstance(end, datetime) or not isinstance(whole.end, datetime):
        return False
    return end >= min(whole.end, horizon(child, above, now) - child.cursor.safety_lag)
