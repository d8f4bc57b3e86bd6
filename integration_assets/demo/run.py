"""The demo: a month of flights by daily partitions, everything else whole, then a day passes and the delta is synced."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from stamina.instrumentation import set_on_retry_hooks

from integration_assets.cli.report import account_table, line, untouched
from integration_assets.definitions import defs
from integration_assets.demo.place import SOURCE, prepare
from integration_assets.sandbox.process import SandboxProcess
from integration_assets.settings import Settings
from integration_assets.sources import load_source
from integration_assets.spec.cursor import watermark
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.summary import outcome
from integration_assets.stores import Stores

MONTH_END = datetime(2013, 2, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RATE_LIMIT = 200.0
JOB = f"{SOURCE}_sync"

_SAMPLE = """
select origin, count(*) as flights, sum(case when status = 'cancelled' then 1 else 0 end) as cancelled,
       round(avg(departure_delay_min), 1) as mean_delay_min, max(updated_at) as newest
from nyc_ops.flights where _deleted_at is null group by origin order by origin
"""


@dataclass(frozen=True)
class World:
    """What the demo works on: the source and its partitioned stream, where its data lands, Dagster, and the terminal."""

    source: Source
    flights: Stream
    partitions: Partitions
    stores: Stores
    instance: dg.DagsterInstance
    out: Console

    def reached(self) -> datetime | None:
        """How far the flights in the lake are complete; None before the first load."""
        table = self.stores.table(self.source, self.flights)
        mark = watermark(table.state().finished, self.flights.origin) if table.exists() else None
        return mark if isinstance(mark, datetime) else None


def demo(out: Console | None = None) -> int:
    """Run it; the exit status is 0 when every run succeeded and every account adds up."""
    set_on_retry_hooks([])  # the runs are in this process, and say each wait in their own words
    out, began, home = out or Console(), monotonic(), prepare()
    settings, source = Settings.from_environ(), load_source(SOURCE)
    flights = source.stream("flights")
    assert flights.partitions is not None  # noqa: S101 - the demo is written for this source
    with dg.DagsterInstance.get() as instance:
        world = World(source, flights, flights.partitions, Stores.from_settings(settings), instance, out)
        reached = world.reached()
        clock = max(reached, MONTH_END) if reached else MONTH_END
        with SandboxProcess(clock=clock.isoformat(), rate_limit=RATE_LIMIT) as sandbox:
            prepare(sandbox.url)
            out.print(
                f"The sandbox serves the flights of 2013 at {sandbox.url}; its clock is at {sandbox.now()}.", highlight=False
            )
            if reached and reached >= MONTH_END:
                out.print("The month is in the lake already: only what is new is pulled.\n")
                good = _round(world, clock, "Again, nothing has happened upstream")
            else:
                good = _round(world, clock, "First load: January 2013 by daily partitions, everything else whole")
            out.print(f"\nA day passes upstream; its clock is at {sandbox.advance(DAY.total_seconds())}.", highlight=False)
            good = _round(world, clock + DAY, "Delta: what one day changed") and good
    _ending(world, settings, home, monotonic() - began)
    return 0 if good else 1


def _round(world: World, now: datetime, title: str) -> bool:
    """Run the source's job up to `now` and print the account that Dagster recorded of it."""
    start = world.reached() or world.partitions.origin
    run_id = str(uuid4())
    keys = list(world.partitions.keys(start, now))
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]} if keys else {}
    whole = [stream for stream in world.source.streams if stream.partitions is None]
    names = [stream.name for stream in (world.source.streams if keys else whole)]
    succeeded = _execute(world, run_id, names, tags, slices=len(keys) + len(whole))
    accounts = _recorded(world.instance, run_id)
    rows = []
    for stream in world.source.streams:
        receipts = accounts[stream.name]
        account = outcome(receipts) or untouched(world.source, stream, run_id)
        rows.append((f"{world.source.name}.{stream.name}", account, receipts))
    world.out.print(account_table(rows, title))
    if not succeeded:
        world.out.print(f"[bold red]The run failed[/]; its log: {run_id}. Open the UI with make dev.")
    return succeeded and all(account.adds_up for _, account, _ in rows)


