"""The BigQuery warehouse: load jobs from the lake's own files, then one transaction that merges and remembers it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from google.cloud.bigquery import Client, QueryJob, ScalarQueryParameter, Table

from integration_assets.errors import WarehouseBusyError, WarehouseError
from integration_assets.land.bigquery_errors import CLIENT_ERRORS, explain, passes
from integration_assets.land.bigquery_history import wrong_histories
from integration_assets.land.bigquery_jobs import job_name, load, query_config, run_script
from integration_assets.land.bigquery_merge import script, unpruned
from integration_assets.land.bigquery_parts import Merge
from integration_assets.land.bigquery_sweep import Comparison, differences, stage_keys
from integration_assets.land.bigquery_tables import Names, ensure, ensure_own, find, label, last_merge, quote
from integration_assets.land.bigquery_types import column
from integration_assets.land.bigquery_verify import fingerprint
from integration_assets.land.fingerprint import Fingerprint, place
from integration_assets.land.merging import Plan, Recorded, plan_merge
from integration_assets.land.store import VersionsGoneError
from integration_assets.land.sweeping import Differences, Lists
from integration_assets.land.warehouse import MergeResult, Target, check_shape, identity

if TYPE_CHECKING:
    from google.cloud.bigquery.table import RowIterator, _EmptyRowIterator

    from integration_assets.land.lake import LakeTable
    from integration_assets.spec.cursor import CursorValue

_TRIES = 5
_MOST_URIS = 10_000
_TYPES: dict[type, str] = {bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING", bytes: "BYTES"}


class OvertakenError(Exception):
    """Another merge of the stream was first; what is left to do must be looked at again."""


class BigQueryWarehouse:
    """A dataset a source, a table a stream, in one project and location.

    client       : opens a client, such as dagster-gcp's `BigQueryResource.get_client`; or one client, which stays open.
    prefix       : what the datasets' names begin with, for several warehouses in one project.
    wait_seconds : how long to wait for one job; it then goes on without us and the next run finds it.
    maximum_bytes_billed : a statement that would scan more is refused; None for no limit. A target may say otherwise.
    partition    : the unit of the tables' partitions. A table can have 10,000, and one merge can write 4,000.
    """

    def __init__(
        self,
        project: str,
        location: str,
        client: Client | Callable[[], AbstractContextManager[Client]],
        prefix: str = "",
        *,
        wait_seconds: float = 3600,
        maximum_bytes_billed: int | None = None,
        partition: Literal["DAY", "MONTH", "YEAR"] = "DAY",
    ) -> None:
        self.names = Names(project, location, prefix)
        self._client: Callable[[], AbstractContextManager[Client]]
        self._client = (lambda: nullcontext(client)) if isinstance(client, Client) else client
        self._wait = wait_seconds
        self._most = maximum_bytes_billed
        self._partition = partition

    def check(self) -> None:
        """Make the warehouse's own datasets, and have a query priced. Raises `WarehouseError`, `RescheduleError`."""
        with self._open("make the warehouse's datasets") as client:
            ensure_own(client, self.names)
            self._run(client, "SELECT 1", dry_run=True)

    def table_name(self, target: Target) -> str:
        """`` `project.dataset.stream` ``."""
        return quote(self.names.table(target))

    def version(self, source: str, stream: str) -> int | None:
        """The lake version that the stream's table has reached; None if it was never merged."""
        with self._open("read how far the stream is merged") as client:
            last = last_merge(client, self.names, source, stream)
        return last.version if last else None

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        """The rows that `sql` selects; parameters by place are `?`, by name `@name`."""
        pairs = parameters.items() if isinstance(parameters, Mapping) else [(None, value) for value in parameters or ()]
        with self._open("query") as client:
            job = self._run(client, sql, [_parameter(name, value) for name, value in pairs])
            # Row by row through the same API, not Google's storage API, which is another host and another permission.
            return job.result(timeout=self._wait).to_arrow(create_bqstorage_client=False)

    def held(self) -> AbstractContextManager[None]:
        """Nothing to hold: BigQuery lets everyone in."""
        return nullcontext()

    def doubled_keys(self, target: Target) -> int:
        """How many keys (in an append table: keys with their version) have more than one row; 0 without key or table.

        In a history: how many keys have more than one current row, a version twice, or ranges that overlap.
        """
        if not target.key:
            return 0
        with self._open("count doubled keys") as client:
            table = find(client, self.names, target)
            check_shape(target, _column_names(table))
            names = ", ".join(quote(name) for name in identity(target))
            groups = f"SELECT 1 FROM {self.table_name(target)} GROUP BY {names} HAVING COUNT(*) > 1"
            history = target.disposition == "history"
            sql = wrong_histories(target.key, self.table_name(target)) if history else f"SELECT COUNT(*) AS n FROM ({groups})"
            return int(next(iter(self._run(client, sql).result()))["n"]) if table else 0

    def fingerprint(self, target: Target, since: CursorValue | None = None) -> Fingerprint:
        """Count and hash of the table's rows whose version is at or after `since`, to be held against the lake's."""
        parameters = [] if since is None or place(target) is None else [_parameter("since", since)]
        sql = fingerprint(target, self.table_name(target), narrowed=bool(parameters))
        with self._open("count the rows of a table") as client:
            if not find(client, self.names, target):
                return Fingerprint(0, 0, 0 if target.key else None)
            found = next(iter(self._run(client, sql, parameters).result(timeout=self._wait)))
        return Fingerprint(found["n"], found["n"] - found["gone"], (found["digest"] or 0) if target.key else None)

    @contextmanager
    def compare(self, target: Target, lake_table: LakeTable, lists: Lists) -> Iterator[Differences]:
        """How the API's list of keys differs from the table. Loads the list beside it; changes nothing of it."""
        with self._open("compare a list of keys with a table") as client:
            if not find(client, self.names, target):
                yield Differences()
                return
            staged = [
                stage_keys(client, self.names, target, lake_table, [_uri(lake_table, file.path) for file in files], self._wait)
                for files in (lists.listed, lists.touched)
            ]
            bounds = {"tenant": lists.tenant[1] if lists.tenant else None, "until": lists.until}
            parameters = [_parameter(name, value) for name, value in bounds.items() if value is not None]

            def rows(sql: str) -> RowIterator | _EmptyRowIterator:
                return self._run(client, sql, parameters).result(timeout=self._wait)

            try:
                yield differences(Comparison(target, self.table_name(target), staged[0], staged[1], lists), rows)
            finally:
                for name in staged:
                    self._drop(client, name)

    def merge(self, target: Target, lake_table: LakeTable, run_id: str) -> MergeResult:
        """Bring the table up to the lake's newest version and record that version, in one transaction. Repeatable.

        When the lake's versions cannot be read one by one any more, the whole snapshot is merged again, which changes
        nothing that is there already; an append table without key gets the snapshot in place of its rows.
        """
        started, rebuild = time.monotonic(), False
        with self._open("merge") as client:
            for _ in range(_TRIES):
                last = last_merge(client, self.names, target.source, target.stream)
                table = find(client, self.names, target)
                check_shape(target, _column_names(table))
                plan = self._plan(target, lake_table, last, table, rebuild=rebuild)
                if plan is None:
                    return self._nothing_new(target, last, table, started)
                try:
                    return self._carry_out(client, target, lake_table, plan, last, table, run_id, started)
                except VersionsGoneError:
                    rebuild = True
                except OvertakenError:
                    rebuild = False
        raise WarehouseBusyError(
            f"other merges of {target.source}.{target.stream} were first {_TRIES} times",
            remedy="A later run merges what is left.",
        )

    def _plan(
        self, target: Target, lake_table: LakeTable, last: Recorded | None, table: Table | None, *, rebuild: bool
    ) -> Plan | None:
        plan = plan_merge(target, lake_table, last, there=table is not None, rebuild=rebuild)
        if plan and len(plan.files) > _MOST_URIS and not plan.snapshot:
            plan = plan_merge(target, lake_table, last, there=table is not None, rebuild=True)
        if plan and len(plan.files) > _MOST_URIS:
            raise WarehouseError(
                f"the lake's table at {lake_table.uri} has {len(plan.files):,} files, and one load job takes {_MOST_URIS:,}",
                remedy="Compact the lake's table, then merge again.",
            )
        return plan

    def _carry_out(
        self,
        client: Client,
        target: Target,
        lake_table: LakeTable,
        plan: Plan,
        last: Recorded | None,
        table: Table | None,
        run_id: str,
        started: float,
    ) -> MergeResult:
        labels = {"run": label(run_id), "source": label(target.source), "stream": label(target.stream)}
        columns = ensure(client, self.names, target, table, self._partition)
        uris = [_uri(lake_table, file.path) for file in plan.files]
        parts = [part for part in (self.names.prefix, target.source, target.stream) if part]
        reach = ["start" if plan.before is None else str(plan.before), str(plan.version)]
        name = job_name([*parts, *reach], plan.lake, plan.schema, *uris)
        rows, staged = 0, f"{self.names.staging}.{name}"
        if uris:
            staging = [column(field) for field in plan.schema]
            rows = load(client, self.names, name, uris, staging, labels, self._wait).output_rows or 0
        if not rows and plan.action in {"merge", "append", "history"}:
            plan = replace(plan, action=None)
        merge = Merge(self.names, target, columns, plan, staged if rows else None, self._partition)
        try:
            job, dry = self._transact(client, merge, name, rows, last, run_id, labels)
            found = next(iter(job.result()))
        except OvertakenError:
            self._drop(client, merge.staged)
            raise
        self._drop(client, staged if uris else None)
        return MergeResult(
            lake_version_before=last.version if last else None,
            lake_version_after=plan.version,
            rows_read=rows,
            inserted=found["inserted"],
            updated=found["updated"],
            deleted=found["deleted"],
            rows_total=found["rows_total"],
            seconds=round(time.monotonic() - started, 3),
            table=self.table_name(target),
            bytes_billed=job.total_bytes_billed,
            slot_seconds=None if job.slot_millis is None else job.slot_millis / 1000,
            dry_run_bytes=dry,
        )

    def _drop(self, client: Client, staged: str | None) -> None:
        """Drop what was staged. After any other error it stays for the next run, for a day at most."""
        if staged:
            # The merge is committed: a table that could not be dropped goes by itself, with its dataset's expiration.
            with suppress(*CLIENT_ERRORS):
                client.delete_table(staged, not_found_ok=True)

    def _transact(
        self, client: Client, merge: Merge, name: str, rows: int, last: Recorded | None, run_id: str, labels: Mapping[str, str]
    ) -> tuple[QueryJob, int | None]:
        """Run the merge's transaction. Raises `OvertakenError` when another merge of the stream was first."""
        target, most = merge.target, merge.target.maximum_bytes_billed or self._most
        parameters: dict[str, str | int | None] = {
            "lake": merge.plan.lake,
            "version": merge.plan.version,
            "lake_before": last.lake if last else None,
            "version_before": last.version if last else None,
            "source": target.source,
            "stream": target.stream,
            "run_id": run_id,
            "rows_read": rows,
        }

        def moved() -> bool:
            return last_merge(client, self.names, target.source, target.stream) != last

        try:
            statement = unpruned(merge)
            dry = self._run(client, statement, dry_run=True).total_bytes_processed if statement else None
            job, mine = run_script(client, self.names, name, script(merge), parameters, labels, most, moved, self._wait)
        except CLIENT_ERRORS as error:
            # Whatever it says (moved on, aborted by a concurrent update, staging dropped): what counts is who is recorded.
            if moved():
                raise OvertakenError from error
            if "concurrent update" in str(error).lower() and not passes(error):
                raise OvertakenError from error
            raise explain(error, f"merge into {self.table_name(target)}") from error
        if not mine:
            raise OvertakenError
        return job, dry

    def _nothing_new(self, target: Target, last: Recorded | None, table: Table | None, started: float) -> MergeResult:
        version = last.version if last else None
        rows = (table.num_rows or 0) if table else 0
        seconds = round(time.monotonic() - started, 3)
        return MergeResult(version, version, 0, 0, 0, 0, rows, seconds, self.table_name(target), bytes_billed=0)

    def _run(
        self, client: Client, sql: str, parameters: Sequence[ScalarQueryParameter] = (), *, dry_run: bool = False
    ) -> QueryJob:
        config = query_config({}, None if dry_run else self._most, dry_run=dry_run)
        config.query_parameters = list(parameters)
        return client.query(sql, config, location=self.names.location, project=self.names.project)

    @contextmanager
    def _open(self, doing: str) -> Iterator[Client]:
        """A client, whose errors become ours."""
        try:
            with self._client() as client:
                yield client
        except CLIENT_ERRORS as error:
            raise explain(error, doing) from error


def _column_names(table: Table | None) -> list[str]:
    return [field.name for field in table.schema] if table else []


def _uri(lake_table: LakeTable, path: str) -> str:
    if not lake_table.uri.startswith("gs://"):
        raise WarehouseError(
            f"BigQuery loads from gs:// and the lake's table is at {lake_table.uri}",
            remedy="Put the lake into a bucket (INTEGRATION_LAKE_URI=gs://…), or use the DuckDB warehouse.",
        )
    return f"{lake_table.uri}/{path}"


def _parameter(name: str | None, value: Any) -> ScalarQueryParameter:  # noqa: ANN401 - any scalar
    kind = next((kind for type_, kind in _TYPES.items() if isinstance(value, type_)), "TIMESTAMP")
    return ScalarQueryParameter(name, kind, value)
