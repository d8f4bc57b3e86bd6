"""The store of many machines: one row an account in Postgres, changed under its row lock, by the server's clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from threading import Lock
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

from integration_assets.errors import LimitsUnavailableError, SpecError
from integration_assets.extract.limits.state import State, decode, encode
from integration_assets.extract.limits.store import Change, Store

T = TypeVar("T")
TABLE = "integration_assets_limits"
PATIENCE = 10
_CREATE = f"CREATE TABLE IF NOT EXISTS {TABLE} (account text PRIMARY KEY, state text NOT NULL, changed_at timestamptz NOT NULL)"
_NOW = "extract(epoch FROM clock_timestamp())::float8"
# The clock is read after the row is locked: askers are served in the order of their locks.
_LOCK = f"WITH row AS MATERIALIZED (SELECT state FROM {TABLE} WHERE account = %s FOR UPDATE) SELECT state, {_NOW} FROM row"
_INSERT = f"INSERT INTO {TABLE} VALUES (%s, '', clock_timestamp()) ON CONFLICT DO NOTHING"
_WRITE = f"UPDATE {TABLE} SET state = %s, changed_at = clock_timestamp() WHERE account = %s"
_LOOK = f"SELECT (SELECT state FROM {TABLE} WHERE account = %s), {_NOW}"
_ALL = f"SELECT account, state, {_NOW} FROM {TABLE} ORDER BY account"
# The server finds a machine that is gone in half a minute.
_SETTINGS = (
    f"SET statement_timeout = {PATIENCE * 1000}; SET lock_timeout = {PATIENCE * 1000}; SET tcp_keepalives_idle = 10;"
    " SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4; SET idle_in_transaction_session_timeout = 60000"
)
# Shared, so that a new session of the same owner need not wait until the server has noticed that the old one is gone.
_HOLD = "SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))"
_GONE = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_LET_GO = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"


class PostgresStore(Store):
    """The rows of `integration_assets_limits`, which is made when it is not there, in the first schema of the search path.

    A session lock under the owner's name ends with its process: the server, not a pool in transaction mode, must be at the
    address. The password may be in the address or in PGPASSWORD, and is shown nowhere.
    """

    patience = 0.5

    def __init__(self, address: str) -> None:
        super().__init__()
        if urlsplit(address).netloc.count("@") > 1:  # else a part of the password is taken, and shown, as the host's name
            raise _wrong("the database's address has an @ in its user or password")
        if find_spec("psycopg2") is None:
            raise SpecError(
                "psycopg2 is not installed", field="INTEGRATION_LIMITS_URI", remedy="Install integration-assets[production]."
            )
        self._address = address
        self._lock = Lock()
        self._connection: Any = None  # psycopg2 ships no types
        self._pid = os.getpid()
        self._closed = False
        self._seen: dict[str, tuple[State, float, float]] = {}

    def update(self, key: str, change: Change[T]) -> T:
        """As every store."""

        def work(cursor: Any) -> T:  # noqa: ANN401 - psycopg2's types are a stub's
            cursor.execute(_LOCK, (key,))
            row = cursor.fetchone()
            if row is None:
                cursor.execute(_INSERT, (key,))
                cursor.execute(_LOCK, (key,))
                row = cursor.fetchone()
            state, now = decode(row[0]), row[1]
            state.set_clock(now)
            result = change(state, now)
            cursor.execute(_WRITE, (encode(state).decode(), key))
            self._seen[key] = state, now, monotonic()
            return result

        return self._transact(work)

    def look(self, key: str) -> tuple[State, float]:
        """As every store; up to `patience` seconds old, the time is not."""
        seen = self._seen.get(key)
        if seen and monotonic() - seen[2] < self.patience:
            return seen[0], seen[1] + monotonic() - seen[2]

        def work(cursor: Any) -> tuple[State, float]:  # noqa: ANN401
            cursor.execute(_LOOK, (key,))
            text, now = cursor.fetchone()
            self._seen[key] = decode(text or ""), now, monotonic()
            return self._seen[key][:2]

        return self._transact(work)

    def all(self) -> Iterator[tuple[str, State, float]]:
        """As every store."""

        def work(cursor: Any) -> list[tuple[str, str, float]]:  # noqa: ANN401
            cursor.execute(_ALL)
            rows: list[tuple[str, str, float]] = cursor.fetchall()
            return rows

        for key, text, now in self._transact(work):
            yield key, decode(text), now

    def alive(self, owner: str) -> bool:
        """Whether its session still holds its lock. Asked inside of `update`, on its connection."""
        if owner == self.owner or self._connection is None:
            return True
        with self._connection.cursor() as cursor:
            cursor.execute(_GONE, (owner,))
            gone = cursor.fetchone() == (True,)
            if gone:
                cursor.execute(_LET_GO, (owner,))
        return not gone

    def close(self) -> None:
        """Close the session; what this owner still holds is free for others at once."""
        with self._lock:
            self._closed = True
            self._drop()

    def _transact(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction, on a new connection when the one there is was cut off meanwhile."""
        import psycopg2  # type: ignore[import-untyped]

        if not self._lock.acquire(timeout=PATIENCE):
            raise self._unavailable("it is busy")
        try:
            if self._closed:
                raise self._unavailable("it was closed")
            if self._pid != os.getpid():
                self._connection, self._pid = None, os.getpid()  # the parent's, after a fork
            fresh = self._connection is None
            try:
                return self._once(work)
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                self._drop()
                if fresh or isinstance(error, psycopg2.errors.QueryCanceled | psycopg2.errors.LockNotAvailable):
                    raise
                return self._once(work)
        except psycopg2.Error as error:
            self._drop()
            raise self._unavailable(str(error).strip().partition("\n")[0] or type(error).__name__) from None
        finally:
            self._lock.release()

    def _once(self, work: Callable[[Any], T]) -> T:
        connection = self._connection or self._connect()
        with connection, connection.cursor() as cursor:
            return work(cursor)

    def _connect(self) -> Any:  # noqa: ANN401
        import psycopg2

        try:
            connection = psycopg2.connect(
                self._address,
                connect_timeout=PATIENCE,
                application_name="integration_assets limits",
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=4,
                tcp_user_timeout=2000 * PATIENCE,
            )
        except psycopg2.ProgrammingError:
            raise _wrong("the database's address is not one that Postgres knows") from None
        with suppress(psycopg2.errors.UniqueViolation, psycopg2.errors.InsufficientPrivilege), connection:
            # Two that make it at once: the second is refused, and finds it there.
            connection.cursor().execute(_CREATE)
        with connection:
            connection.cursor().execute(_SETTINGS)
            connection.cursor().execute(_HOLD, (self.owner,))
        self._connection = connection
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None
        self._seen.clear()

    def _unavailable(self, why: str) -> LimitsUnavailableError:
        return LimitsUnavailableError(
            f"the database by which runs share an API's limits does not answer: {why}",
            field="INTEGRATION_LIMITS_URI",
            remedy="See to the database; a later run goes on from the last commit.",
        )


def _wrong(what: str) -> SpecError:
    remedy = "Write postgresql://USER@HOST/DATABASE; a password may be in it, in URL encoding, or in PGPASSWORD."
    return SpecError(what, field="INTEGRATION_LIMITS_URI", remedy=remedy)
