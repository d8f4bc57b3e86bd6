"""Runs the emulator; started by process.py with the interpreter of the emulator's own environment."""

from __future__ import annotations

import functools
import os
import sys
import threading
from contextlib import suppress
from typing import Any


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


class _Cursor:
    """A cursor that knows whether a transaction is open, and says so where DuckDB would break the transaction off."""

    def __init__(self, cursor: Any) -> None:  # noqa: ANN401 - a DuckDB cursor, which only that environment has
        self._cursor = cursor
        self._open = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._cursor, name)

    def execute(self, sql: str, *arguments: Any) -> Any:  # noqa: ANN401
        """As the cursor, except that a transaction cannot begin within one."""
        word = sql.lstrip()[:8].upper()
        if word.startswith("BEGIN") and self._open:
            from duckdb import TransactionException

            raise TransactionException("there is a transaction already")
        done = self._cursor.execute(sql, *arguments)
        if word.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            self._open = word.startswith("BEGIN")
        return done


def _mend_merge() -> None:
    """Let MERGE run within a transaction, and with a function's named argument.

    local-bigquery 0.3.2 tries BEGIN for each MERGE, at which DuckDB 1.5 aborts the transaction that is open. And it writes the
    statement anew, in which a named argument is lost; so the only one that merges have is taken out, which changes nothing
    for numbers of common size.
    """
    from local_bigquery.jobs import query  # type: ignore[import-not-found]

    execute = query.execute

    def mended(cursor: Any, project: str, job: str, config: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        plain = config.replace(query=(config.query or "").replace(", wide_number_mode => 'round'", ""))
        return execute(_Cursor(cursor), project, job, plain, *arguments, **named)

    query.execute = mended


def _mend_job_ids() -> None:
    """Look an id up and take it in one step: without that two equal jobs at once both run, or one ends as a 400."""
    from local_bigquery.jobs import runner

    submit, lock = runner.submit, threading.Lock()

    def one_at_a_time(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        with lock:
            return submit(*arguments, **named)

    runner.submit = one_at_a_time


def _mend_speed() -> None:
    """Work in one thread, for statements this small cost more to share out than to do; and open only the projects in use.

    Each look at the catalog reads every project that is open, and the results of every query so far: those projects but the
    default one and the newest are closed, and opened again when they are asked for, and their results dropped. And no statement
    looks for partitions by time of arrival, which no table here has.
    """
    from duckdb import Error  # type: ignore[import-not-found]
    from local_bigquery.engine import database
    from local_bigquery.sql.rules import partitions  # type: ignore[import-not-found]

    connect, attach = database._connect, database._attach

    @functools.cache
    def single() -> Any:  # noqa: ANN401
        connection = connect()
        connection.execute("SET threads = 1")
        return connection

    def alone(connection: Any, project: str) -> None:  # noqa: ANN401
        for other in database._attached - {project, database.settings.default_project_id}:
            with suppress(Error):  # still used by a query: it stays open until the next project comes
                connection.execute(f"DETACH {database.quote(other)}")
                database._attached.discard(other)
        results = "FROM duckdb_tables() WHERE database_name = 'emulator' AND schema_name = '_results'"
        for (name,) in connection.execute(f"SELECT table_name {results}").fetchall():
            if not name.startswith(f"{project}:"):
                connection.execute(f"DROP TABLE IF EXISTS {database.quote('emulator', '_results', name)}")
        attach(connection, project)

    database._connect, database._attach = single, alone
    partitions._hidden = lambda _: False


def main() -> None:
    """Unpack DuckDB's extensions from their wheels below HOME, for there is no network, then serve."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from duckdb_extensions.extension_importer import import_extension  # type: ignore[import-not-found]

    for name in ("icu", "ducklake", "spatial", "httpfs"):
        import_extension(name)
    from local_bigquery import cli  # type: ignore[import-not-found]

    _mend_merge()
    _mend_job_ids()
    _mend_speed()
    cli.main(sys.argv[1:])


if __name__ == "__main__":
    main()
