"""What the code server of the live test loads: an API that is probed, and a folder into which files are dropped."""

import os
from pathlib import Path

import dagster as dg

from integration_assets.orchestrate import StoresResource, build
from integration_assets.orchestrate.sensors import alerts
from integration_assets_tests.orchestrate.sensors import test_changes, test_files


@dg.definitions
def defs() -> dg.Definitions:
    """Ours, with steps in the run's own process, and alerts without half a minute between two looks."""
    folder = Path(os.environ["LIVE_FOLDER"])
    alerts.INTERVAL = 1
    api = test_changes.source(os.environ["LIVE_URL"])
    sources = [api.changed(streams=(api.stream("orders"),)), test_files.source(f"file://{folder}/drop")]
    stores = StoresResource(lake_uri=str(folder / "lake"), warehouse_uri=str(folder / "warehouse.duckdb"))
    made = build(sources, {"stores": stores})
    return dg.Definitions(
        assets=made.assets,
        asset_checks=made.asset_checks,
        jobs=made.jobs,
        schedules=made.schedules,
        sensors=made.sensors,
        resources=made.resources,
        executor=dg.in_process_executor,
    )
