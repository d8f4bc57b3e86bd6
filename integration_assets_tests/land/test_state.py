"""The stream's state survives compaction, vacuum, foreign commits and the cleaning of the log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from integration_assets.errors import LakeError
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.land.state import SEQUENCE
from integration_assets.spec.cursor import Slice
from integration_assets_tests.land.helpers import SCHEMA, day, days, land, row, rows


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """A stream's table with three commits behind it."""
    table = Lake(str(tmp_path / "lake")).table("shop", "orders")
    for number in range(3):
        land(table, [row(str(number), number)], days(number, number + 1), run_id=f"run {number}", etag=f"e{number}")
    return table


def opened(table: LakeTable) -> DeltaTable:
    """The same table as a foreign program opens it."""
    return DeltaTable(table.uri)


def forget_log(table: LakeTable) -> None:
    """Checkpoint, then let Delta's own cleaning remove every log entry before the newest."""
    opened(table).alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    opened(table).create_checkpoint()
    opened(table).cleanup_metadata()


def test_state_survives_compaction_and_vacuum(table: LakeTable) -> None:
    """Maintenance carries ranges, etag and receipt along, changes no row, and is no commit of the stream."""
    before = table.state()
    assert table.compact() == 3
    assert len(table.vacuum(hours=0)) == 3
    after = table.state()
    assert (after.version or 0) > (before.version or 0)
    assert (after.sequence, after.finished, after.etag) == (3, (days(0, 3),), "e2")
    assert after.receipt == before.receipt
    assert [done.run_id for done in table.receipts()] == ["run 2", "run 1", "run 0"]
    assert table.count() == 3
    assert land(table, [], days(3, 4)).watermark_after == "2024-01-05T00:00:00Z"


def test_state_survives_foreign_commits(table: LakeTable) -> None:
    """Commits by other programs hide nothing, however many there are."""
    for _ in range(30):
        write_deltalake(table.uri, rows(row("x", 9)), mode="append")
    state = table.state()
    assert (state.version, state.sequence, state.finished, state.etag) == (33, 3, (days(0, 3),), "e2")


def test_state_survives_log_cleaning_after_maintenance(table: LakeTable) -> None:
    """When Delta cleaned the log away, the maintenance commit that stayed still has everything, receipt included."""
    opened(table).alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    table.compact()
    land(table, [row("z", 3)], days(3, 4), etag="last")
    table.vacuum(hours=0)
    opened(table).create_checkpoint()
    opened(table).cleanup_metadata()
    assert len(list((Path(table.uri) / "_delta_log").glob("*.json"))) == 1
    state = table.state()
    assert (state.sequence, state.finished, state.etag) == (4, (days(0, 4),), "last")
    assert state.receipt is not None
    assert state.receipt.watermark_after == "2024-01-05T00:00:00Z"
    assert table.receipts() == [state.receipt]


def test_watermark_is_rebuilt_when_every_commit_of_ours_is_gone(table: LakeTable) -> None:
    """Foreign commits and log cleaning leave only application transactions; the watermark comes from them."""
    forget_log(table)
    assert not table.receipts()
    state = table.state()
    assert (state.sequence, state.finished, state.receipt) == (3, (Slice(None, day(3)),), None)
    done = land(table, [], days(3, 4))
    assert (done.watermark_before, done.watermark_after) == ("2024-01-04T00:00:00Z", "2024-01-05T00:00:00Z")


@pytest.mark.parametrize("mark", [datetime(1969, 7, 20, 20, 17, 40, 1, tzinfo=UTC), -17, 2**60])
def test_any_watermark_survives_as_a_number(tmp_path: Path, mark: datetime | int) -> None:
    """Timestamps before 1970, with microseconds, and integers of any sign are rebuilt exactly."""
    table = Lake(str(tmp_path)).table("shop", "orders")
    land(table, [], Slice(None, mark), origin=None)
    forget_log(table)
    assert table.state().finished == (Slice(None, mark),)


def test_a_gap_is_read_again_rather_than_lost(tmp_path: Path) -> None:
    """What lies beyond a gap is not in the watermark, so after a loss it is unfinished again."""
    table = Lake(str(tmp_path)).table("shop", "orders")
    land(table, [], days(0, 1))
    land(table, [], days(5, 6))
    forget_log(table)
    assert table.state().finished == (Slice(None, day(1)),)


def test_a_snapshot_stream_has_nothing_to_lose(tmp_path: Path) -> None:
    """A stream without a cursor goes on after its log was cleaned: it is pulled whole anyway."""
    table = Lake(str(tmp_path)).table("shop", "orders")
    land(table, [row("a", 0)], None, content_hash="one")
    forget_log(table)
    assert (table.state().sequence, table.state().finished, table.state().content_hash) == (1, (), None)


def test_a_state_that_cannot_be_told_is_an_error(tmp_path: Path) -> None:
    """A table that had commits but tells nothing of them is refused, not read from the start in silence."""
    table = Lake(str(tmp_path)).table("shop", "orders")
    table.prepare(SCHEMA)
    foreign = CommitProperties(app_transactions=[Transaction(SEQUENCE, 7)])
    write_deltalake(table.uri, rows(row("a", 0)), mode="append", commit_properties=foreign)
    with pytest.raises(LakeError, match=r"7 commits.*Restore its _delta_log"):
        table.state()


def test_a_stale_copy_of_the_state_does_not_count(table: LakeTable) -> None:
    """A compaction that began before a commit and ended after it carries an old state; the commit's own one counts."""
    old = opened(table).history(1)[0]
    copied = {name: old[name] for name in ("integration_assets", "integration_assets_receipt")}
    land(table, [], days(3, 4))
    opened(table).optimize.compact(commit_properties=CommitProperties(custom_metadata=copied))
    assert (table.state().sequence, table.state().finished) == (4, (days(0, 4),))


def test_rows_can_be_deleted_and_the_state_stays(table: LakeTable) -> None:
    """A person's rows go for good with the next vacuum; ranges and receipts stay, and the log never held their text."""
    land(table, [row("anna@example.org", 3, n=1), row("bert@example.org", 3, n=2)], days(3, 4))
    table.compact()
    assert table.delete("n = 1") == 1
    table.vacuum(hours=0)
    assert table.count() == 4
    assert table.state().finished == (days(0, 4),)
    kept = b"".join(path.read_bytes() for path in Path(table.uri).rglob("*") if path.is_file())
    assert b"bert@example.org" in kept
    assert b"anna@example.org" not in kept
    assert b"bert@example.org" not in b"".join(path.read_bytes() for path in Path(table.uri).glob("_delta_log/*"))
