"""How a run went, in numbers and names: read from the events that it left. No text that may quote an API or a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from integration_assets import errors
from integration_assets.alert.message import About, Message
from integration_assets.errors import IntegrationError, SpecError
from integration_assets.orchestrate.checks.names import HELD
from integration_assets.orchestrate.history import replayed
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.source import Source, Stream

_EVENTS = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
_PAGE, _PAGES = 1000, 20
_LOOKED_BACK = 20
_PARTITION = "dagster/partition"
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_REASON = "dagster/failure_reason"
_NO_REASON = "UNKNOWN"


@dataclass(frozen=True)
class Known:
    """The streams of this code location, by what Dagster calls them; `alone`: of which one source it tells, None for all."""

    of_step: Mapping[str, tuple[Source, Stream]]
    of_asset: Mapping[dg.AssetKey, str]
    alone: str | None = None

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Known:
        """Of these sources."""
        pairs = [(source, stream) for source in sources for stream in source.streams]
        assets = {
            key: f"{source.name}.{stream.name}"
            for source, stream in pairs
            for key in (lake_key(source, stream), warehouse_key(source, stream))
        }
        steps = {f"{source.name}__{stream.name}": (source, stream) for source, stream in pairs}
        return cls(steps, assets, sources[0].name if len(sources) == 1 else None)

    def name(self, step: str) -> str:
        """`source.stream`, or the step's own name."""
        return ".".join(one.name for one in self.of_step[step]) if step in self.of_step else step


@dataclass
class Evidence:
    """What a run left behind.

    failed   : of each step that failed, the class of its error and what the failure says about itself.
    went     : steps that succeeded.
    pulled   : partitions that each lake asset got.
    landed   : assets that were materialized, and not by a replay.
    rejected : records turned away, by lake asset.
    checks   : by asset and name, whether it passed; of those that matter: a warning counts as passed.
    """

    failed: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    went: set[str] = field(default_factory=set)
    pulled: dict[dg.AssetKey, set[str]] = field(default_factory=dict)
    landed: set[dg.AssetKey] = field(default_factory=set)
    rejected: dict[dg.AssetKey, int] = field(default_factory=dict)
    checks: dict[tuple[dg.AssetKey, str], bool] = field(default_factory=dict)


def concerns(known: Known, run: dg.DagsterRun, found: Evidence) -> bool:
    """Whether the run is to be told of: any of the code location, or those of one source where it is defined alone."""
    if known.alone is None:
        return True
    keys = {*(run.asset_selection or ()), *(key for key, _ in found.checks)}
    mine = run.tags.get("source") == known.alone or run.job_name.startswith(f"{known.alone}_")
    return mine or not keys.isdisjoint(known.of_asset) or not known.of_step.keys().isdisjoint(found.failed.keys() | found.went)


def evidence(instance: dg.DagsterInstance, run_id: str) -> Evidence:
    """Read the run's events."""
    found, cursor = Evidence(), None
    for _ in range(_PAGES):
        page = instance.get_records_for_run(run_id, cursor, _EVENTS, limit=_PAGE)
        for record in page.records:
            event = record.event_log_entry.dagster_event
            if event is not None:
                _take(found, event)
        cursor = page.cursor
        if not page.has_more:
            break
    return found


def _take(found: Evidence, event: dg.DagsterEvent) -> None:
    step = event.step_key or ""
    if event.is_step_success:
        found.went.add(step)
    elif event.is_step_failure:
        data = event.step_failure_data
        said = data.user_failure_data.metadata if data.user_failure_data else {}
        kind = data.error.cls_name if data.error else None
        found.failed[step] = (_plain(said, "error") or kind or "Error", said)
    elif event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key:
        if not replayed(event.step_materialization_data.materialization):
            found.landed.add(event.asset_key)
        if event.partition:
            found.pulled.setdefault(event.asset_key, set()).add(event.partition)
    elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        result = event.asset_check_evaluation_data
        serious = result.severity is dg.AssetCheckSeverity.ERROR
        found.checks[result.asset_key, result.check_name] = result.passed or not serious
        if result.check_name == HELD:
            found.rejected[result.asset_key] = int(_plain(result.metadata, "rejected") or 0)


