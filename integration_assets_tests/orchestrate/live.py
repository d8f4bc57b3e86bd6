"""What the code server of the live tests loads: two shops at an address that the environment gives."""

import os
from pathlib import Path

import dagster as dg

from integration_assets.orchestrate import StoresResource, build
from integration_assets.spec import Limits, Source
from integration_assets_tests.orchestrate.shop import source


def sources() -> list[Source]:
    """A shop whose orders are backfilled, and one that is behind by its own clock."""
    url = os.environ["LIVE_SHOP_URL"]
    shop = source(url)
    orders, countries = shop.stream("orders"), shop.stream("countries")
    patient = Limits(
        attempts=1, wait_initial=0, wait_max=0, read_timeout=300, slices=1
    )  # for days that the test holds back, in turn
    late = source(url, name="late", streams=(orders,), clock_path="/clock", schedule=None, limits=patient)
    return [source(url, streams=(orders, countries), schedule="0 0 1 1 *", limits=patient), late]


def stores() -> StoresResource:
    """Lake and warehouse in the test's folder."""
    folder = Path(os.environ["LIVE_FOLDER"])
    return StoresResource(lake_uri=str(folder / "lake"), warehouse_uri=str(folder / "warehouse.duckdb"))


@dg.definitions
def defs() -> dg.Definitions:
    """Ours, with steps in the run's own process, which spares a process each."""
    made = build(sources(), {"stores": stores()})
    return dg.Definitions(
        assets=made.assets,
        asset_checks=made.asset_checks,
        jobs=made.jobs,
        schedules=made.schedules,
        sensors=made.sensors,
        resources=made.resources,
        executor=dg.in_process_executor,
    )
