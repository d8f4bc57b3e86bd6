"""Opening a DuckDB file for one operation, and waiting for whoever holds it: a thread of ours or another process."""

from __future__ import annotations

import errno
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import duckdb

from integration_assets.errors import WarehouseBusyError, WarehouseError

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_LOCKS: dict[str, threading.Lock] = {}
_LOCKS_GUARD = threading.Lock()
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.*?) ?\(PID (?P<pid>\d+)\)")
_REMEDY = "See that INTEGRATION_WAREHOUSE_URI names a DuckDB file that this process can write, with space on its disk."


@contextmanager
def session(
    path: Path, wait_seconds: float, on_wait: Callable[[str], None] | None, memory: str, threads: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the file, alone in this process and among all processes, closed at the end.

    Raises `WarehouseBusyError` after `wait_seconds`, and `WarehouseError` for what DuckDB refuses.
    """
    deadline = time.monotonic() + wait_seconds
    lock = _lock_of(path)
    if not lock.acquire(blocking=False):
        _tell(on_wait, path, "another thread of this process", wait_seconds)
        if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise _busy(path, "another thread of this process", wait_seconds)
    try:
        connection = _connect(path, deadline, wait_seconds, on_wait)
        try:
            with explained(connection, path):
                # Settings after opening: DuckDB refuses a second connection of the process whose opening settings differ.
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET memory_limit = ?", [memory])
                connection.execute("SET threads = ?", [min(threads, os.cpu_count() or 1)])
                connection.execute("SET preserve_insertion_order = false")
                yield connection
        finally:
            connection.close()
    finally:
        lock.release()


@contextmanager
def explained(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the file that is open already. Raises `WarehouseError` for what DuckDB refuses inside."""
    try:
        yield connection
    except (duckdb.InterruptException, RuntimeError) as error:
        # What DuckDB makes of ctrl-C while it works: whoever waits for an interrupt would not know it for one.
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
    except duckdb.Error as error:
        raise explain(error, path) from error


def explain(error: duckdb.Error, path: Path) -> WarehouseError:
    """DuckDB's first line, with what to do."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    # A commit that the disk refuses is a transaction's error to DuckDB.
    of_disk = isinstance(error, duckdb.IOException) or "Could not write file" in text
    return WarehouseError(f"DuckDB refused at {path}: {text}", remedy=_REMEDY if of_disk else None)


def _lock_of(path: Path) -> threading.Lock:
    """One lock per file within this process: DuckDB's own lets all threads of a process in at once."""
    with _LOCKS_GUARD:
        return _LOCKS.setdefault(str(path.resolve()), threading.Lock())


def _connect(
    path: Path, deadline: float, wait_seconds: float, on_wait: Callable[[str], None] | None
) -> duckdb.DuckDBPyConnection:
    pause, told = _FIRST_PAUSE, False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(f"cannot make the folder {path.parent}: {error.strerror}", remedy=_REMEDY) from error
    if not path.exists():
        _create(path)
    while True:
        try:
            return duckdb.connect(str(path))
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise explain(error, path) from error
            found = _HOLDER.search(str(error))
            holder = f"process {found['pid']} ({found['program']})" if found else "another process"
        except duckdb.Error as error:
            raise explain(error, path) from error
        if not told:
            _tell(on_wait, path, holder, wait_seconds)
            told = True
        left = deadline - time.monotonic()
        if left <= 0:
            raise _busy(path, holder, wait_seconds)
        time.sleep(min(left, pause * random.uniform(0.5, 1.5)))  # noqa: S311 - jitter
        pause = min(pause * 2, _LONGEST_PAUSE)


def _create(path: Path) -> None:
    """Put an empty database there, whole: DuckDB opens no file at whose first bytes its creator was killed, ever again."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        duckdb.connect(str(draft)).close()
        with suppress(FileExistsError):  # another process was quicker
            os.link(draft, path)
    except duckdb.Error as error:
        raise explain(error, path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise WarehouseError(f"cannot make {path}: {error.strerror}", remedy=_REMEDY) from error
        # A file system without hard links: DuckDB makes the file in its place.
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _tell(on_wait: Callable[[str], None] | None, path: Path, holder: str, wait_seconds: float) -> None:
    if on_wait:
        on_wait(f"The warehouse {path} is held by {holder}; waiting for up to {wait_seconds:.0f} s.")


def _busy(path: Path, holder: str, wait_seconds: float) -> WarehouseBusyError:
    return WarehouseBusyError(
        f"the warehouse {path} was held by {holder} for longer than {wait_seconds:.0f} s",
        remedy="The lake has the rows; a later run merges them. Close other programs that have the file open.",
    )
