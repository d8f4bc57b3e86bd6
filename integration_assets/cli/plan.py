"""What a sync will pull, found out before anything is pulled: how many slices, and what to tell people about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from integration_assets.cli.ranges import Asked
from integration_assets.each_tenant import tenants_of
from integration_assets.errors import SpecError
from integration_assets.feed import Feed
from integration_assets.planning import plan_slice
from integration_assets.spec.cursor import CursorValue, Slice, steps, watermark
from integration_assets.spec.tenants import enumerated


@dataclass(frozen=True)
class Plan:
    """One stream's part of a sync.

    keys, span : what was asked for, without partitions that have not begun; both None pulls what is new.
    slices     : how many slices that is; 0 when the stream is up to date.
    notes      : sentences for people.
    tenants    : whose; empty for a stream without tenants.
    """

    feed: Feed
    keys: tuple[str, ...] | None
    span: Slice | None
    slices: int
    notes: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`source.stream`."""
        return f"{self.feed.source.name}.{self.feed.stream.name}"


def plan_all(feeds: Sequence[Feed], wanted: Asked) -> list[Plan]:
    """A plan for each feed, by one reading of the API's clock. Tenants that the API lists are asked for.

    Raises `SpecError` when a range or all of a stream's partitions lie in the API's future: nothing was pulled then.
    """
    timed = [feed for feed in feeds if feed.stream.cursor and feed.stream.cursor.kind == "timestamp"]
    now = timed[0].client.now() if timed else None
    return [_plan(feed, wanted, now) for feed in feeds]


def _plan(feed: Feed, wanted: Asked, now: datetime | None) -> Plan:
    keys, span = wanted.keys.get(feed.stream.name), wanted.spans.get(feed.stream.name)
    tenants = tenants_of(feed, wanted.tenants)
    said = _tenants(feed, tenants, wanted) if tenants else []
    if keys is not None and now is not None:
        plan = _of_partitions(feed, keys, now)
        return replace(plan, tenants=tenants, slices=plan.slices * max(1, len(tenants)), notes=(*said, *plan.notes))
    if feed.parents is not None:
        # How much that is turns out when its parents are pulled, which may be in this sync.
        return Plan(feed, None, span, 1)
    finished = feed.table.state().finished
    try:
        planned = [plan_slice(feed, None, span, tenant, now, finished) for tenant in tenants or (None,)]
    except SpecError as error:
        raise error.at(feed.source.name, feed.stream.name) from None
    if now is not None and feed.stream.cursor and feed.stream.cursor.kind == "timestamp":
        said += _past_now(planned[0], span) if span else _up_to_date(feed, planned, now)
    slices = sum(1 for one in planned if not one.empty for _ in steps(feed.stream.cursor, one))
    return Plan(feed, None, span, slices, tuple(said), tenants)


def _tenants(feed: Feed, tenants: Sequence[str], wanted: Asked) -> list[str]:
    """How many there are, and which of those that were pulled before there are no more."""
    if wanted.tenants is not None:
        return []
    gone = sorted({done.tenant for done in feed.table.state().finished if done.tenant} - {*tenants})
    said = [f"{len(tenants):,} tenant{'' if len(tenants) == 1 else 's'}: {enumerated(tenants)}"]
    return said + ([f"no more among the tenants, and not pulled: {enumerated(gone)}; what they landed stays"] if gone else [])


def _of_partitions(feed: Feed, keys: tuple[str, ...], now: datetime) -> Plan:
    """The partitions that have begun; the one that is not over yet is pulled as far as it is."""
    stream = feed.stream
    assert stream.partitions is not None  # noqa: S101 - keys were read from them
    assert stream.cursor is not None  # noqa: S101 - partitions need one
    final = now - stream.cursor.safety_lag
    ranges = {key: stream.partitions.slice_of(key) for key in keys}
    begun = {key: Slice(whole.start, _cut(whole.end, final)) for key, whole in ranges.items()}
    begun = {key: part for key, part in begun.items() if not part.empty}
    ahead = [key for key in keys if key not in begun]
    if not begun:
        raise SpecError(
            f"{_some(ahead)} begin{'s' if len(ahead) == 1 else ''} after {_show(final)}, up to which the API's data is final",
            source=feed.source.name,
            stream=stream.name,
            field="--partition",
            remedy="Ask for earlier ones.",
        )
    notes = [f"{_some(ahead)} left out: the API's data is final up to {_show(final)}"] if ahead else []
    notes += [
        f"{key} is not over: pulled up to {_show(final)}, where the API's data is final"
        for key, part in begun.items()
        if part != ranges[key]
    ]
    slices = sum(1 for part in begun.values() for _ in steps(stream.cursor, part))
    return Plan(feed, tuple(begun), None, slices, tuple(notes))


def _past_now(planned: Slice, span: Slice) -> list[str]:
    if span.end is None or planned.end == span.end:
        return []
    return [f"--to {_show(span.end)} is past the API's now: pulled up to {_show(planned.end)}, where its data is final"]


def _up_to_date(feed: Feed, planned: Sequence[Slice], now: datetime) -> list[str]:
    if len(planned) > 1:
        return [f"up to date: all tenants, the API's clock is {_show(now)}"] if all(one.empty for one in planned) else []
    mark = watermark(feed.table.state().finished, feed.stream.origin, planned[0].tenant)
    said = []
    if planned[0].empty:
        said.append(f"up to date: the watermark is {_show(mark)}, the API's clock {_show(now)}")
    if isinstance(mark, datetime) and mark > now:
        said.append(
            f"the watermark {_show(mark)} is ahead of the API's clock {_show(now)}: what is new is found only when the clock"
            " has passed it; see whether base_url and clock_path name the API that this lake was filled from"
        )
    return said


def _cut(end: CursorValue | None, final: datetime) -> CursorValue:
    return min(end, final) if isinstance(end, datetime) else final


def _some(keys: Sequence[str]) -> str:
    return f"partition {keys[0]}" if len(keys) == 1 else f"{len(keys):,} partitions from {keys[0]} to {keys[-1]}"


def _show(value: CursorValue | None) -> str:
    return str(Slice(value).to_json()[0])
