"""Accounts by day over real processes: found by a sensor, caught up by another, backfilled with holes, pulled by a night."""

import os
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from integration_assets_tests.flow.accounts import KEYS, START, Accounts
from integration_assets_tests.orchestrate.daemon import daemon

LAKE, WAREHOUSE = dg.AssetKey(["accounts", "orders"]), dg.AssetKey(["warehouse", "accounts", "orders"])
# Dagster's own mutations and loops call what is deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning"),
]


@pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="long; set INTEGRATION_SOAK")
def test_tenants_from_the_first_look_to_the_backfill(tmp_path: Path) -> None:
    """What the API lists becomes partitions, their last day is pulled, chosen days of chosen tenants are, and no others."""
    accounts = Accounts(tmp_path, now=START + timedelta(days=3, hours=2))
    accounts.fill()
    with accounts.served():
        environ = {"LIVE_URL": accounts.url, "LIVE_FOLDER": str(tmp_path), "INTEGRATION_AUTOMATION": "on"}
        with daemon(tmp_path, "integration_assets_tests.orchestrate.live_accounts", environ) as live:
            last = {f"2024-03-03|{key}" for key in KEYS}
            live.until(lambda: live.instance.get_materialized_partitions(LAKE) == last, sensors=True)
            live.until(lambda: all(run.is_finished for run in live.instance.get_runs()))
            assert live.instance.get_dynamic_partitions("accounts__accounts") == list(KEYS)
            (caught_up,) = live.instance.get_runs()
            assert "integration_assets/catch_up" in caught_up.tags

            accounts.asked.clear()
            chosen = {("eu", 1), ("eu", 2), ("us", 1), ("a/p 1", 2)}
            backfill = live.backfill([LAKE, WAREHOUSE], [f"2024-03-0{day}|{key}" for key, day in chosen])
            live.until(lambda: live.status(backfill) == "COMPLETED_SUCCESS")
            assert live.instance.get_materialized_partitions(LAKE) == last | {f"2024-03-0{day}|{key}" for key, day in chosen}
            assert {(key, query["since"][:10]) for key, query in accounts.asked} == {(key, f"2024-03-0{n}") for key, n in chosen}
            assert accounts.rows("account, id") == sorted({*chosen, *((key, 3) for key in KEYS)})

            accounts.now += timedelta(days=1)
            night = live.launch("accounts_sync", {})
            live.until(lambda: (run := live.instance.get_run_by_id(night)) is not None and run.is_finished)
            assert live.instance.get_run_by_id(night).status is dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
            assert {f"2024-03-04|{key}" for key in KEYS} <= live.instance.get_materialized_partitions(LAKE)