def _execute(world: World, run_id: str, names: Sequence[str], tags: dict[str, str], slices: int) -> bool:
    """Run the job in a thread of its own and show, from Dagster's event log, how many slices and tables are done."""
    job = defs().resolve_job_def(JOB)
    selection = [dg.AssetKey(key) for name in names for key in ([SOURCE, name], ["warehouse", SOURCE, name])]
    done: list[bool] = []

    def work() -> None:
        result = job.execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            instance=world.instance,
            run_id=run_id,
            tags=tags,
            asset_selection=selection,
            raise_on_error=False,
        )
        done.append(result.success)

    thread = threading.Thread(target=work, name="demo-run")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]:,} records"),
    )
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=world.out, transient=True) as progress:
        pulled = progress.add_task("slices pulled", total=slices, rows=0)
        merged = progress.add_task("tables merged", total=len(names), rows=0)
        thread.start()
        events: list[tuple[list[str], dict[str, Any]]] = []
        cursor = None
        while thread.is_alive():
            sleep(0.3)
            more, cursor = _materializations(world.instance, run_id, cursor)
            events += more
            lake = [metadata for key, metadata in events if key[0] == SOURCE]
            rows = sum(int(metadata["records fetched"]) for metadata in lake if "records fetched" in metadata)
            progress.update(pulled, completed=len(lake), rows=rows)
            totals = sum(int(metadata["dagster/row_count"]) for key, metadata in events if key[0] != SOURCE)
            progress.update(merged, completed=len(events) - len(lake), rows=totals)
    return done == [True]


def _materializations(
    instance: dg.DagsterInstance, run_id: str, after: str | None = None
) -> tuple[list[tuple[list[str], dict[str, Any]]], str]:
    """What Dagster recorded of the run, all of it or what came `after`: asset paths and metadata values; and where that ends."""
    read = instance.get_records_for_run(run_id, after, dg.DagsterEventType.ASSET_MATERIALIZATION)
    found = []
    for record in read.records:
        event = record.event_log_entry.dagster_event
        if event is not None:
            made = event.step_materialization_data.materialization
            found.append((list(made.asset_key.path), {name: value.value for name, value in made.metadata.items()}))
    return found, read.cursor


def _recorded(instance: dg.DagsterInstance, run_id: str) -> dict[str, list[Receipt]]:
    """The run's receipts by stream, as the lake assets' metadata hold them."""
    accounts: dict[str, list[Receipt]] = defaultdict(list)
    for key, metadata in _materializations(instance, run_id)[0]:
        if "receipt" in metadata:
            receipt = Receipt(**{**metadata["receipt"], "slice": tuple(metadata["receipt"]["slice"])})
            accounts[key[-1]].append(receipt)
    return accounts


def _ending(world: World, settings: Settings, home: Path, seconds: float) -> None:
    out = world.out
    table = Table("warehouse table", "rows", title="Where it is")
    for stream in world.source.streams:
        rows = world.stores.warehouse.query(f"select count(*) as n from {world.source.name}.{stream.name}").to_pylist()
        table.add_row(f"{world.source.name}.{stream.name}", f"{rows[0]['n']:,}")
    out.print()
    out.print(table)
    line(out, f"Lake, a Delta table a stream:\n  {world.stores.lake.uri}/{world.source.name}")
    line(out, f"Warehouse:\n  {settings.warehouse_uri}")
    line(out, f"Dagster:\n  {home}")
    answer = world.stores.warehouse.query(_SAMPLE)
    sample = Table(*answer.column_names, title="Flights by airport, from the warehouse")
    for row in answer.to_pylist():
        sample.add_row(*(str(value) for value in row.values()))
    out.print(sample)
    out.print(f"Took {seconds:,.0f} s. Open the UI: [bold]make dev[/], then http://127.0.0.1:3000.", highlight=False)
    line(out, "The command line: . .venv/bin/activate, then integration --help")
