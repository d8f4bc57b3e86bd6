"""Backfills as the UI starts them, over real processes: cancelled, resumed, beside the night; and a catch-up by the daemon."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from threading import Event

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from integration_assets.orchestrate import build
from integration_assets.orchestrate.attempts import CATCH_UP_TAG
from integration_assets.orchestrate.partitions import partitions_def
from integration_assets.spec import Stream
from integration_assets_tests.orchestrate.daemon import Daemon, daemon
from integration_assets_tests.orchestrate.live import sources, stores
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench, partitions, value
from integration_assets_tests.orchestrate.shop import KEY, Shop

LATE = dg.AssetKey(["late", "orders"])
SUCCESS, CANCELED = "COMPLETED_SUCCESS", "CANCELED"
# Dagster's own mutations and loops call what Dagster and Python deprecate.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Three orders on each of the first ten days of March 2024; it is the fifth in the morning by the API's clock."""
    api = Shop(clock=datetime(2024, 3, 5, 9, tzinfo=UTC))
    api.fill(date(2024, 3, 1), days=10, each=3)
    with api.served():
        yield api


@pytest.fixture(scope="module")
def live(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The daemon over both shops."""
    home = tmp_path_factory.mktemp("live")
    environ = {"LIVE_SHOP_URL": shop.url, "LIVE_FOLDER": str(home), "SHOP_KEY": KEY, "INTEGRATION_AUTOMATION": "on"}
    with daemon(home, "integration_assets_tests.orchestrate.live", environ) as running:
        yield running


def in_progress(live: Daemon, key: dg.AssetKey, stream: Stream) -> set[str]:
    """The partitions that the catalogue shows as being pulled."""
    assert stream.partitions is not None
    made = partitions_def(stream.partitions)
    status = get_and_update_asset_status_cache_value(live.instance, key, made)
    assert status is not None
    return set(status.deserialize_in_progress_partition_subsets(made).get_partition_keys())


def days(*numbers: int) -> list[str]:
    """Days of March 2024."""
    return [f"2024-03-{number:02}" for number in numbers]


@pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="half a minute long; set INTEGRATION_SOAK")
def test_a_backfill_is_cancelled_and_resumed_beside_the_night(live: Daemon, shop: Shop) -> None:
    """Days with holes between them run as far as the limits let them; a night passes them by; what was done is not done again."""
    held = Event()
    shop.held = dict.fromkeys(days(2, 5), held)
    wanted = days(1, 2, 4, 5, 7)
    backfill = live.backfill([LAKE, WAREHOUSE], wanted)
    live.until(lambda: Counter(shop.asked) >= Counter(days(1, 2, 4, 5)))

    under_way = live.runs("dagster/backfill", backfill, started=True)
    assert len(live.runs("dagster/backfill", backfill)) == 3
    assert len(under_way) == 2, "the limit for backfills leaves room"
    night = live.launch("shop_sync", {"dagster/priority": "10"})
    live.until(lambda: (run := live.instance.get_run_by_id(night)) is not None and run.is_finished)
    assert live.instance.get_run_by_id(night).status is dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
    assert len(live.runs("dagster/backfill", backfill, started=True)) == 2
    done = [event.partition for event in live.events(LAKE) if str(event.partition) < "2025"]
    assert sorted(map(str, done)) == days(1, 4), "an event as each day commits"

    live.cancel(backfill)
    live.until(lambda: live.status(backfill) == CANCELED)
    held.set()
    again = live.resume(backfill)
    live.until(lambda: live.status(again) == SUCCESS)

    made = Counter(partitions([event for event in live.events(LAKE) if str(event.partition) < "2025"]))
    assert made == Counter(wanted), "every day once, and none twice"
    assert Counter(shop.asked)["2024-03-01"] == 1
    assert value(live.events(WAREHOUSE)[-1], "dagster/row_count") == 15
    metadata = {event.partition: value(event, "receipt")["partition"] for event in live.events(LAKE)}
    assert all(partition == named for partition, named in metadata.items())


def test_the_daemon_catches_up_over_a_kill(live: Daemon, shop: Shop) -> None:
    """The sensor's own run pulls the days that were missed and marks them; its process is killed, and the next goes on."""
    late, warehouse = sources()[1], dg.AssetKey(["warehouse", "late", "orders"])
    assert Bench(build([late], {"stores": stores()}), live.instance, stores()).run(LATE, partition="2024-03-01").success
    shop.asked.clear()
    held = Event()
    shop.held = {"2024-03-03": held}
    # The other shop has no clock of its own, so its catch-up asks for yesterday, before or after these.
    live.until(lambda: [day for day in shop.asked if day < "2025"] == days(2, 3), sensors=True)
    live.until(lambda: len(live.events(LATE)) == 2)
    assert in_progress(live, LATE, late.stream("orders")) == set(days(3, 4))

    (first,) = live.runs(CATCH_UP_TAG, "late.orders")
    live.kill(first.run_id)
    held.set()
    live.until(lambda: len(live.events(warehouse)) == 1)
    again, _ = live.runs(CATCH_UP_TAG, "late.orders")
    assert again.parent_run_id == first.run_id
    live.until(lambda: (found := live.instance.get_run_by_id(again.run_id)) is not None and found.is_finished)
    assert live.instance.get_run_by_id(first.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
    assert partitions(live.events(LATE)) == days(1, 2, 2, 3, 4)
    assert value(live.events(warehouse)[-1], "dagster/row_count") == 12
