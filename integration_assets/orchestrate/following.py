"""How the warehouse follows the lake by itself, where the run that pulled did not get to the merge."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from integration_assets.orchestrate.automation import CATCH_UP, priority, runs_by_itself
from integration_assets.orchestrate.specs import warehouse_key
from integration_assets.spec.source import Source

SENSOR = "warehouse_follows_lake"
_AGAIN = "11 * * * *"


def follows_lake() -> dg.AutomationCondition[dg.AssetKey]:
    """Merge when the lake was updated after the last merge and nothing of the two is under way; a merge that failed, hourly.

    `eager()` would wait for ever here: it wants every partition of the lake, and a lake may begin in the middle of its history.
    """
    condition = dg.AutomationCondition
    ahead = condition.any_deps_match(condition.newly_updated()).since(condition.newly_updated())
    free = ~condition.in_progress() & ~condition.any_deps_in_progress()
    willing = ~condition.execution_failed() | condition.cron_tick_passed(_AGAIN)
    return (ahead.with_label("lake_is_ahead") & free & willing).with_label("follows_lake")


def following_sensor(sources: Sequence[Source]) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates `follows_lake` for the warehouse's tables of all sources, every half minute."""
    keys = [warehouse_key(source, stream) for source in sources for stream in source.streams]
    return dg.AutomationConditionSensorDefinition(
        # A source that is defined alone, as a component is, has a sensor of its own.
        name=SENSOR if len(sources) != 1 else f"{sources[0].name}_{SENSOR}",
        target=dg.AssetSelection.assets(*keys),
        default_status=dg.DefaultSensorStatus.RUNNING if runs_by_itself() else dg.DefaultSensorStatus.STOPPED,
        run_tags=priority(CATCH_UP),
        description="Merges what a run that was killed or failed had landed in the lake.",
    )
