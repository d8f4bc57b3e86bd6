"""One emulator for the whole folder, and a bucket of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import google.cloud.storage as gcs
import httpx
import pytest

from integration_assets_tests.gcs.process import GcsEmulator

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsEmulator]:
    """Start one emulator, and name it in the environment as its users do."""
    with GcsEmulator(tmp_path_factory.mktemp("gcs")) as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environ.items():
            patch.setenv(name, value)
        yield emulator


@pytest.fixture
def emulator(running: GcsEmulator) -> GcsEmulator:
    """Give the emulator without faults."""
    running.clear_faults()
    return running


@pytest.fixture
def name(emulator: GcsEmulator) -> str:
    """Give the name of a new bucket."""
    name = f"bucket-{next(_NUMBERS)}"
    emulator.create_bucket(name)
    return name


@pytest.fixture
def client(emulator: GcsEmulator) -> Iterator[gcs.Client]:
    """Give a client of google-cloud-storage."""
    client = emulator.client()
    yield client
    client.close()


@pytest.fixture
def bucket(client: gcs.Client, name: str) -> gcs.Bucket:
    """Give the new bucket as google-cloud-storage sees it."""
    return client.bucket(name)


@pytest.fixture
def http(emulator: GcsEmulator) -> Iterator[httpx.Client]:
    """Give a plain HTTP client, for what no library lets one send."""
    with httpx.Client(base_url=emulator.url, trust_env=False, timeout=30) as http:
        yield http
