"""The process that forks runs, and the emulators, started when a test first asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration_assets_tests.bigquery.fixtures import bigquery_emulator, gcs_for_bigquery
from integration_assets_tests.campaign.children import Children

__all__ = ["bigquery_emulator", "gcs_for_bigquery"]


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """Fork runs from one process."""
    with Children(tmp_path_factory.mktemp("runs")) as server:
        yield server
