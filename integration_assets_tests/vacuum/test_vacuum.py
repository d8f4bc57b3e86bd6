"""What a vacuum takes and what it leaves, on a lake that was filled by real syncs."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from rich.console import Console

from integration_assets.cli.vacuum import run_vacuum
from integration_assets.errors import IntegrationError, LakeError, SpecError
from integration_assets.feed import Feed
from integration_assets.land import lake
from integration_assets.land.checkpoints import FOLDER, Checkpoint
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.orchestrate.build import build
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.settings import Settings
from integration_assets.spec import Receipt, Slice
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets.upkeep import Kept, vacuum
from integration_assets_tests.flow.mini import Mini

OLD = timedelta(days=30)
SCHEMA = pa.schema([("id", pa.int64()), ("turn", pa.int64())])
KILLED = """
import os, sys
import pyarrow as pa
from integration_assets.land.lake import Lake
table = Lake(sys.argv[1]).table("mini", "items")
schema, size = table.schema(), 70_000
nulls = {name: pa.nulls(size, schema.field(name).type) for name in schema.names}
whole, half = table.writer(schema), table.writer(schema)
whole.write(pa.table(nulls))
whole.finish()
while not any("#" in name for name in os.listdir(table.uri)):
    half.write(pa.table({**nulls, "_run_id": pa.array([os.urandom(60).hex() for _ in range(size)])}))
os._exit(9)
"""


@pytest.fixture
def mini(tmp_path: Path) -> Iterator[Mini]:
    """Serve an API of a few items."""
    with Mini(tmp_path, [{"id": one, "seq": one, "value": one} for one in range(5)]).served() as served:
        yield served


def age(folder: str | Path, by: timedelta = OLD) -> None:
    """Make every file in a folder look as if it was written so long ago."""
    moment = time.time() - by.total_seconds()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            os.utime(path, (moment, moment))


def names(folder: str) -> set[str]:
    """The files in a table's folder, without the log's."""
    return {path.name for path in Path(folder).iterdir() if path.is_file()}


def clean(feed: Feed, stores: Stores, *, days: float = 8, dry_run: bool = False) -> list[Kept]:
    """A vacuum, so many days from now."""
    later = datetime.now(UTC) + timedelta(days=days)
    return list(vacuum(feed.source, [feed.stream], stores, dry_run=dry_run, now=later))


def put(mini: Mini, number: int) -> None:
    """One more item."""
    mini.records.append({"id": 100 + number, "seq": 100 + number, "value": number})


def test_what_killed_runs_left_goes_and_nothing_else(mini: Mini, tmp_path: Path) -> None:
    """Half-written and whole files of killed runs go once they are old; those of a run that may go on, and the table's, stay."""
    mini.pull()
    with mini.feed(mini.stream()) as (feed, stores):
        whole = names(feed.table.uri)
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "lake")], check=False, timeout=120)  # noqa: S603
        assert done.returncode == 9
        left = names(feed.table.uri) - whole
        assert len(left) == 2
        assert any("#" in name for name in left)
        assert [one.waste for one in clean(feed, stores, days=1)] == [(), ()]
        found = clean(feed, stores, dry_run=True)[0]
        assert ({file.path for file in found.waste}, found.half_written) == (left, 1)
        assert names(feed.table.uri) == whole | left
        age(feed.table.uri)
        out = Console(width=200, record=True)
        run_vacuum([(feed.source, [feed.stream])], _settings(tmp_path), out, "7d", dry_run=False)
        assert "mini.items" in out.export_text()
        assert names(feed.table.uri) == whole
        assert clean(feed, stores)[0].waste == ()
    assert mini.rows() == [(one, one) for one in range(5)]


def _settings(folder: Path) -> Settings:
    warehouse = str(folder / "warehouse.duckdb")
    return Settings.from_environ({"INTEGRATION_LAKE_URI": str(folder / "lake"), "INTEGRATION_WAREHOUSE_URI": warehouse})


def test_joined_files_stay_until_the_warehouse_has_them(mini: Mini) -> None:
    """Small commits are joined without a row more or less; the files that a merge still reads one by one stay until it did."""
    mini.pull()
    with mini.feed(mini.stream()) as (feed, stores):
        first = names(feed.table.uri)
        for number in range(20):
            put(mini, number)
            list(sync(feed, "run"))
        before, seen = names(feed.table.uri), feed.table.count()
        merged = stores.warehouse.version("mini", "items")
        assert clean(feed, stores)[0].joined == 21
        assert len(feed.table.snapshot_files()) == 1
        assert feed.table.count() == seen
        assert len(feed.table.files(merged)) == 20
        stayed = names(feed.table.uri)
        assert before - stayed == first
        result = merge(feed, stores, "run")
        assert (result.rows_read, result.inserted) == (20, 20)
        assert len(clean(feed, stores)[0].waste) == 20
        assert names(feed.table.uri) == {file.path for file in feed.table.snapshot_files()}
        assert merge(feed, stores, "run").rows_read == 0
        put(mini, 30)
        (receipt,) = sync(feed, "run")
        assert (receipt.accepted, receipt.duplicate) == (1, 11)  # of the lookback
        merge(feed, stores, "run")
    assert len(mini.rows()) == 26


