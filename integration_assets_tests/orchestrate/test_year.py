"""A year backfilled as the UI does it, over killed workers and refused days; takes minutes, so only with INTEGRATION_SOAK."""

import os
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from integration_assets_tests.orchestrate.daemon import Daemon, daemon
from integration_assets_tests.orchestrate.live import sources, stores
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, partitions, value
from integration_assets_tests.orchestrate.shop import KEY, Shop

DAYS = [str(date(2024, 3, 1) + timedelta(days=number)) for number in range(365)]
REFUSED = [DAYS[20], DAYS[200], DAYS[201]]
KILLED_AT = (40, 130, 260)
pytestmark = [
    pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="minutes long; set INTEGRATION_SOAK"),
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning"),
]


def test_a_year_of_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """365 days in runs of 31; three days refused, three workers killed; resumed once, every day is there, and none twice."""
    shop = Shop(clock=datetime(2025, 3, 5, tzinfo=UTC), broken=dict.fromkeys(REFUSED, 400))
    shop.fill(date(2024, 3, 1), days=len(DAYS), each=1)
    monkeypatch.setenv("LIVE_FOLDER", str(tmp_path))
    with shop.served():
        monkeypatch.setenv("LIVE_SHOP_URL", shop.url)
        with daemon(tmp_path, "integration_assets_tests.orchestrate.live", {"SHOP_KEY": KEY}) as live:
            _backfill(live, shop)
            made = Counter(partitions(live.events(LAKE)))
            lake = stores().stores().table(sources()[0], sources()[0].stream("orders"))
            rows = value(live.events(WAREHOUSE)[-1], "dagster/row_count")
            runs = live.instance.get_runs()
    assert set(made) == set(DAYS)
    assert rows == len(DAYS)
    assert lake.count() == len(DAYS), "no version landed twice"
    assert len(runs) < 12 + len(KILLED_AT) + 12
    again = {day: count for day, count in Counter(shop.asked).items() if count > 1}
    assert len(again) <= 31 * len(KILLED_AT) + len(REFUSED), (
        "only what a killed run had, and what was refused, is asked for twice"
    )


def _backfill(live: Daemon, shop: Shop) -> None:
    began, killed = monotonic(), 0
    first = live.backfill([LAKE, WAREHOUSE], DAYS)

    def done() -> bool:
        nonlocal killed
        if killed < len(KILLED_AT) and len(shop.asked) > KILLED_AT[killed]:
            (run, *_) = live.runs("dagster/backfill", first, started=True) or [None]
            if run is not None and _has_begun(live, run.run_id):
                live.kill(run.run_id)
                killed += 1
        return live.status(first) not in {"REQUESTED", "CANCELING", "FAILING"}

    live.until(done, limit=1800)
    assert killed == len(KILLED_AT)
    assert set(DAYS) - set(partitions(live.events(LAKE))) >= set(REFUSED)
    shop.broken.clear()
    again = live.resume(first)
    live.until(lambda: live.status(again) == "COMPLETED_SUCCESS", limit=1800)
    print(f"a year in {monotonic() - began:,.0f} s, {len(live.instance.get_runs())} runs, {len(shop.asked)} requests")  # noqa: T201


def _has_begun(live: Daemon, run_id: str) -> bool:
    return any("pid: " in entry.user_message for entry in live.instance.all_logs(run_id))
