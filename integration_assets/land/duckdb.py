"""The embedded warehouse: a DuckDB file, opened only while it is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from integration_assets.errors import WarehouseError
from integration_assets.land import duckdb_merge as sql
from integration_assets.land.duckdb_session import session
from integration_assets.land.duckdb_tables import columns, ensure, first, last_merge, qualified, record
from integration_assets.land.store import VersionsGoneError
from integration_assets.land.warehouse import EXTRACTED_AT, RUN_ID, MergeResult, Target

if TYPE_CHECKING:
    from integration_assets.land.lake import LakeFile, LakeTable

_TRIES = 3


class DuckDBWarehouse:
    """A warehouse in one DuckDB file, which one process at a time may have open.

    wait_seconds : how long to wait for others that hold the file, before `WarehouseBusyError`.
    on_wait      : told once per operation who holds the file, when there is a wait.
    memory       : what a merge may use before it spills into `<file>.tmp`, as DuckDB writes it.
    """

    def __init__(
        self,
        path: str,
        wait_seconds: float = 300,
        on_wait: Callable[[str], None] | None = None,
        *,
        memory: str = "2GB",
        threads: int = 4,
    ) -> None:
        self.path = Path(path).absolute()
        self._wait_seconds = wait_seconds
        self._on_wait = on_wait
        self._memory = memory
        self._threads = threads

    def check(self) -> None:
        """Open the file, making it if need be. Raises `WarehouseError`, `WarehouseBusyError`."""
        with self._session() as con:
            first(con, "SELECT 1")

    def table_name(self, target: Target) -> str:
        """`"source"."stream"`."""
        return qualified(target)

    def version(self, source: str, stream: str) -> int | None:
        """The lake version that the stream's table has reached; None if it was never merged."""
        if not self.path.exists():
            return None
        with self._session() as con:
            last = last_merge(con, source, stream)
        return last.version if last else None

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        """The rows that `sql` selects, timestamps in UTC. Raises `WarehouseError` if there is no warehouse yet."""
        if not self.path.exists():
            raise WarehouseError(f"there is no warehouse at {self.path}", remedy="Sync a stream first.")
        with self._session() as con:
            selected = con.sql(sql, params=parameters)
            # DuckDB gives no relation for a statement that selects nothing.
            return pa.table({}) if selected is None else selected.to_arrow_table()

    def merge(self, target: Target, lake_table: LakeTable, run_id: str) -> MergeResult:
        """Bring the table up to the lake's newest version and record that version, in one transaction. Repeatable.

        When the lake's versions cannot be read one by one any more, the whole snapshot is merged again, which changes
        nothing that is there already; an append table without key gets the snapshot in place of its rows.
        """
        started = time.monotonic()
        with self._session() as con:
            for attempt in range(_TRIES):
                try:
                    return _merge(con, target, lake_table, run_id, started, rebuild=attempt > 0)
                except VersionsGoneError:
                    # Vacuumed while it was read: the snapshot of now has the same rows in other files.
                    continue
        raise WarehouseError(
            f"the lake's table at {lake_table.uri} was vacuumed again and again while it was read", remedy="Merge again later."
        )

    def _session(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return session(self.path, self._wait_seconds, self._on_wait, self._memory, self._threads)


def _merge(
    con: duckdb.DuckDBPyConnection, target: Target, lake_table: LakeTable, run_id: str, started: float, *, rebuild: bool
) -> MergeResult:
    lake, version = lake_table.identity(), lake_table.version()
    last = last_merge(con, target.source, target.stream)
    # A lake table that was deleted and made anew counts its versions from zero.
    before = last.version if last and last.lake == lake else None
    if version is None or (version == before and not rebuild):
        return _result(con, target, last.version if last else None, before, 0, sql.Changes(), started)
    files, gone = _new_files(lake_table, before, version, rebuild=rebuild)
    emptied = target.disposition == "replace" and _is_empty(lake_table)
    if target.disposition == "replace" and not gone and files:
        files = [file for file in files if file.version == files[-1].version]
    schema = _staged_schema(target, lake_table)
    rows = sql.stage(con, lake_table.scan(files, schema.names) if files and not emptied else (), schema)
    with _transaction(con):
        ensure(con, target)
        known = before is not None
        changes = sql.replace_all(con, target) if emptied else _apply(con, target, rows, gone=gone, known=known)
        result = _result(con, target, last.version if last else None, version, rows, changes, started)
        record(con, target, result, lake, run_id)
    con.execute(f"DROP TABLE IF EXISTS {sql.STAGED}")
    return result


def _is_empty(lake_table: LakeTable) -> bool:
    """Whether the newest full snapshot had no record; the stream allows that, or it would not have been committed."""
    receipt = lake_table.state().receipt
    return receipt is not None and receipt.accepted == 0


def _new_files(lake_table: LakeTable, before: int | None, version: int, *, rebuild: bool) -> tuple[list[LakeFile], bool]:
    """The files to merge, and whether they are the whole snapshot instead of what is new."""
    if before is not None and not rebuild:
        try:
            return lake_table.files(before, version), False
        except VersionsGoneError:
            pass
    return lake_table.snapshot_files(version), True


def _staged_schema(target: Target, lake_table: LakeTable) -> pa.Schema:
    """The lake's columns that the table takes. Raises `WarehouseError` if the lake does not have them yet."""
    schema = lake_table.schema()
    names = [*target.contract_schema.names, sql.DELETED, EXTRACTED_AT, RUN_ID]
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise WarehouseError(
            f"the lake's table at {lake_table.uri} has no column {', '.join(missing)}",
            field=missing[0],
            remedy="Sync the stream with this code first; that adds the contract's columns to the lake.",
        )
    return pa.schema([schema.field(name) for name in names])


def _apply(con: duckdb.DuckDBPyConnection, target: Target, rows: int, *, gone: bool, known: bool) -> sql.Changes:
    if not rows:
        return sql.Changes()
    if target.disposition == "merge":
        return sql.merge(con, target)
    if target.disposition == "replace":
        if gone:
            sql.keep_newest_extraction(con)
        return sql.replace_all(con, target)
    if gone and known and not target.key:
        return sql.replace_all(con, target)
    return sql.append(con, target)


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("BEGIN")
    try:
        yield
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


def _result(
    con: duckdb.DuckDBPyConnection,
    target: Target,
    before: int | None,
    after: int | None,
    rows: int,
    changes: sql.Changes,
    started: float,
) -> MergeResult:
    total = first(con, f"SELECT count(*) FROM {qualified(target)}") if columns(con, target) else None
    return MergeResult(
        lake_version_before=before,
        lake_version_after=after,
        rows_read=rows,
        inserted=changes.inserted,
        updated=changes.updated,
        deleted=changes.deleted,
        rows_total=total[0] if total else 0,
        seconds=round(time.monotonic() - started, 3),
        table=qualified(target),
    )