def _plain(metadata: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - metadata is of any type
    value = metadata.get(name)
    return None if value is None else value.value


def failure_message(
    instance: dg.DagsterInstance, run: dg.DagsterRun, found: Evidence, known: Known, url: str | None, now: datetime
) -> Message:
    """What to tell of a run that failed: which streams, how much of each, why, since when, and what to do."""
    abouts = tuple(_about(instance, run, found, known, step) for step in found.failed)
    link = f"{url.rstrip('/')}/runs/{run.run_id}" if url else None
    lines: list[str] = []
    if not abouts:
        reason = run.tags.get(_REASON, _NO_REASON).lower().replace("_", " ")
        streams = sorted({known.of_asset[key] for key in run.asset_selection or () if key in known.of_asset})
        title = f"{', '.join(streams[:3]) or run.job_name}: the run failed, and none of its steps did ({reason})"
        lines.append("Its process was lost or never began. What was committed stays; the next run goes on from there.")
    elif len(abouts) == 1:
        title = _sentence(abouts[0], now)
        lines += _reason(abouts[0])
    else:
        title = f"{len(abouts)} streams failed: {', '.join(about.name for about in abouts)}"
        for about in abouts:
            lines += [_sentence(about, now), *_reason(about)]
    lines.append(f"Run {run.run_id[:8]}")
    return Message("failed", f"{run.run_id}.failed", title, tuple(lines), link, abouts)


def check_message(run: dg.DagsterRun, failing: Sequence[tuple[str, str]], url: str | None) -> Message:
    """What to tell of a run that succeeded, of which checks (of asset and name) failed that must not."""
    names = list(dict.fromkeys(asset for asset, _ in failing))
    title = "; ".join(f"{name}: check {', '.join(check for asset, check in failing if asset == name)} failed" for name in names)
    abouts = tuple(About(name, checks=tuple(check for asset, check in failing if asset == name)) for name in names)
    link = f"{url.rstrip('/')}/runs/{run.run_id}" if url else None
    lines = ("The run itself succeeded. What each check means and what to do is in docs/checks.md.", f"Run {run.run_id[:8]}")
    return Message("check", f"{run.run_id}.check", title, lines, link, abouts)


def recovery_message(run: dg.DagsterRun, again: Mapping[str, datetime], url: str | None, now: datetime) -> Message:
    """What to tell of streams that are right again, with when they were first told of."""
    abouts = tuple(About(name, since=(since.isoformat(), now.isoformat())) for name, since in again.items())
    title = "; ".join(f"{name}: green again after {_span((now - since).total_seconds())}" for name, since in again.items())
    link = f"{url.rstrip('/')}/runs/{run.run_id}" if url else None
    return Message("recovered", f"{run.run_id}.recovered", title, (f"Run {run.run_id[:8]}",), link, abouts)


def _about(instance: dg.DagsterInstance, run: dg.DagsterRun, found: Evidence, known: Known, step: str) -> About:
    error, said = found.failed[step]
    name = known.name(step)
    checks = tuple(check for (key, check), passed in found.checks.items() if not passed and known.of_asset.get(key) == name)
    why, remedy = _meaning(error), _plain(said, "remedy")
    if step not in known.of_step:
        return About(name, error, why, remedy, checks=checks)
    source, stream = known.of_step[step]
    key = lake_key(source, stream)
    pulled = len(found.pulled.get(key, ()))
    asked, missing = _asked(run, stream), int(_plain(said, "partitions missing") or 0)
    good = last_good(instance, key, run.run_id)
    return About(
        name,
        error,
        why,
        remedy,
        slices=asked or pulled + missing,
        missing=max(asked - pulled, missing),
        rejected=found.rejected.get(key, 0),
        checks=checks,
        last_good=good.isoformat() if good else None,
    )


def _meaning(error: str) -> str | None:
    """The first sentence on a class of our errors; what it says of one case may quote an API and is left in the log."""
    kind = getattr(errors, error, None)
    if not (isinstance(kind, type) and issubclass(kind, IntegrationError)):
        return None
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _asked(run: dg.DagsterRun, stream: Stream) -> int:
    """How many partitions the run names; 0 when it names none."""
    start, end = (run.tags.get(tag) for tag in _RANGE)
    if stream.partitions is None:
        return 0
    if not start or not end:
        return 1 if run.tags.get(_PARTITION) else 0
    try:
        first, last = stream.partitions.slice_of(start).start, stream.partitions.slice_of(end).end
    except SpecError:
        return 0
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return 0
    return len(list(stream.partitions.keys(first, last)))


def last_good(instance: dg.DagsterInstance, key: dg.AssetKey, but_for: str) -> datetime | None:
    """When the asset was last materialized by a run that succeeded, not `but_for`; None if not lately."""
    for record in instance.fetch_materializations(key, limit=_LOOKED_BACK).records:
        run = instance.get_run_by_id(record.run_id) if record.run_id != but_for else None
        if run is not None and run.status is dg.DagsterRunStatus.SUCCESS:
            return datetime.fromtimestamp(record.timestamp, UTC)
    return None


def _sentence(about: About, now: datetime) -> str:
    """`shop.orders: 3 of 30 slices failed, 1,204 records rejected, last good 02:10 UTC`."""
    parts = [f"{about.missing:,} of {about.slices:,} slices failed" if about.slices > 1 and about.missing else "failed"]
    if about.rejected:
        parts.append(f"{about.rejected:,} records rejected")
    if about.checks:
        parts.append(f"check {', '.join(about.checks)} failed")
    if about.last_good:
        good = datetime.fromisoformat(about.last_good)
        parts.append(f"last good {good:%H:%M} UTC" if good.date() == now.date() else f"last good {good:%Y-%m-%d %H:%M} UTC")
    return f"{about.name}: {', '.join(parts)}"


def _reason(about: About) -> list[str]:
    return [" ".join(part for part in (f"{about.error}:", about.why or "see the run.", about.remedy) if part)]


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    return f"{days} d {hours % 24} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
