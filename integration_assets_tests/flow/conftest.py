"""One sandbox for the folder, and a fresh lake and warehouse for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_assets.sandbox.process import SandboxProcess
from integration_assets_tests.flow.world import World

START = "2013-01-04T00:00:00Z"
"""The sandbox's clock: what is there is pulled whole by most tests of the folder, so a few days are enough."""
EARLY = "2013-01-01T12:00:00Z"
"""A clock for tests in which a stream is pulled several times: twenty hours later two flights are withdrawn."""


@pytest.fixture(scope="session")
def upstream() -> Iterator[SandboxProcess]:
    """Serve the flights of the first eight days of 2013."""
    with SandboxProcess(days=8, clock=START) as process:
        yield process


@pytest.fixture
def world(upstream: SandboxProcess, tmp_path: Path) -> World:
    """Put the sandbox back to its start, beside an empty lake and warehouse."""
    upstream.clear_faults()
    upstream.set_clock(START)
    upstream.forget_requests()
    return World(upstream, tmp_path)
