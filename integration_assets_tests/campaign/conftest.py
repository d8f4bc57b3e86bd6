"""The process that forks runs, and the emulators, started when a test first asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from integration_assets_tests.bigquery.fixtures import bigquery_emulator, gcs_for_bigquery
from integration_assets_tests.campaign import disk
from integration_assets_tests.campaign.children import Children

__all__ = ["bigquery_emulator", "gcs_for_bigquery"]


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """Fork runs from one process."""
    with Children(tmp_path_factory.mktemp("runs")) as server:
        yield server


@pytest.fixture(scope="session")
def mortal_disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """The same over disks that fail at a given change. Where there is no C compiler the tests are skipped, but not on CI."""
    folder = tmp_path_factory.mktemp("disks")
    library = disk.build(folder)
    if library is None and not os.environ.get("CI"):
        pytest.skip("no C compiler here to build disk.c with")
    with Children(folder, library) as server:
        yield server
