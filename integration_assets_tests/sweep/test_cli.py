"""`integration sweep` on a source that is described in a file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from integration_assets import sources
from integration_assets.cli.app import main
from integration_assets.spec import Limits, Source
from integration_assets_tests.cli.conftest import Done, Integration
from integration_assets_tests.components.writing import attributes, written
from integration_assets_tests.docs.blocks import ROOT, blocks
from integration_assets_tests.sweep.register import Register


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    """Forty items."""
    api = Register(tmp_path)
    api.fill(40)
    with api.served():
        yield api


@pytest.fixture
def integration(register: Register, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Integration]:
    """Run `integration …` on the register, written as a file."""
    folder = register.folder / "sources"
    source = Source(name="mini", base_url=register.url, streams=(register.swept(),), limits=Limits(attempts=1))
    written(folder / "mini", attributes(source))
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(folder)])
    monkeypatch.setenv("INTEGRATION_LAKE_URI", str(register.folder / "lake"))
    monkeypatch.setenv("INTEGRATION_WAREHOUSE_URI", str(register.folder / "warehouse.duckdb"))
    monkeypatch.setattr(sys.modules[main.__module__], "out", Console(width=80))
    monkeypatch.setattr(sys.modules[main.__module__], "err", Console(width=80, stderr=True))
    sources.load_sources.cache_clear()

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["integration", *arguments])
        status = 0
        try:
            main()
        except SystemExit as left:
            status = int(left.code or 0)
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    yield run
    sources.load_sources.cache_clear()


def test_what_would_go_is_shown_before_it_goes(integration: Integration, register: Register) -> None:
    """A dry run, the sweep, a refusal with its remedy and status, and the threshold that lets it through."""
    assert integration("sync", "mini.items").status == 0
    register.drop(7, 31)
    done = integration("sweep", "mini.items", "--dry-run")
    assert done.status == 0, done.err
    assert "Dry run: nothing was written" in done.out
    assert "40 live rows, 2 not listed, of which 5 may be deleted" in done.out
    assert "Would be deleted" in done.out
    assert "31" in done.out
    assert len(register.live()) == 40
    done = integration("sweep", "mini.items", "--by", "ada")
    assert "2 deleted, 0 revived" in done.out
    assert len(register.live()) == 38
    assert "swept" in integration("status", "mini").out
    register.drop(*range(10, 20))
    done = integration("sweep", "mini.items")
    assert done.status == 1
    assert "SweepRefusedError" in done.err
    assert "larger --threshold" in done.err
    assert len(register.live()) == 38
    assert integration("sweep", "mini.items", "--threshold", "0.5").status == 0
    assert len(register.live()) == 28
    done = integration("sweep", "mini")
    assert (done.status, "Name one that has a sweep: mini.items" in done.err) == (2, True)


def test_the_page_s_commands_sweep(integration: Integration, register: Register) -> None:
    """Each command of the page about deletions succeeds, on a table of which a third is gone in the end."""
    integration("sync", "mini.items")
    commands = [line for block in blocks("bash", ROOT / "docs" / "deletes.md") for line in block.text.splitlines()]
    for line in commands:
        if "--threshold" in line:
            register.drop(*range(10, 25))
        done = integration(*shlex.split(line.replace("crm.contacts", "mini.items"))[1:])
        assert done.status == 0, f"{line}\n{done.out}\n{done.err}"
    assert len(commands) == 3
    assert len(register.live()) == 25
