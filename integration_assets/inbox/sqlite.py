"""The inbox in a file, for processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from integration_assets.errors import HumanNeededError, RescheduleError

WAIT = 5.0
"""Seconds to wait for another process that is writing."""


class Sqlite:
    """A connection to the file, which is made with its folder. Each commit is synced to the disk."""

    serial = "INTEGER PRIMARY KEY AUTOINCREMENT"
    several = False

    def __init__(self, uri: str) -> None:
        path = Path(uri.removeprefix("sqlite:///").removeprefix("file://"))
        self.where = str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
            # A write-ahead log lets readers and one writer be at it at once; FULL syncs it before a commit returns.
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
        except (OSError, sqlite3.Error) as error:
            raise HumanNeededError(
                f"the inbox at {path} cannot be opened: {error}",
                field="INTEGRATION_INBOX_URI",
                remedy="Give a file in a folder that can be written, on a disk of this machine.",
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[_Cursor]:
        """A cursor whose changes are on disk when the block ends. Raises `RescheduleError`."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Cursor(self._connection.cursor())
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise RescheduleError(
                f"the inbox at {self.where} is not available: {error}",
                field="INTEGRATION_INBOX_URI",
                remedy="See that its disk has room and that nothing holds it for long.",
            ) from error

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()


class _Cursor:
    """A cursor that takes Postgres' mark for a value."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def execute(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run one statement."""
        self._cursor.execute(sql.replace("%s", "?"), values)

    def fetchall(self) -> list[tuple[object, ...]]:
        """The rows of the last statement."""
        return self._cursor.fetchall()

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return self._cursor.rowcount
