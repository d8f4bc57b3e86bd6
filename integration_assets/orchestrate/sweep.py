"""Key sweeps by Dagster: a job and a schedule for each stream that has a sweep.

What a sweep did is an observation on the warehouse's table. It is no materialization: a table that was swept was not pulled, and
must not look fresh for it.
"""

# No `from __future__ import annotations` here: Dagster reads the step's annotations as objects.
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from integration_assets.errors import SpecError
from integration_assets.orchestrate.automation import runs_by_itself
from integration_assets.orchestrate.failures import explained
from integration_assets.orchestrate.metadata import Metadata, bullets, markdown_table
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.specs import warehouse_key
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.sweep import Swept
    from integration_assets.transform.showing import Showing


class SweepConfig(dg.Config):
    """Whether to write, and what may be deleted for this once."""

    dry_run: bool = Field(default=False, description="Say what would be deleted, and write nothing.")
    threshold: float | None = Field(default=None, ge=0, le=1, description="In place of the spec's, for this run alone.")
    tenants: list[str] = Field(default=[], description="Of these tenants; of all when empty.")


def sweep_job(source: Source, stream: Stream) -> dg.JobDefinition | None:
    """`<source>_<stream>_sweep`; None for a stream without a sweep."""
    if stream.sweep is None:
        return None
    name = _name(source, stream)
    return dg.GraphDefinition(name=name, node_defs=[_step(source, stream)]).to_job(
        name=name,
        description=f"Hold the API's list of all keys against the table of {stream.name}, and delete softly what is not in it.",
        tags={"source": source.name},
    )


def sweep_schedule(source: Source, stream: Stream) -> dg.ScheduleDefinition | None:
    """The schedule of the same name; None without one. Raises `SpecError` for a cron that is none."""
    if stream.sweep is None or stream.sweep.schedule is None:
        return None
    name, cron = _name(source, stream), stream.sweep.schedule
    try:
        return dg.ScheduleDefinition(
            name=name,
            job_name=name,
            cron_schedule=cron,
            execution_timezone=source.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING if runs_by_itself() else dg.DefaultScheduleStatus.STOPPED,
            description=f"{name} at {cron} ({source.timezone}).",
        )
    except dg.DagsterInvalidDefinitionError:
        raise SpecError(
            f"{cron!r} is no cron",
            source=source.name,
            stream=stream.name,
            field="sweep.schedule",
            remedy="Write five fields, such as 30 4 * * 0 for Sundays at 4:30; None has no schedule.",
        ) from None


def _name(source: Source, stream: Stream) -> str:
    return f"{source.name}_{stream.name}_sweep"


def _step(source: Source, stream: Stream) -> dg.OpDefinition:
    @dg.op(name=f"{source.name}__{stream.name}__sweep", pool=source.name, out=dg.Out(dg.Nothing))
    def step(context: dg.OpExecutionContext, config: SweepConfig, stores: StoresResource) -> None:
        with explained(context):
            for event in _swept(source, stream, context, config, stores):
                context.log_event(event)

    return step


def _swept(
    source: Source, stream: Stream, context: dg.OpExecutionContext, config: SweepConfig, stores: StoresResource
) -> Iterator[dg.AssetObservation]:
    """Sweep, telling of each tenant as it is done, before the error of those that were refused."""
    from integration_assets.feed import open_feeds
    from integration_assets.sweep import sweep
    from integration_assets.transform.showing import Showing

    there, settings, say = stores.stores(context.log.info), stores.settings(), context.log.info
    actor = context.run.tags.get("user") or "dagster"
    with open_feeds(source, there, settings, [stream], say) as (feed,):
        showing = Showing(feed.contract, settings.mask_key)
        for swept in sweep(
            feed,
            there,
            context.run.run_id,
            actor,
            tenants=config.tenants or None,
            threshold=config.threshold,
            dry_run=config.dry_run,
        ):
            context.log.info("%s", swept.receipt.sentence)
            yield dg.AssetObservation(warehouse_key(source, stream), metadata=_metadata(swept, showing))


def _metadata(swept: "Swept", showing: "Showing") -> Metadata:
    value, receipt = dg.MetadataValue, swept.receipt
    counts = {
        "keys listed": receipt.listed,
        "rows live before": receipt.live,
        "rows deleted": receipt.deleted,
        "rows revived": receipt.revived,
        "rows not listed": receipt.unlisted,
        "deleted rows listed": receipt.returned,
        "rows that may be deleted": receipt.allowed,
        "keys without a row": receipt.unknown,
        "pages": receipt.pages,
        "requests": receipt.requests,
    }
    rows = [showing.row(row) for row in swept.examples]
    return {
        "sweep": value.text(receipt.outcome),
        "swept at": value.text(receipt.swept_at),
        "by": value.text(receipt.actor),
        **({"tenant": value.text(receipt.tenant)} if receipt.tenant is not None else {}),
        **{name: value.int(count) for name, count in counts.items()},
        **({"refused": value.text(receipt.refused)} if receipt.refused else {}),
        **({"lake version": value.int(receipt.version)} if receipt.version is not None else {}),
        **({"warnings": value.md(bullets(receipt.warnings))} if receipt.warnings else {}),
        **({"not listed": value.md(markdown_table(rows))} if rows else {}),
        "receipt": value.json(receipt.to_dict()),
    }
