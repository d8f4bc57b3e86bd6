"""A source in YAML is synced by the command line as any other."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from integration_assets.cli.app import main
from integration_assets.sources import load_source
from integration_assets_tests.conformance.fixtures import load
from integration_assets_tests.conformance.replay import serving

USGS = load_source("usgs")


def test_it_lands_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`integration sync usgs` pages through the recorded catalogue; good rows land, the bad one is counted."""
    (phase, _) = load(USGS, USGS.streams[0]).phases
    shown = StringIO()
    monkeypatch.setattr(sys.modules[main.__module__], "out", Console(file=shown, width=200))
    monkeypatch.setattr(sys, "argv", ["integration", "sync", "usgs"])
    monkeypatch.setenv("INTEGRATION_LAKE_URI", str(tmp_path / "lake"))
    monkeypatch.setenv("INTEGRATION_WAREHOUSE_URI", str(tmp_path / "warehouse.duckdb"))
    with serving(USGS, phase, {}) as api:
        monkeypatch.setenv("INTEGRATION_USGS_BASE_URL", api.url)
        with pytest.raises(SystemExit) as left:
            main()
    assert not left.value.code, shown.getvalue()
    assert "usgs.earthquakes: committed" in shown.getvalue()
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as warehouse:
        counted = warehouse.sql("SELECT count(*) FROM usgs.earthquakes WHERE _deleted_at IS NULL").fetchall()
    assert counted == [(phase.expect.rows,)]