def test_commits_join_small_files_by_themselves(mini: Mini, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every so many commits the small files of a table are joined; a slice that landed is not undone by what hinders that."""
    monkeypatch.setattr(lake, "MANY_FILES", 5)
    monkeypatch.setattr(lake, "_EVERY", 5)
    with mini.feed(mini.stream()) as (feed, stores):
        receipts: list[Receipt] = []
        for number in range(7):
            put(mini, number)
            receipts += sync(feed, "run")
        assert len(feed.table.snapshot_files()) < 5
        assert feed.table.count() == 12
        assert merge(feed, stores, "run").rows_total == 12
        monkeypatch.setattr(feed.table, "compact", _no_space)
        for number in range(7, 20):
            put(mini, number)
            receipts += sync(feed, "run")
        assert feed.table.state().sequence == 20
    assert any("no space" in warning for receipt in receipts for warning in receipt.warnings)


def _no_space(fewest: int) -> int:
    raise LakeError(f"no space for {fewest}")


def test_an_unfinished_slice_keeps_its_files(mini: Mini) -> None:
    """Files that a run left for another to go on from stay as long as they may be taken up, and go after that."""
    mini.pull()
    with mini.feed(mini.stream()) as (feed, stores):
        with feed.table.writer(feed.table.schema()) as writer:
            writer.write_no_rows()
            files = writer.finish()
            writer.keep()
        state = feed.table.state()
        base = (state.version or 0, state.sequence)
        document = Path(feed.table.uri) / FOLDER / "slice.json"
        document.parent.mkdir()
        document.write_bytes(Checkpoint(Slice(0, 9), base, {}, files).to_json())
        assert clean(feed, stores)[0].waste == ()
        document.write_bytes(Checkpoint(Slice(0, 9), base, {}, files, made_at=datetime.now(UTC) - OLD).to_json())
        for dry_run in (True, False):
            assert document.exists()
            assert [file.path for file in clean(feed, stores, dry_run=dry_run)[0].waste] == [file.path for file in files]
        assert not document.exists()


def test_syncs_and_vacuums_race(mini: Mini) -> None:
    """Two that join the same files, and a sync that commits meanwhile, leave each row once and every state readable."""
    mini.pull()
    with mini.feed(mini.stream()) as (feed, stores):
        for number in range(6):
            put(mini, number)
            list(sync(feed, "run"))
        command = "import sys; from integration_assets.land.lake import Lake; Lake(sys.argv[1]).table('mini', 'items').compact()"
        root = feed.table.uri.removesuffix("/mini/items")
        other = subprocess.Popen([sys.executable, "-c", command, root])  # noqa: S603
        for number in range(6, 12):
            put(mini, number)
            list(sync(feed, "run"))
            feed.table.compact()
        assert other.wait(timeout=120) == 0
        rows = pa.Table.from_batches(list(feed.table.scan(feed.table.snapshot_files(), ["id"])))
        assert sorted(rows.column("id").to_pylist()) == [*range(5), *range(100, 112)]
        assert feed.table.state().sequence == 13
        assert feed.table.state().receipt == feed.table.receipts(1)[0]
        merge(feed, stores, "run")
    assert len(mini.rows()) == 17


def test_rows_stay_in_the_order_in_which_they_landed(tmp_path: Path) -> None:
    """Joined files have their rows in order, in the place of the files that they were; large ones between them stay apart."""
    table = Lake(str(tmp_path / "lake")).table("any", "rows")
    table.prepare(SCHEMA)
    for turn in range(9):
        _append(table, turn, 400_000 if turn == 4 else 300)
    assert table.compact(target_bytes=200_000) == 8
    read = pa.Table.from_batches(list(table.scan(table.snapshot_files())))
    assert len(table.snapshot_files()) == 3
    turns = read.column("turn").to_pylist()
    assert turns == sorted(turns)
    assert table.bounds("turn") == [(0, 3), (4, 4), (5, 8)]
    ids = read.filter(pa.compute.equal(read.column("turn"), 7)).column("id").to_pylist()
    assert ids == list(range(300))
    assert table.compact(target_bytes=200_000) == 0
    assert table.files(0) != []


def test_a_join_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    """A run that dies between the joined file and its commit leaves a file to the vacuum; the next one joins all the same."""
    table = Lake(str(tmp_path / "lake")).table("any", "rows")
    table.prepare(SCHEMA)
    for turn in range(4):
        _append(table, turn, 10)
    there = names(table.uri)
    command = (
        "import os, sys; from integration_assets.land import joining; from integration_assets.land.lake import Lake;"
        "joining._commit = lambda *_: os._exit(9); Lake(sys.argv[1]).table('any', 'rows').compact()"
    )
    done = subprocess.run([sys.executable, "-c", command, str(tmp_path / "lake")], check=False, timeout=120)  # noqa: S603
    assert done.returncode == 9
    left = names(table.uri) - there
    assert (len(left), table.count(), len(table.snapshot_files())) == (1, 40, 4)
    assert table.compact() == 4
    assert (table.count(), len(table.snapshot_files())) == (40, 1)
    waste = {file.path for file in table.waste(datetime.now(UTC) + OLD)}
    assert waste == left | there


def _append(table: LakeTable, turn: int, rows: int) -> None:
    with table.writer(SCHEMA) as writer:
        numbers = pa.array(range(rows), pa.int64())
        writer.write(pa.table({"id": numbers, "turn": pa.array([turn] * rows, pa.int64())}))
        table.append(writer)


def test_a_forgotten_record_is_not_joined_back(tmp_path: Path) -> None:
    """A file whose rows were deleted while it was joined with others is left as the deletion made it."""
    from integration_assets.land import joining, reading

    table = Lake(str(tmp_path / "lake")).table("any", "rows")
    table.prepare(SCHEMA)
    for turn in range(3):
        _append(table, turn, 10)
    opened = table._store.open()
    assert opened is not None
    (run,) = joining._runs(reading.active(opened), 2**20, 2)
    files = [reading.LakeFile(0, file["path"], 0) for file in run]
    with table.writer(SCHEMA) as writer:
        for batch in table.scan(files):
            writer.write(batch)
        made = writer.finish()
        writer.keep()
    assert table.delete("id = 3") == 3
    assert not joining._commit(table._store, run, made)
    assert table.count() == 27
    assert not {file.path for file in made} & names(table.uri)


def test_a_retention_shorter_than_a_run_is_refused(mini: Mini, tmp_path: Path) -> None:
    """Files of a day may be those of a run that goes on; what is no age is told so."""
    stream = mini.stream()
    with mini.feed(stream) as (feed, _):
        for text in ("3h", "soon"):
            with pytest.raises(SpecError):
                run_vacuum([(feed.source, [stream])], _settings(tmp_path), Console(), text, dry_run=True)


def test_without_the_warehouse_nothing_is_deleted(mini: Mini, tmp_path: Path) -> None:
    """When there is no telling what the warehouse still reads, its stream is left alone, and the run says why."""
    mini.pull()
    with mini.feed(mini.stream()) as (feed, _):
        age(feed.table.uri)
        before = names(feed.table.uri)
        (tmp_path / "broken.duckdb").write_text("no database")
        environ = {"INTEGRATION_LAKE_URI": str(tmp_path / "lake"), "INTEGRATION_WAREHOUSE_URI": str(tmp_path / "broken.duckdb")}
        with pytest.raises(IntegrationError):
            run_vacuum([(feed.source, [feed.stream])], Settings.from_environ(environ), Console(), "7d", dry_run=False)
        assert names(feed.table.uri) == before


def test_dagster_runs_it(mini: Mini, tmp_path: Path) -> None:
    """The weekly job reports files and bytes that it freed; its schedule waits to be switched on."""
    mini.pull()
    with mini.feed(mini.stream()) as (feed, _):
        source = feed.source
        orphan = Path(feed.table.uri) / "part-0-00000.zstd.parquet"
        orphan.write_bytes(b"0" * 100)
        age(feed.table.uri)
    stores = StoresResource(lake_uri=str(tmp_path / "lake"), warehouse_uri=str(tmp_path / "warehouse.duckdb"))
    repository = build([source], {"stores": stores}).get_repository_def()
    assert repository.get_schedule_def("mini_vacuum_weekly").default_status is dg.DefaultScheduleStatus.STOPPED
    logging.disable()
    with dg.DagsterInstance.ephemeral() as instance:
        done = repository.get_job("mini_vacuum").execute_in_process(instance=instance)
    logging.disable(logging.NOTSET)
    (output,) = [event for event in done.all_events if event.event_type_value == "STEP_OUTPUT"]
    told = {name: entry.value for name, entry in output.step_output_data.metadata.items()}
    assert (told["files"], told["bytes freed"], told["files joined"]) == (1, 100, 0)
    assert not orphan.exists()
