"""A stream's two assets: its lake table, partitioned as the stream is, and its warehouse table downstream of it.

Both are one step. docs/decisions/0004-partition-events.md says why.
"""

# No `from __future__ import annotations` here: Dagster reads the step's annotations as objects.
from collections.abc import Iterator

import dagster as dg

from integration_assets.orchestrate.checks import check_specs
from integration_assets.orchestrate.failures import explained
from integration_assets.orchestrate.following import follows_lake
from integration_assets.orchestrate.modes import PullConfig, wanted
from integration_assets.orchestrate.partitions import stream_backfill
from integration_assets.orchestrate.pull import Event, Step, names_partitions
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.specs import lake_spec, warehouse_spec
from integration_assets.spec.source import Source, Stream


def stream_assets(source: Source, stream: Stream) -> dg.AssetsDefinition:
    """Lake and warehouse asset of a stream; either can be materialized alone. Needs the resource `stores`."""
    lake = lake_spec(source, stream)
    # Skippable: a dry run materializes nothing.
    warehouse = warehouse_spec(source, stream).replace_attributes(skippable=True, automation_condition=follows_lake())

    @dg.multi_asset(
        specs=[lake, warehouse],
        name=f"{source.name}__{stream.name}",
        can_subset=True,
        check_specs=check_specs(source, stream),
        backfill_policy=stream_backfill(stream),
        pool=source.name,
    )
    def step(context: dg.AssetExecutionContext, config: PullConfig, stores: StoresResource) -> Iterator[Event]:
        with explained(context):
            asked = wanted(source, stream, config, context.run.tags, partitions=names_partitions(context, stream))
            yield from Step(context, source, stream, stores, asked).run()

    return step
