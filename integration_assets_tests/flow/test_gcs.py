"""The same flow with the lake in a bucket, over the wire to the strict emulator."""

import os
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from integration_assets.errors import IntegrationError, LakeError, RescheduleError
from integration_assets.land import gcs
from integration_assets.spec.receipt import Receipt
from integration_assets.sync import sync
from integration_assets_tests.flow.conftest import EARLY, START
from integration_assets_tests.flow.world import World
from integration_assets_tests.gcs.process import GcsEmulator

DAYS = ["2013-01-03", "2013-01-01", "2013-01-02"]
_BUCKETS = count()
SOAK = bool(os.environ.get("INTEGRATION_SOAK"))


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsEmulator]:
    """One emulator for the folder."""
    with GcsEmulator(tmp_path_factory.mktemp("gcs")) as process:
        yield process


@pytest.fixture
def cloud(world: World, emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world with its lake in a fresh bucket."""
    emulator.clear_faults()
    for name, value in emulator.environ.items():
        monkeypatch.setenv(name, value)
    bucket = f"lake-{next(_BUCKETS)}"
    emulator.create_bucket(bucket)
    world.upstream.set_clock(EARLY)
    yield World(
        world.upstream, world.folder, {**emulator.environ, "INTEGRATION_LAKE_URI": f"gs://{bucket}/tables", "bucket": bucket}
    )
    emulator.clear_faults()


@pytest.mark.parametrize("stream", ["flights", "weather", "airports", *(["airlines", "planes"] if SOAK else [])])
def test_a_lake_in_a_bucket_equals_the_truth(cloud: World, stream: str) -> None:
    """Full load, a day's delta and a repeat end in the truth, by the lake's address alone; no local lake is made."""
    cloud.pull(stream)
    cloud.upstream.advance(20 * 3600)
    cloud.pull(stream)
    assert sum(receipt.accepted for receipt in cloud.pull(stream)) == 0
    assert cloud.rows(stream) == cloud.truth(stream)
    assert not (cloud.folder / "lake").exists()


def test_partitions_out_of_order_in_a_bucket(cloud: World) -> None:
    """Finished ranges, watermark and receipts live in the bucket's commits."""
    cloud.upstream.set_clock(START)
    for day in DAYS:
        cloud.pull("flights", [day])
    with cloud.feed("flights") as (feed, _):
        state = feed.table.state()
        assert len(state.finished) == 1
        assert state.receipt is not None
        assert feed.table.count() == sum(receipt.accepted for receipt in feed.table.receipts())


def test_of_two_racing_runs_one_commits(cloud: World) -> None:
    """The bucket's create-only write decides: one run commits the slice, the other ends cleanly and names it."""
    results: list[Receipt] = []
    barrier = threading.Barrier(2)

    def run(name: str) -> None:
        met = iter([True])

        def together(_: object) -> None:
            if next(met, False):
                barrier.wait(timeout=60)

        with cloud.feed("flights") as (feed, _):
            results.extend(sync(feed, name, partitions=DAYS[1:2], watch=together))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert sorted(receipt.outcome for receipt in results) == ["committed", "taken"]
    with cloud.feed("flights") as (feed, _):
        assert feed.table.count() == sum(receipt.accepted for receipt in results)


def test_a_missing_bucket_costs_no_request(cloud: World) -> None:
    """A bucket that is not there is named before the API is asked anything."""
    with (
        pytest.raises(LakeError, match="there is no bucket nowhere"),
        cloud.feed("flights", INTEGRATION_LAKE_URI="gs://nowhere/x"),
    ):
        pass
    assert cloud.upstream.requests() == {}


def test_a_bucket_without_permission_costs_no_request(cloud: World, emulator: GcsEmulator) -> None:
    """What the account lacks, and the role that gives it, is said before the API is asked anything."""
    emulator.deny(cloud.elsewhere["bucket"])
    with pytest.raises(LakeError, match=r"lacks storage.objects.create.*objectUser"), cloud.feed("flights"):
        pass
    assert cloud.upstream.requests() == {}


@pytest.mark.parametrize("action", ["503", "lost", *(["429", "reset"] if SOAK else [])])
def test_passing_faults_of_the_bucket_lose_and_double_nothing(cloud: World, emulator: GcsEmulator, action: str) -> None:
    """Errors, throttling, cut connections and lost answers on the way to the bucket end in the truth, at most a run later."""
    emulator.faults([{"action": action, "match": "PUT .*(parquet|_delta_log)", "times": 3, "skip": 1}])
    for _ in range(4):
        try:
            cloud.pull("flights")
        except (RescheduleError, LakeError):
            continue
        break
    assert sum(emulator.fired()) == 3
    emulator.clear_faults()
    cloud.pull("flights")
    assert cloud.rows("flights") == cloud.truth("flights")
    with cloud.feed("flights") as (feed, _):
        assert feed.table.count() == sum(receipt.accepted for receipt in feed.table.receipts(limit=500))


def test_a_bucket_that_is_down_is_a_reason_to_come_back(
    cloud: World, emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the bucket does not answer at all, the run ends as one to be rescheduled, and the API was not asked."""
    monkeypatch.setattr(gcs, "PATIENCE", 2.0)
    emulator.stop()
    try:
        with pytest.raises(IntegrationError) as caught, cloud.feed("flights"):
            pass
        assert isinstance(caught.value, RescheduleError)
        assert cloud.upstream.requests() == {}
    finally:
        emulator.__enter__()


def test_the_folder_is_not_needed_again(cloud: World, tmp_path: Path) -> None:
    """Another machine, with nothing but the address of the bucket, goes on from the watermark."""
    cloud.pull("flights")
    elsewhere = World(cloud.upstream, tmp_path / "other", cloud.elsewhere)
    (tmp_path / "other").mkdir()
    assert sum(receipt.accepted for receipt in elsewhere.pull("flights")) == 0
    assert elsewhere.rows("flights") == elsewhere.truth("flights")
