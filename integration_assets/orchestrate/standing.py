"""Checks that time alone can fail: evaluated every hour, in a run that pulls nothing, takes no slot of a pool and asks no API.

They are one step a source, and not part of the stream's own: that one waits for its source's pool, which a long backfill fills.
"""

# No `from __future__ import annotations` here: Dagster reads the step's annotations as objects.
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.errors import IntegrationError
from integration_assets.orchestrate.checks.age import Age, freshness, frontier_lag
from integration_assets.orchestrate.checks.names import FRESHNESS, FRONTIER_LAG, standing_keys, standing_specs
from integration_assets.orchestrate.history import replayed
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.stores import Stores

JOB = "standing_checks"
_EVERY_HOUR = "23 * * * *"
_WAIT = 10.0
"""Seconds that a check waits for a merge that holds the warehouse."""
_RECENT = 20
_PULLS = frozenset({"committed", "empty"})
_EVALUATE = {FRESHNESS: freshness, FRONTIER_LAG: frontier_lag}


def standing_checks(source: Source) -> dg.AssetChecksDefinition | None:
    """Freshness and frontier lag of a source's streams as one step; None when none of them has limits. Needs `stores`."""
    specs = [spec for stream in source.streams for spec in standing_specs(source, stream)]
    if not specs:
        return None

    @dg.multi_asset_check(
        name=f"{source.name}__standing_checks",
        specs=specs,
        can_subset=True,
        description=f"How old the tables of {source.name} are, told by the lake and Dagster's own event log.",
    )
    def check(context: dg.AssetCheckExecutionContext, stores: StoresResource) -> Iterator[dg.AssetCheckResult]:
        there = stores.stores(context.log.info, wait=_WAIT)
        for stream in source.streams:
            wanted = {key.name for key in context.selected_asset_check_keys if key.asset_key == warehouse_key(source, stream)}
            if wanted:
                yield from _evaluated(context, source, stream, there, wanted)

    return check


def _evaluated(
    context: dg.AssetCheckExecutionContext, source: Source, stream: Stream, stores: "Stores", wanted: set[str]
) -> Iterator[dg.AssetCheckResult]:
    """The wanted checks of one stream. What cannot be told is a warning, and keeps no other stream's from being told."""
    try:
        age = _age(context.instance, source, stream, stores)
    except IntegrationError as error:
        yield from (_untold(source, stream, name, error) for name in sorted(wanted))
        return
    yield from (_EVALUATE[name](source, stream, age) for name in sorted(wanted))


def _age(instance: dg.DagsterInstance, source: Source, stream: Stream, stores: "Stores") -> Age:
    from integration_assets.land.state import EMPTY

    table = stores.table(source, stream)
    newest = table.state()
    version = stores.warehouse.version(source.name, stream.name) if newest.sequence else None
    state = EMPTY if version is None else newest if version == newest.version else table.state(version)
    ahead = newest.sequence - state.sequence
    # Records that came out of quarantine are no pull.
    pulled = [receipt for receipt in table.at(version).receipts(_RECENT) if receipt.outcome in _PULLS] if version else []
    pulls = [datetime.fromisoformat(receipt.finished_at) for receipt in pulled[:1]]
    event = instance.get_latest_materialization_event(lake_key(source, stream)) if not ahead else None
    if event is not None and not replayed(event.asset_materialization):
        # A pull that found nothing new leaves no commit, but Dagster knows of it.
        pulls.append(datetime.fromtimestamp(event.timestamp, UTC))
    return Age(datetime.now(UTC), max(pulls, default=None), state, pulled[0].clock_offset if pulled else 0.0, ahead)


def _untold(source: Source, stream: Stream, name: str, error: IntegrationError) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=warehouse_key(source, stream),
        check_name=name,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"It cannot be told: {error}",
    )


def standing_schedule(sources: Sequence[Source]) -> dg.ScheduleDefinition | None:
    """The hourly schedule, on from the start, with the job that evaluates all standing checks; None without any."""
    keys = [key for source in sources for key in standing_keys(source)]
    if not keys:
        return None
    # A source that is defined alone, as a component is, has a job of its own.
    name = JOB if len(sources) > 1 else f"{sources[0].name}_{JOB}"
    job = dg.define_asset_job(
        name,
        selection=dg.AssetSelection.checks(*keys),
        description="See how old every stream is, whether or not it was pulled. Asks no API.",
    )

    @dg.schedule(
        name=f"{name}_hourly",
        job=job,
        cron_schedule=_EVERY_HOUR,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Evaluates freshness and frontier lag once an hour, as soon as anything was ever pulled.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        tables = [warehouse_key(source, stream) for source in sources for stream in source.streams]
        # Where nothing was pulled yet there is nothing to be old.
        if not any(context.instance.get_latest_materialization_event(key) for key in tables):
            return dg.SkipReason("Nothing was pulled yet.")
        return dg.RunRequest()

    return tick
