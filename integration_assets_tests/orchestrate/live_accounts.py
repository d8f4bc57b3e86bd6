"""What the code server of the tenants' live test loads: orders by day and listed account."""

import os
from pathlib import Path

import dagster as dg

from integration_assets.orchestrate import StoresResource, build
from integration_assets_tests.flow.accounts import Accounts


@dg.definitions
def defs() -> dg.Definitions:
    """Ours, with steps in the run's own process, which spares a process each."""
    folder = Path(os.environ["LIVE_FOLDER"])
    api = Accounts(folder, url=os.environ["LIVE_URL"])
    source = api.source(api.daily(tenants=api.listed().tenants)).changed(schedule=None)
    stores = StoresResource(lake_uri=str(folder / "lake"), warehouse_uri=str(folder / "warehouse.duckdb"))
    made = build([source], {"stores": stores})
    return dg.Definitions(
        assets=made.assets,
        asset_checks=made.asset_checks,
        jobs=made.jobs,
        sensors=made.sensors,
        resources=made.resources,
        executor=dg.in_process_executor,
    )
