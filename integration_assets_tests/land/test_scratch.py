"""What is sorted on the way needs room on a disk of this machine: where there is none, the error says so."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from integration_assets.errors import LakeError
from integration_assets.land.scratch import scratch


def test_it_spills_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into memory waits on the disk, and is gone at the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch("32MB") as con:
        con.execute("SET threads = 1")
        con.execute("CREATE TABLE t AS SELECT hash(range) AS h FROM range(5_000_000)")
        assert con.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)
        assert any(tmp_path.rglob("*.tmp"))
    assert not any(tmp_path.iterdir())


def test_without_a_folder_for_it_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not there is no traceback."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(LakeError, match=r"cannot be sorted .* another one \(TMPDIR\)"), scratch("32MB"):
        pass


def test_a_disk_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's own words for it, and what to do."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fill() -> None:
        with scratch("32MB") as con:
            con.execute("SET max_temp_directory_size = '1MB'")
            con.execute("CREATE TABLE t AS SELECT hash(range) AS h FROM range(20_000_000)")

    with pytest.raises(LakeError, match="Free space"):
        fill()
    assert not any(tmp_path.iterdir())
