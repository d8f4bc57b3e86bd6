"""The lake's commit: atomic, raced, remembered."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from integration_assets.errors import RescheduleError, SliceTakenError
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.land.writer import Writer
from integration_assets.spec.cursor import Slice
from integration_assets_tests.land.helpers import SCHEMA, day, days, land, receipt, row, rows


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """A stream's table in a fresh lake, not made yet."""
    return Lake(str(tmp_path / "lake")).table("shop", "orders")


def parquet(table: LakeTable) -> list[str]:
    """The data files in the table's folder, committed or not."""
    return sorted(path.name for path in Path(table.uri).glob("part-*"))


def test_data_watermark_and_receipt_land_together(table: LakeTable) -> None:
    """One Delta version holds the rows, the finished range, the watermark and the receipt."""
    done = land(table, [row("a", 0.5), row("b", 0.6)], days(0, 1), etag="e1", content_hash="c1")
    assert done.version == 1
    assert (done.watermark_before, done.watermark_after) == (None, "2024-01-02T00:00:00Z")
    assert list(done.files) == parquet(table)
    state = table.state()
    assert (state.version, state.sequence, state.finished) == (1, 1, (days(0, 1),))
    assert (state.etag, state.content_hash) == ("e1", "c1")
    assert state.receipt == done
    assert table.count() == 2


def test_nothing_is_there_before_the_commit(table: LakeTable) -> None:
    """A table that was never made has no state, no rows and no receipts, and asking for them makes nothing."""
    assert not table.exists()
    assert table.state().sequence == 0
    assert table.state().version is None
    assert (table.version(), table.count(), table.receipts(), table.files(None)) == (None, 0, [], [])
    assert sum(rows.num_rows for rows in table.known(["id"], "at", days(0, 1))) == 0
    assert not Path(table.uri).exists()


def test_written_rows_are_invisible_until_committed(table: LakeTable) -> None:
    """Rows that were written but not committed are in no snapshot, and leaving the writer deletes their files."""
    table.prepare(SCHEMA)
    with table.writer(SCHEMA) as writer:
        writer.write(rows(row("a", 1)))
        assert len(writer.finish()) == 1
        assert len(parquet(table)) == 1
        assert table.count() == 0
    assert parquet(table) == []


def test_a_failing_run_leaves_no_files(table: LakeTable) -> None:
    """An exception while writing deletes the files of the run, the half-written one included."""
    table.prepare(SCHEMA)

    def failing_run() -> None:
        with table.writer(SCHEMA) as writer:
            writer.write(rows(row("a", 1)))
            writer._flush()
            raise KeyError

    with pytest.raises(KeyError):
        failing_run()
    assert parquet(table) == []
    assert table.state().sequence == 0


def test_an_empty_slice_moves_the_frontier(table: LakeTable) -> None:
    """A slice without rows is committed too: the watermark moves, and no file is added."""
    done = land(table, [], days(0, 1))
    assert (done.version, done.files) == (1, ())
    assert table.state().finished == (days(0, 1),)


def test_slices_in_any_order_move_the_watermark_only_along_the_frontier(table: LakeTable) -> None:
    """A later slice waits for the gap before it; an older one that is pulled again moves nothing back."""
    marks = [land(table, [row("a", start)], days(start, start + 1)).watermark_after for start in (1, 0, 3, 2, 0)]
    ends = [None, day(2), day(2), day(4), day(4)]
    assert marks == [Slice(end).to_json()[0] for end in ends]
    assert table.state().finished == (days(0, 4),)


def test_a_snapshot_leaves_finished_ranges_alone(table: LakeTable) -> None:
    """A commit without a slice adds rows and a receipt, and neither range nor watermark."""
    land(table, [row("a", 0)], None, content_hash="one")
    done = land(table, [row("a", 1)], None, content_hash="two")
    assert (table.state().finished, table.state().content_hash, done.watermark_after) == ((), "two", None)


def test_the_second_run_on_a_slice_loses_and_leaves_nothing(table: LakeTable) -> None:
    """A run whose slice another one committed meanwhile is told who won, and its files are gone."""
    table.prepare(SCHEMA)
    base = table.state()
    won = land(table, [row("a", 0.1)], days(0, 1), run_id="first", base=base)
    with pytest.raises(SliceTakenError, match="run first"):
        land(table, [row("a", 0.1)], days(0.5, 1.5), run_id="second", base=base)
    assert parquet(table) == list(won.files)
    assert table.count() == 1
    assert table.state().sequence == 1


def test_a_snapshot_that_was_overtaken_loses(table: LakeTable) -> None:
    """Two full snapshots of one stream never both count: the later commit plans again."""
    table.prepare(SCHEMA)
    base = table.state()
    land(table, [row("a", 0)], None, run_id="first", base=base)
    with pytest.raises(SliceTakenError, match="snapshot"):
        land(table, [row("a", 0)], None, run_id="second", base=base)
    assert table.count() == 1


def test_disjoint_slices_from_one_base_both_land(table: LakeTable) -> None:
    """Two partitions planned on the same state both commit, whichever comes first."""
    table.prepare(SCHEMA)
    base = table.state()
    land(table, [row("b", 1.5)], days(1, 2), base=base)
    done = land(table, [row("a", 0.5)], days(0, 1), base=base)
    assert done.watermark_after == "2024-01-03T00:00:00Z"
    assert table.state().sequence == 2
    assert table.count() == 2


def test_eight_threads_on_disjoint_slices_all_land(table: LakeTable) -> None:
    """A raced backfill loses no partition and no row, and the watermark is at its end."""
    table.prepare(SCHEMA)
    base = table.state()
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda n: land(table, [row(str(n), n)], days(n, n + 1), base=base), range(8)))
    assert sorted(done.version or 0 for done in receipts) == list(range(1, 9))
    assert table.state().finished == (days(0, 8),)
    assert table.count() == 8
    assert {done.run_id for done in table.receipts()} == {"run"}
    assert len(table.receipts()) == 8


