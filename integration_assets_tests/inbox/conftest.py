"""The receiver's process, and an inbox in SQLite or in Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from integration_assets_tests.inbox.postgres import postgres
from integration_assets_tests.inbox.sending import SECRET, Receiver


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A Postgres that all tests of the process share."""
    with postgres() as uri:
        yield uri


@pytest.fixture
def postgres_uri(postgres_server: str) -> str:
    """That Postgres without what other tests kept in it."""
    with closing(psycopg2.connect(postgres_server)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS inbox_events")
    return postgres_server


@pytest.fixture
def inbox_uri(tmp_path: Path) -> str:
    """A file of the test's own."""
    return str(tmp_path / "state" / "inbox.sqlite")


@pytest.fixture
def receiver(tmp_path: Path, inbox_uri: str) -> Iterator[Receiver]:
    """The shop's receiver, running."""
    environ = {"INTEGRATION_INBOX_URI": inbox_uri, "SHOP_HOOK": SECRET}
    with Receiver(tmp_path, "integration_assets_tests.inbox.upstream:source", environ) as running:
        yield running
