"""Files that arrive ask for one run a batch; the same files ask for none, a rewritten one for another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from integration_assets.files import FileRef
from integration_assets.files.folder import _described
from integration_assets.orchestrate import build
from integration_assets.orchestrate.sensors import files, watch
from integration_assets.orchestrate.sensors.files import look
from integration_assets.orchestrate.sensors.memory import Memory
from integration_assets.spec import Csv, Cursor, Files, Partitions, Source, Stream
from integration_assets_tests.gcs.process import GcsEmulator
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.sensors.ticking import Ticking

CONTRACT = "integration_assets_tests.flow.test_files:Settlement"


def source(url: str, **changes: Any) -> Source:  # noqa: ANN401 - any setting of a stream
    """A partner who drops settlements."""
    stream = Stream(
        name="settlements",
        path="in",
        contract=CONTRACT,
        key=("id",),
        files=Files(pattern="*.csv", every=30),
        format=Csv(),
        cursor=Cursor(field="arrived"),
    )
    return Source(name="partner", base_url=url, streams=(stream.changed(**changes),))


class Clock:
    """The sensor's clock, which a test moves."""

    ahead = 0.0

    def time(self) -> float:
        """Seconds since 1970."""
        return datetime.now(UTC).timestamp() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Moves the sensor's clock instead of waiting until a file has rested."""
    clock = Clock()
    monkeypatch.setattr(watch, "now", clock.time)
    return clock


