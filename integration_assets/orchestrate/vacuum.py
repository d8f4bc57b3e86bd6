"""The lake kept small by Dagster: a job for each source, and one schedule a week."""

# No `from __future__ import annotations` here: Dagster reads the step's annotations as objects.
from datetime import timedelta

import dagster as dg
from pydantic import Field

from integration_assets.orchestrate.automation import runs_by_itself
from integration_assets.orchestrate.failures import explained
from integration_assets.orchestrate.metadata import markdown_table
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.spec.source import Source

_WEEKLY = "40 4 * * 0"
_SHOWN = 100


class VacuumConfig(dg.Config):
    """How old a file must be, and whether to delete at all."""

    older_than_days: int = Field(default=7, ge=1, description="Only files that were written, or replaced, so many days ago.")
    dry_run: bool = Field(default=False, description="Say what would be deleted, and delete nothing.")


def vacuum_schedule(source: Source) -> dg.ScheduleDefinition:
    """`<source>_vacuum` with its weekly schedule: the lake's files that nothing needs are deleted, small ones joined.

    Asks no API and takes no slot of a pool.
    """

    @dg.op(name=f"{source.name}__vacuum", out=dg.Out(dg.Nothing))
    def step(context: dg.OpExecutionContext, config: VacuumConfig, stores: StoresResource) -> None:
        from integration_assets.upkeep import vacuum

        age = timedelta(days=config.older_than_days)
        with explained(context):
            kept = list(vacuum(source, source.streams, stores.stores(context.log.info), age, dry_run=config.dry_run))
        rows = [
            {
                "table": one.name,
                "files": len(one.waste),
                "half-written": one.half_written,
                "bytes": one.bytes,
                "joined": one.joined,
                "error": str(one.error or ""),
            }
            for one in kept
            if one.waste or one.joined or one.error
        ]
        context.add_output_metadata(
            {
                "files": sum(len(one.waste) for one in kept),
                "bytes freed": 0 if config.dry_run else sum(one.bytes for one in kept),
                "files joined": sum(one.joined for one in kept),
                **({"tables": dg.MetadataValue.md(markdown_table(rows[:_SHOWN], 300))} if rows else {}),
            }
        )
        with explained(context):
            for one in kept:
                if one.error:
                    raise one.error

    name = f"{source.name}_vacuum"
    job = dg.GraphDefinition(name=name, node_defs=[step]).to_job(
        name=name,
        description=f"Delete files of {source.name} in the lake that nothing needs any more, and join small ones. Asks no API.",
        tags={"source": source.name},
    )
    return dg.ScheduleDefinition(
        name=f"{name}_weekly",
        job=job,
        cron_schedule=_WEEKLY,
        default_status=dg.DefaultScheduleStatus.RUNNING if runs_by_itself() else dg.DefaultScheduleStatus.STOPPED,
        description="Once a week, early on Sunday.",
    )
