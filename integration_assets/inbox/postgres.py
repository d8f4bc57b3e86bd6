"""The inbox in Postgres, for processes of many machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from integration_assets.errors import RescheduleError, SpecError

CONNECT = 10
"""Seconds to wait for a connection."""
STATEMENT = 30
"""Seconds that a statement may take, waits for locks included."""


class Postgres:
    """A connection that is made when it is needed, and again after it broke.

    uri : `postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE`; what is left out is libpq's to find, in PGUSER, PGPASSWORD
          or ~/.pgpass.
    """

    serial = "BIGSERIAL PRIMARY KEY"
    several = True

    def __init__(self, uri: str) -> None:
        try:
            import psycopg2  # type: ignore[import-untyped]
        except ImportError:
            raise SpecError(
                "the inbox is in Postgres, and its driver is not installed",
                field="INTEGRATION_INBOX_URI",
                remedy="Install integration-assets[production].",
            ) from None
        self._psycopg2 = psycopg2
        self._uri = uri
        self._connection: Any = None
        try:
            address = urlsplit(uri)
        except ValueError:
            raise _no_address() from None
        self.where = f"postgresql://{address.hostname or ''}{address.path}"

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor whose changes are on disk when the block ends. Raises `RescheduleError`; the next one connects again."""
        try:
            connection = self._connected()
            with connection, connection.cursor() as cursor:
                yield cursor
        except self._psycopg2.Error as error:
            self.close()
            raise RescheduleError(
                f"the inbox at {self.where} is not available: {' '.join(str(error).split())}",
                field="INTEGRATION_INBOX_URI",
                remedy="See that Postgres runs and lets this process in.",
            ) from None

    def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> Any:  # noqa: ANN401 - psycopg2 has no types
        if self._connection is None or self._connection.closed:
            limits = f"-c statement_timeout={STATEMENT * 1000} -c idle_in_transaction_session_timeout={STATEMENT * 1000}"
            try:
                self._connection = self._psycopg2.connect(
                    self._uri, connect_timeout=CONNECT, application_name="integration inbox", options=limits, keepalives_idle=30
                )
            except self._psycopg2.ProgrammingError:
                raise _no_address() from None
            # Commits are flushed to disk unless the server was told otherwise.
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute("SET SESSION synchronous_commit = on")
        return self._connection


def _no_address() -> SpecError:
    """Without the library's own words: they may repeat the address, which may hold a password."""
    return SpecError(
        "this is no address of a Postgres database",
        field="INTEGRATION_INBOX_URI",
        remedy="Write postgresql://HOST/DATABASE; user and password may come from PGUSER and PGPASSWORD.",
    )
