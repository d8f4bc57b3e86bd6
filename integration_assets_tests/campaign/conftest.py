"""The process that forks runs, started when a test first asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from integration_assets_tests.campaign import disk
from integration_assets_tests.campaign.children import Children


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """Fork runs from one process."""
    with Children(tmp_path_factory.mktemp("runs")) as server:
        yield server


@pytest.fixture(scope="session")
def mortal_disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """The same over disks that fail at a given change. Where there is no C compiler the tests are skipped; on CI they fail."""
    folder = tmp_path_factory.mktemp("disks")
    library = disk.build(folder)
    if library is None:
        why = "no C compiler `cc` on Linux here, to build campaign/disk.c with"
        if os.environ.get("CI"):
            # Without the library no change is counted, and every test of it would pass for having none to strike at.
            pytest.fail(f"{why}: install one, such as gcc")
        pytest.skip(why)
    with Children(folder, library) as server:
        yield server
