"""Pytest fixtures: both emulators, once a session, and a warehouse and a lake of its own for every test.

Only the topmost conftest imports them: pytest would make another one, and start its emulators, for each place that did.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest

from integration_assets_tests.bigquery.environment import EmulatorMissingError
from integration_assets_tests.bigquery.process import BigQueryEmulator
from integration_assets_tests.gcs.process import GcsEmulator

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

    from integration_assets.land.bigquery import BigQueryWarehouse
    from integration_assets.land.lake import Lake

BUCKET = "warehouse-lake"
_NUMBERS = count(1)


@pytest.fixture(scope="session")
def gcs_for_bigquery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsEmulator]:
    """A bucket server with one bucket."""
    with GcsEmulator(tmp_path_factory.mktemp("gcs-for-bigquery")) as emulator:
        emulator.create_bucket(BUCKET)
        yield emulator


@pytest.fixture(scope="session")
def bigquery_emulator(tmp_path_factory: pytest.TempPathFactory, gcs_for_bigquery: GcsEmulator) -> Iterator[BigQueryEmulator]:
    """BigQuery, reading that bucket. Where it cannot run the tests are skipped, but not on CI."""
    emulator = BigQueryEmulator(tmp_path_factory.mktemp("bigquery"), gcs_for_bigquery.url, start_timeout=240)
    try:
        emulator.__enter__()
    except EmulatorMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def bigquery_client(bigquery_emulator: BigQueryEmulator) -> Iterator[Client]:
    """A client of the emulator."""
    with bigquery_emulator.client() as client:
        yield client


@pytest.fixture
def bigquery_warehouse(bigquery_client: Client) -> BigQueryWarehouse:
    """A warehouse in a project of its own, which the emulator keeps in a file of its own: with many tables it is slow."""
    from integration_assets.land.bigquery import BigQueryWarehouse

    return BigQueryWarehouse(f"project-{next(_NUMBERS)}", "US", bigquery_client, wait_seconds=60)


@pytest.fixture
def gcs_lake(gcs_for_bigquery: GcsEmulator) -> Lake:
    """A lake on `gs://` that no other test has."""
    from integration_assets.land.lake import Lake

    return Lake(f"gs://{BUCKET}/lake-{next(_NUMBERS)}", gcs_for_bigquery.storage_options)
