"""Runs the definitions in this process and asks Dagster's event log what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from integration_assets.orchestrate import StoresResource
from integration_assets.spec.source import Source, Stream

LAKE = dg.AssetKey(["shop", "orders"])
WAREHOUSE = dg.AssetKey(["warehouse", "shop", "orders"])
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@dataclass(frozen=True)
class Bench:
    """Definitions, and the instance and stores that they run on."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    stores: StoresResource

    def run(
        self,
        *keys: dg.AssetKey,
        partition: str | None = None,
        to: str | None = None,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets in one run: of no partition, of one, or of those from `partition` up to and with `to`."""
        asked = dict(tags or {})
        if partition:
            asked |= dict(zip(RANGE, (partition, to), strict=True)) if to else {"dagster/partition": partition}
        job = self.definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(keys))
        return job.execute_in_process(instance=self.instance, tags=asked, run_config=config, raise_on_error=False)

    def events(self, key: dg.AssetKey, run: dg.ExecuteInProcessResult | None = None) -> list[dg.AssetMaterialization]:
        """The asset's materializations in the order they were recorded, of one run or of all."""
        found = self.instance.fetch_materializations(key, limit=1000, ascending=True).records
        chosen = [record for record in found if run is None or record.run_id == run.run_id]
        return [record.asset_materialization for record in chosen if record.asset_materialization]

    def observations(self, key: dg.AssetKey) -> list[dg.AssetObservation]:
        """The asset's observations in the order they were recorded."""
        found = self.instance.fetch_observations(key, limit=1000, ascending=True).records
        return [record.asset_observation for record in found if record.asset_observation]

    def failure(self, run: dg.ExecuteInProcessResult) -> Any:  # noqa: ANN401 - Dagster's failure data
        """What the run's failed step said."""
        (event,) = [event for event in run.all_events if event.is_step_failure]
        return event.step_failure_data

    def checks(self, run: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
        """The run's check evaluations by name."""
        return {found.check_name: found for found in run.get_asset_check_evaluations()}

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What the warehouse answers."""
        rows: list[dict[str, Any]] = self.stores.stores().warehouse.query(sql).to_pylist()
        return rows

    def lake_count(self, source: Source, stream: Stream) -> int:
        """Record versions in the stream's lake table."""
        return self.stores.stores().table(source, stream).count()


def value(event: dg.AssetMaterialization | dg.AssetObservation, name: str) -> Any:  # noqa: ANN401 - metadata is of any type
    """The plain value of an event's metadata."""
    return event.metadata[name].value


def partitions(events: Sequence[dg.AssetMaterialization]) -> list[str | None]:
    """The partition of each event."""
    return [event.partition for event in events]
