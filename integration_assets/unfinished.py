"""Which slices that a run could not finish may be taken up by another, and what is left of a range beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from integration_assets import __version__
from integration_assets.extract.client import SourceClient
from integration_assets.feed import Feed
from integration_assets.land.checkpoints import KEPT, Checkpoint
from integration_assets.land.state import LakeState
from integration_assets.spec.cursor import Slice
from integration_assets.spec.paging import Single

_ASKED_KEPT = timedelta(days=1)
"""A range that was asked for is to be as the API has it now: what was left of it is taken up only for so long."""
_CHANGED = {
    "code": "the code was changed",
    "contract": "the contract was changed",
    "stream": "the stream's description was changed",
    "mask": "columns are hashed with another key",
}


def unfinished(feed: Feed, whole: Slice, base: LakeState, *, planned: bool, anew: bool) -> list[Slice]:
    """The unfinished slices of earlier runs inside `whole`, ascending, which can be taken up; they are to be pulled first.

    A delta ends at another now in each run, so a later one would never ask for just the same slice. Of a range that was asked
    for, only what begins with it counts.
    planned : the range is what is new, which is planned again afterwards.
    anew    : the range is to land anew, whatever the lake has of it.
    """
    if feed.stream.cursor is None or base.version is None or not resumable(feed):
        return []
    found = [
        one
        for one in feed.table.checkpoints.of_tenant(whole.tenant, kind_of(anew=anew))
        # First whether the stream is the one it was: slices of another kind of cursor cannot be compared.
        if not why_not(feed, one, anew=anew)
        and whole.covers(one.slice)
        and (planned or one.slice.start == whole.start)
        and "restart" not in one.account
        and holds(feed, one, base, kind_of(anew=anew))
    ]
    slices = [one.slice for one in sorted(found, key=lambda one: one.made_at, reverse=True)]
    if whole in slices:
        return []
    apart: list[Slice] = []
    for slice_ in slices:
        if not any(slice_.overlaps(other) for other in apart):
            apart.append(slice_)
    return sorted(apart, key=lambda one: (one.start is not None, one.start))


def remainder(feed: Feed, whole: Slice, done: list[Slice], *, anew: bool) -> Slice:
    """What is left of a range that was asked for when the unfinished slice at its start is done.

    Records that come late may have come after that one's pages were read: its lookback is read again, unless that would land
    rows twice.
    """
    cursor, end = feed.stream.cursor, done[-1].end
    if cursor is None or end is None:
        return replace(whole, start=whole.end)
    again = cursor.lookback and not anew
    start: Any = end - cursor.lookback if again else end  # type: ignore[operator] # both times, or both numbers
    return replace(whole, start=start if whole.start is None else max(start, whole.start))


def resumable(feed: Feed) -> bool:
    """Whether a slice of the stream can be gone on with.

    Not a snapshot, which is whole or nothing: a record that moved between two halves of it would be taken for deleted. Not
    files, which are read whole, and not children, whose pages are those of many parents.
    """
    stream = feed.stream
    paged = isinstance(feed.client, SourceClient) and feed.parents is None and not isinstance(stream.paging, Single)
    return paged and stream.disposition != "replace" and feed.source.limits.checkpoint_pages is not None


def about(feed: Feed) -> dict[str, str]:
    """What the pages were read under: with anything of it changed, they may mean something else."""
    stream = feed.stream.model_dump(mode="json", exclude={"description", "docs_url", "freshness", "probe", "candidate"})
    asked = json.dumps([feed.source.base_url, dict(feed.source.headers), stream], sort_keys=True)
    return {
        "code": __version__,
        "contract": feed.contract.hash,
        "stream": sha256(asked.encode()).hexdigest()[:16],
        "mask": feed.mask.key_name,
    }


def holds(feed: Feed, checkpoint: Checkpoint, base: LakeState, kind: str) -> bool:
    """Whether its files may still land: nothing that was committed since it was planned touched the slice.

    What landed is there for good: one that holds no more is deleted, so that nobody looks through the log for it again.
    """
    if feed.table.checkpoints.holds(checkpoint, base):
        return True
    if base.version is not None and base.version >= checkpoint.base[0]:
        feed.table.checkpoints.drop(checkpoint.slice, kind)
    return False


def why_not(feed: Feed, checkpoint: Checkpoint, *, anew: bool) -> str:
    """Why what was left cannot be taken up; empty when it can."""
    mine = about(feed)
    changed = [why for name, why in _CHANGED.items() if checkpoint.about.get(name) != mine[name]]
    if changed:
        return " and ".join(changed)
    age = datetime.now(UTC) - checkpoint.made_at
    return "it is too long ago" if age > (_ASKED_KEPT if anew else KEPT) else ""


def kind_of(*, anew: bool) -> str:
    """What tells apart the checkpoints of a slice that is to land anew, whatever the lake has, from those of one that is not."""
    return "anew-" if anew else ""
