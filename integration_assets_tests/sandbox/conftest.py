"""One real server for the whole folder, put back to a known state before every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from integration_assets.sandbox.process import SandboxProcess

NOW = "2013-01-12T17:00:30Z"
DAYS = 15

Record = dict[str, Any]
ReadFlights = Callable[..., list[Record]]


@pytest.fixture(scope="session")
def shared() -> Iterator[SandboxProcess]:
    """Start one server over the first days of the year."""
    with SandboxProcess(clock=NOW, days=DAYS) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: SandboxProcess) -> SandboxProcess:
    """Give the server with its clock, faults, rate limit and counts as at the start."""
    shared.set_clock(NOW)
    shared.clear_faults()
    shared.rate_limit(0)
    shared.forget_requests()
    return shared


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[httpx.Client]:
    """Give a client that holds the key."""
    headers = {"Authorization": f"Bearer {sandbox.key}"}
    with httpx.Client(base_url=sandbox.url, headers=headers, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def read_flights(client: httpx.Client) -> ReadFlights:
    """Give a function that reads all pages of /v1/flights, calling `between` after each page."""

    def read(between: Callable[[], object] | None = None, **params: object) -> list[Record]:
        records: list[Record] = []
        token: str | None = None
        while True:
            asked = {**params, "cursor": token} if token else params
            page = client.get("/v1/flights", params={name: str(value) for name, value in asked.items()})
            page.raise_for_status()
            body = page.json()
            assert body["meta"]["count"] == len(body["data"])
            records += body["data"]
            token = body["meta"]["next_cursor"]
            if token is None:
                return records
            if between:
                between()

    return read
