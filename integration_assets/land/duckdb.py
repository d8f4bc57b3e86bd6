"""The embedded warehouse: a DuckDB file, opened only while it is used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from integration_assets.errors import WarehouseError
from integration_assets.land import duckdb_merge as sql
from integration_assets.land.duckdb_history import merge_history, rebuild_history, wrong_histories
from integration_assets.land.duckdb_session import explained, session
from integration_assets.land.duckdb_sweep import compare
from integration_assets.land.duckdb_tables import columns, ensure, first, last_merge, qualified, quote, record, shown
from integration_assets.land.duckdb_verify import fingerprint
from integration_assets.land.fingerprint import Fingerprint
from integration_assets.land.merging import Changes, Plan, plan_merge
from integration_assets.land.store import VersionsGoneError
from integration_assets.land.sweeping import Differences, Lists
from integration_assets.land.warehouse import MergeResult, Target, check_shape, identity

if TYPE_CHECKING:
    from integration_assets.land.lake import LakeTable
    from integration_assets.spec.cursor import CursorValue

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
        self._mine = threading.local()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Open the file once for all calls of this thread inside: each would take 20 ms of CPU for that alone."""
        with self._session() as con:
            before, self._mine.held = getattr(self._mine, "held", None), con
            try:
                yield
            finally:
                self._mine.held = before

    def check(self) -> None:
        """Open the file, making it if need be. Raises `WarehouseError`, `WarehouseBusyError`."""
        with self._session() as con:
            first(con, "SELECT 1")

    def table_name(self, target: Target) -> str:
        """`"file"."source"."stream"`; asks the file itself for its name within DuckDB."""
        with self._session() as con:
            return qualified(con, target)

    def version(self, source: str, stream: str) -> int | None:
        """The lake version that the stream's table has reached; None if it was never merged."""
        if not self.path.exists():
            return None
        with self._session() as con:
            last = last_merge(con, source, stream)
        return last.version if last else None

    def doubled_keys(self, target: Target) -> int:
        """How many keys (in an append table: keys with their version) have more than one row; 0 without key or table.

        In a history: how many keys have more than one current row, a version twice, or ranges that overlap.
        """
        if not target.key or not self.path.exists():
            return 0
        with self._session() as con:
            there = columns(con, target)
            check_shape(target, there)
            if not there:
                return 0
            if target.disposition == "history":
                return wrong_histories(con, target)
            names = ", ".join(quote(name) for name in identity(target))
            found = first(
                con, f"SELECT count(*) FROM (SELECT 1 FROM {qualified(con, target)} GROUP BY {names} HAVING count(*) > 1)"
            )
        return int(found[0]) if found else 0

    def fingerprint(self, target: Target, since: CursorValue | None = None) -> Fingerprint:
        """Count and hash of the table's rows whose version is at or after `since`, to be held against the lake's."""
        if not self.path.exists():
            return Fingerprint(0, 0, 0 if target.key else None)
        with self._session() as con:
            return fingerprint(con, target, since)

    @contextmanager
    def compare(self, target: Target, lake_table: LakeTable, lists: Lists) -> Iterator[Differences]:
        """How the API's list of keys differs from the table; the file is held while its rows are read. Writes nothing."""
        if not self.path.exists():
            yield Differences()
            return
        with self._session() as con:
            yield compare(con, target, lake_table, lists)

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
        nothing that is there already; an append table without key gets the snapshot in place of its rows, and so does every
        table when rows were deleted from the lake.
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
        held = getattr(self._mine, "held", None)
        if held is not None:
            return explained(held, self.path)
        return session(self.path, self._wait_seconds, self._on_wait, self._memory, self._threads)


def _merge(
    con: duckdb.DuckDBPyConnection, target: Target, lake_table: LakeTable, run_id: str, started: float, *, rebuild: bool
) -> MergeResult:
    last = last_merge(con, target.source, target.stream)
    reached = last.version if last else None
    there, view_there = columns(con, target), shown(con, target)
    check_shape(target, there)
    plan = plan_merge(target, lake_table, last, there=bool(there), rebuild=rebuild)
    if plan is None:
        return _result(con, target, reached, reached, 0, Changes(), started)
    rows = sql.stage(con, lake_table.scan(plan.files, plan.schema.names) if plan.files else (), plan.schema)
    with _transaction(con):
        ensure(con, target, there, view_there)
        changes = _apply(con, target, plan)
        result = _result(con, target, reached, plan.version, rows, changes, started)
        record(con, target, result, plan.lake, run_id)
    con.execute(f"DROP TABLE IF EXISTS {sql.STAGED}")
    return result


def _apply(con: duckdb.DuckDBPyConnection, target: Target, plan: Plan) -> Changes:
    if plan.action is None:
        return Changes()
    if plan.pulled_at:
        sql.keep_pull(con, plan.pulled_at)
    rebuild = rebuild_history if target.disposition == "history" else sql.rebuild
    work = {"merge": sql.merge, "append": sql.append, "replace": sql.replace_all, "history": merge_history, "rebuild": rebuild}
    return work[plan.action](con, target)


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
    changes: Changes,
    started: float,
) -> MergeResult:
    total = first(con, f"SELECT count(*) FROM {qualified(con, target)}") if columns(con, target) else None
    return MergeResult(
        lake_version_before=before,
        lake_version_after=after,
        rows_read=rows,
        inserted=changes.inserted,
        updated=changes.updated,
        deleted=changes.deleted,
        rows_total=total[0] if total else 0,
        seconds=round(time.monotonic() - started, 3),
        table=qualified(con, target),
    )
