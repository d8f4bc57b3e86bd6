"""Backfills as the UI starts them, over real processes: cancelled, resumed, beside the night; and a catch-up by the daemon."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from threading import Event

import dagster as dg
import pytest

from integration_assets.orchestrate import build
from integration_assets_tests.orchestrate.daemon import Daemon, daemon
from integration_assets_tests.orchestrate.live import sources, stores
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench, partitions, value
from integration_assets_tests.orchestrate.shop import KEY, Shop

LATE = dg.AssetKey(["late", "orders"])
SUCCESS, CANCELED = "COMPLETED_SUCCESS", "CANCELED"
# Dagster's own mutations call what it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`:DeprecationWarning")


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


def days(*numbers: int) -> list[str]:
    """Days of March 2024."""
    return [f"2024-03-{number:02}" for number in numbers]


def test_a_backfill_is_cancelled_and_resumed_beside_the_night(live: Daemon, shop: Shop) -> None:
    """Days with holes between them run as far as the limits let them; a night passes them by; what was done is not done again."""
    held = Event()
    shop.held = dict.fromkeys(days(2, 5), held)
    wanted = days(1, 2, 4, 5, 7)
    backfill = live.backfill([LAKE, WAREHOUSE], wanted)
    live.until(lambda: Counter(shop.asked) >= Counter(days(1, 2, 4, 5)))

    under_way = live.runs(started=True, dagster_backfill=backfill)
    assert len(live.runs(dagster_backfill=backfill)) == 3
    assert len(under_way) == 2, "the limit for backfills leaves room"
    night = live.launch("shop_sync", {"dagster/priority": "10"})
    live.until(lambda: (run := live.instance.get_run_by_id(night)) is not None and run.is_finished)
    assert live.instance.get_run_by_id(night).status is dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
    assert len(live.runs(started=True, dagster_backfill=backfill)) == 2
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


def test_the_daemon_catches_up(live: Daemon, shop: Shop) -> None:
    """The sensor's own run, queued and launched by the daemon, pulls the days that were missed, and marks them while it does."""
    late = sources()[1]
    assert late.stream("orders").partitions is not None
    held = Event()
    seen: list[set[str]] = []

    def look() -> None:
        from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

        from integration_assets.orchestrate.partitions import partitions_def

        made = partitions_def(late.stream("orders").partitions)  # type: ignore[arg-type]
        status = get_and_update_asset_status_cache_value(live.instance, LATE, made)
        assert status is not None
        seen.append(set(status.deserialize_in_progress_partition_subsets(made).get_partition_keys()))

    assert Bench(build([late], {"stores": stores()}), live.instance, stores()).run(LATE, partition="2024-03-01").success
    shop.asked.clear()
    shop.held = {"2024-03-02": held}
    live.until(lambda: shop.asked == days(2), sensors=True)
    look()
    held.set()
    live.until(lambda: len(live.events(LATE)) == 4)

    assert seen == [set(days(2, 3, 4))]
    assert partitions(live.events(LATE)) == days(1, 2, 3, 4)
    (run,) = [run for run in live.instance.get_runs() if "integration_assets/catch_up" in run.tags]
    live.until(lambda: (found := live.instance.get_run_by_id(run.run_id)) is not None and found.is_finished)
    assert value(live.events(dg.AssetKey(["warehouse", "late", "orders"]))[-1], "dagster/row_count") == 12
    assert run.tags["dagster/priority"] == "5"