@dataclass
class Drop:
    """A folder into which files are dropped at the moments of the sensor's clock: a file system's own cannot be moved."""

    folder: Path
    clock: Clock
    written: dict[str, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The source's base URL."""
        return f"file://{self.folder.parent}"

    def write(self, name: str, text: str) -> None:
        """Drop a file."""
        (self.folder / name).write_text(text)
        self.written[name] = self.clock.ahead

    def described(self, name: str, found: os.stat_result) -> FileRef:
        """The file with the moment at which it was dropped."""
        ref = _described(name, found)
        return replace(ref, arrived=ref.arrived + timedelta(seconds=self.written[name]))


@pytest.fixture
def drop(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Drop:
    """An empty folder."""
    drop = Drop(tmp_path / "drop" / "in", clock)
    drop.folder.mkdir(parents=True)
    monkeypatch.setattr("integration_assets.files.folder._described", drop.described)
    return drop


@pytest.fixture
def ticking(drop: Drop, tmp_path: Path) -> Iterator[Ticking]:
    """The sensor, not ticked yet."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticking(make_bench(source(drop.url), tmp_path, instance), "partner_files")


def test_there_is_a_sensor_only_for_files_and_it_is_stopped() -> None:
    """Loading looks into no folder and switches nothing on."""
    sensor = build([source("file:///nowhere")]).get_repository_def().get_sensor_def("partner_files")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert sensor.minimum_interval_seconds == 30


def test_files_that_arrive_are_one_run_and_land(drop: Drop, ticking: Ticking, clock: Clock) -> None:
    """An empty folder asks for nothing; two files ask for one run, which reads both; then there is nothing to do."""
    clock.ahead = -600
    assert ticking.tick().skip_message == "settlements: nothing yet"
    drop.write("a.csv", "id,amount\n1,10\n")
    drop.write("b.csv", "id,amount\n2,20\n")
    drop.write("c.csv.part", "id,amount\n3,30\n")
    clock.ahead = 0
    (run,) = ticking.go()
    assert run.success
    clock.ahead = 60
    assert ticking.tick().skip_message == "settlements: unchanged"


def test_the_same_files_ask_once_and_a_rewritten_one_again(drop: Drop, ticking: Ticking, clock: Clock) -> None:
    """A file is known by its content's arrival: a rewritten one is new, one that is deleted is no news."""
    drop.write("a.csv", "id,amount\n1,10\n")
    clock.ahead = 60
    assert len(ticking.end()) == 1
    clock.ahead = 120
    assert not ticking.end()
    drop.write("a.csv", "id,amount\n1,11\n")
    clock.ahead = 180
    assert len(ticking.end()) == 1
    (drop.folder / "a.csv").unlink()
    clock.ahead = 240
    assert not ticking.end()


def test_a_file_that_has_not_rested_waits(drop: Drop, tmp_path: Path, clock: Clock) -> None:
    """A run that would end its slice before the file is not asked for, and the file is not taken for done."""
    resting = source(drop.url, cursor=Cursor(field="arrived", safety_lag=timedelta(minutes=10)))
    drop.write("a.csv", "id,amount\n1,10\n")
    with dg.DagsterInstance.ephemeral() as instance:
        ticking = Ticking(make_bench(resting, tmp_path, instance), "partner_files")
        assert len(ticking.end()) == 1  # what was there before the first look, as far as it has rested
        clock.ahead = 60
        assert "not final yet" in ticking.tick().skip_message
        clock.ahead = 700
        assert len(ticking.end()) == 1
        clock.ahead = 760
        assert ticking.tick().skip_message == "settlements: unchanged"


def test_a_failed_run_loses_no_file(drop: Drop, ticking: Ticking, clock: Clock) -> None:
    """Files of a run that failed are asked for again, although nothing new arrived."""
    drop.write("a.csv", "id,amount\n1,10\n")
    clock.ahead = 60
    ticking.end(dg.DagsterRunStatus.FAILURE)
    clock.ahead = 120
    assert "the run failed 1 times" in ticking.tick().skip_message
    clock.ahead = 600
    assert len(ticking.end()) == 1


def test_a_folder_that_is_gone_is_a_skip_that_names_it(drop: Drop, ticking: Ticking) -> None:
    """A share that is not mounted is no empty folder."""
    drop.folder.rmdir()
    assert "there is no folder" in ticking.tick().skip_message


@pytest.mark.usefixtures("one_day")
def test_files_of_a_day_are_pulled_into_their_partition(drop: Drop, tmp_path: Path, clock: Clock) -> None:
    """With partitions by arrival, a file of yesterday is pulled with yesterday, once that is over."""
    today = datetime.now(UTC).date()
    daily = source(drop.url, partitions=Partitions(every="day", start=today - timedelta(days=9)))
    with dg.DagsterInstance.ephemeral() as instance:
        ticking = Ticking(make_bench(daily, tmp_path, instance), "partner_files")
        clock.ahead = -86_400
        drop.write("a.csv", "id,amount\n1,10\n")
        ticking.end()
        clock.ahead = 60
        assert [request.partition_key for request in ticking.end()] == [(today - timedelta(days=1)).isoformat()]


def test_a_snapshot_of_files_changes_when_one_is_deleted(drop: Drop) -> None:
    """Where all files together are the table, a file that is taken away changes it."""
    snapshot = source(drop.url, cursor=None, disposition="replace", key=())
    stream = snapshot.streams[0]
    assert look(snapshot, stream, Memory()).value is None
    drop.write("a.csv", "id,amount\n")
    first = look(snapshot, stream, Memory())
    (drop.folder / "a.csv").unlink()
    assert look(snapshot, stream, Memory(seen=first.value)).value not in {None, first.value}


def test_a_listing_that_is_too_long_goes_on_with_the_next_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket of millions is looked through in parts, each tick behind the last, and then from the start."""
    monkeypatch.setattr(files, "LISTED", 2)
    with GcsEmulator(tmp_path / "gcs") as emulator:
        for name, value in emulator.environ.items():
            monkeypatch.setenv(name, value)
        emulator.create_bucket("drop")
        client = emulator.client()
        for name in ("e", "d", "c", "b", "a"):
            client.bucket("drop").blob(f"in/{name}.csv").upload_from_string(b"id,amount\n")
        client.close()
        drop = source("gs://drop")
        memory, places = Memory(), []
        for now in range(1, 5):
            memory = memory.look(look(drop, drop.streams[0], memory), float(now))
            places.append(memory.after)
    assert places == ["b.csv", "d.csv", "", "b.csv"]
    assert str(memory.seen).endswith(" a.csv")
