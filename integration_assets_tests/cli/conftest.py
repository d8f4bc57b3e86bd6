"""The command line in this process, 80 columns wide, against a sandbox of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from integration_assets.cli.app import main
from integration_assets.sandbox.process import SandboxProcess
from integration_assets_tests.flow.world import World

START = "2013-01-03T12:00:00Z"


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


Integration = Callable[..., Done]


@pytest.fixture(scope="session")
def upstream() -> Iterator[SandboxProcess]:
    """Serve the flights of the first four days of 2013."""
    with SandboxProcess(days=4, clock=START) as process:
        yield process


@pytest.fixture
def world(upstream: SandboxProcess, tmp_path: Path) -> World:
    """Put the sandbox back to its start, beside an empty lake and warehouse."""
    upstream.clear_faults()
    upstream.set_clock(START)
    upstream.forget_requests()
    return World(upstream, tmp_path)


@pytest.fixture
def integration(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Integration:
    """Run `integration …` in the test's world; `environ` changes its environment."""

    def run(*arguments: str, **environ: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in {**world.environ, **environ}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["integration", *arguments])
            patch.setattr(sys.modules[main.__module__], "out", Console(width=80))
            patch.setattr(sys.modules[main.__module__], "err", Console(width=80, stderr=True))
            status = 0
            try:
                main()
            except SystemExit as left:
                status = int(left.code or 0)
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    return run