def test_eight_threads_on_one_slice_land_once(table: LakeTable) -> None:
    """However many runs race on one slice, exactly one commits."""
    table.prepare(SCHEMA)
    base = table.state()

    def attempt(number: int) -> str:
        try:
            return land(table, [row("a", 0.5)], days(0, 1), run_id=str(number), base=base).outcome
        except SliceTakenError:
            return "taken"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(attempt, range(8)))
    assert outcomes == ["committed"] + ["taken"] * 7
    assert (table.count(), len(parquet(table)), table.state().sequence) == (1, 1, 1)


def _race(uri: str, number: int, barrier: object, results: object) -> None:
    table = Lake(uri).table("shop", "orders")
    base = table.state()
    barrier.wait()  # type: ignore[attr-defined]
    try:
        land(table, [row("a", 0.5)], days(0, 1), run_id=str(number), base=base)
        results.put("committed")  # type: ignore[attr-defined]
    except SliceTakenError as error:
        results.put(str(error))  # type: ignore[attr-defined]


def test_processes_racing_on_one_slice_land_once(table: LakeTable, tmp_path: Path) -> None:
    """Three processes that planned the same slice: one wins, and the others name it."""
    table.prepare(SCHEMA)
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(3), spawn.Queue()
    runs = [spawn.Process(target=_race, args=(str(tmp_path / "lake"), n, barrier, results)) for n in range(3)]
    for run in runs:
        run.start()
    told = sorted(results.get(timeout=60) for _ in runs)
    for run in runs:
        run.join()
    winner = table.state().receipt
    assert winner is not None
    assert told[0] == "committed"
    assert all(f"run {winner.run_id}" in text for text in told[1:])
    assert table.count() == 1


def test_a_commit_that_landed_unseen_is_recognised(table: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store fails after it took the commit, the run sees its own commit and keeps its files."""
    from deltalake import DeltaTable

    real = DeltaTable.create_write_transaction

    def lands_then_fails(*args: object, **kwargs: object) -> None:
        real(*args, **kwargs)  # type: ignore[arg-type]
        raise OSError("connection reset")

    table.prepare(SCHEMA)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", lands_then_fails)
    done = land(table, [row("a", 0.5)], days(0, 1))
    assert done.version == 1
    assert parquet(table) == list(done.files)
    assert table.count() == 1


def test_a_column_added_meanwhile_does_not_lose_the_slice(table: LakeTable) -> None:
    """A run of older code that was pulling while newer code grew the table still lands; its rows are null there."""
    table.prepare(SCHEMA)
    base = table.state()
    with table.writer(SCHEMA) as writer:
        writer.write(rows(row("a", 0.5)))
        table.prepare(pa.schema([*SCHEMA, ("note", pa.string())]))
        table.compact()
        done = table.commit(writer, receipt(accepted=1), days(0, 1), base, day(0))
    assert done.version == 2
    assert table.scan(table.files(None), ["id", "note"]).read_all().to_pylist() == [{"id": "a", "note": None}]


def test_receipts_come_newest_first_and_are_in_the_log_as_plain_json(table: LakeTable) -> None:
    """The audit can be read with nothing but a text editor."""
    for number in range(3):
        land(table, [row("a", number)], days(number, number + 1), run_id=f"run {number}")
    assert [done.run_id for done in table.receipts(limit=2)] == ["run 2", "run 1"]
    assert [done.version for done in table.receipts()] == [3, 2, 1]
    lines = (Path(table.uri) / "_delta_log" / f"{3:020d}.json").read_text().splitlines()
    info = next(json.loads(line)["commitInfo"] for line in lines if "commitInfo" in line)
    assert json.loads(info["integration_assets_receipt"])["run_id"] == "run 2"


def test_a_receipt_can_be_committed_with_files_written_before(table: LakeTable) -> None:
    """Files may be handed over instead of their writer."""
    table.prepare(SCHEMA)
    with table.writer(SCHEMA) as writer:
        writer.write(rows(row("a", 0)).to_batches()[0])
        files = writer.finish()
        done = table.commit(files, receipt(accepted=1), days(0, 1), table.state(), day(0))
        writer.keep()
    assert list(done.files) == parquet(table)
    assert table.count() == 1


def test_a_file_that_was_vacuumed_while_it_waited_is_not_committed(table: LakeTable) -> None:
    """A vacuum by a clock that is wrong takes it for waste: the commit is refused, and the table can be read as before."""
    land(table, [row("a", 0.5)], days(0, 1))
    base = table.state()
    with table.writer(SCHEMA) as writer:
        writer.write(rows(row("b", 1.5)))
        (file,) = writer.finish()
        (Path(table.uri) / file.path).unlink()
        with pytest.raises(RescheduleError, match="deleted before it was committed"):
            table.commit(writer, receipt(slice_=days(1, 2)), days(1, 2), base, None)
    assert table.state() == base
    assert table.scan(table.snapshot_files()).read_all().num_rows == 1


def test_a_joined_file_that_was_vacuumed_takes_no_place(table: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that it was to replace stay."""
    for day_ in range(3):
        land(table, [row(str(day_), day_ + 0.5)], days(day_, day_ + 1))
    keep = Writer.keep

    def vacuumed(writer: Writer) -> None:
        keep(writer)
        for file in writer.files:
            (Path(table.uri) / file.path).unlink()

    monkeypatch.setattr(Writer, "keep", vacuumed)
    with pytest.raises(RescheduleError, match="deleted before it was committed"):
        table.compact()
    assert table.scan(table.snapshot_files()).read_all().num_rows == 3
