"""DuckDB lets one process write at a time: others wait, say for whom, and give up in words."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration_assets.errors import RescheduleError, WarehouseBusyError, WarehouseError
from integration_assets.land.duckdb import DuckDBWarehouse
from integration_assets.land.duckdb_session import session
from integration_assets.land.lake import Lake
from integration_assets_tests.land.helpers import days, land, row
from integration_assets_tests.land.test_duckdb import TARGET

HOLD = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline(); con.close()"
MERGE = """
import sys
from integration_assets.land.duckdb import DuckDBWarehouse
from integration_assets.land.lake import Lake
from integration_assets_tests.land.test_duckdb import TARGET
print("ready", flush=True)
sys.stdin.readline()
done = DuckDBWarehouse(sys.argv[2], wait_seconds=60).merge(TARGET, Lake(sys.argv[1]).table("shop", "orders"), "run")
print(done.rows_read, done.inserted, done.rows_total, done.lake_version_after, flush=True)
"""


@contextmanager
def program(code: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python process that has said its first word and ends when it is told to."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip()
        yield process


def go(process: subprocess.Popen[str]) -> None:
    """Let the other process go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_merge_waits_for_another_process_and_says_so(tmp_path: Path) -> None:
    """The one waiting message names the file and the process; once that lets go, the merge happens."""
    path = tmp_path / "warehouse.duckdb"
    table = Lake(str(tmp_path / "lake")).table("shop", "orders")
    land(table, [row("a", 1)], days(0, 2))
    told: list[str] = []
    with program(HOLD, str(path)) as holder:

        def let_go(message: str) -> None:
            told.append(message)
            go(holder)

        result = DuckDBWarehouse(str(path), wait_seconds=60, on_wait=let_go).merge(TARGET, table, "run")
    assert result.rows_total == 1
    assert len(told) == 1
    assert str(path) in told[0]
    assert re.search(rf"process {holder.pid}\b", told[0])


def test_a_wait_that_is_too_long_reschedules(tmp_path: Path) -> None:
    """After the allowed wait the error names file and holder and says that the lake has the rows; a later run may go on."""
    path = tmp_path / "warehouse.duckdb"
    with program(HOLD, str(path)) as holder:
        with pytest.raises(WarehouseBusyError, match=rf"{path}.*process {holder.pid}.*The lake has the rows") as raised:
            DuckDBWarehouse(str(path), wait_seconds=0.2).check()
        go(holder)
    assert isinstance(raised.value, RescheduleError)
    DuckDBWarehouse(str(path), wait_seconds=60).check()


def test_two_processes_merging_one_table_merge_it_once(tmp_path: Path) -> None:
    """The second process waits, then finds nothing new."""
    lake, path = tmp_path / "lake", tmp_path / "warehouse.duckdb"
    table = Lake(str(lake)).table("shop", "orders")
    land(table, [row(str(number), 1) for number in range(50)], days(0, 2))
    with program(MERGE, str(lake), str(path)) as one, program(MERGE, str(lake), str(path)) as two:
        go(one)
        go(two)
        said = sorted(process.stdout.readline().strip() for process in (one, two) if process.stdout)
    assert said == ["0 0 50 1", "50 50 50 1"]
    assert DuckDBWarehouse(str(path)).query("SELECT * FROM integration_assets.ledger").num_rows == 1


def test_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    """Eight threads that merge two streams at once end with each row once and one ledger row per stream."""
    lake = Lake(str(tmp_path / "lake"))
    tables = [lake.table("shop", "orders"), lake.table("other", "orders")]
    for table in tables:
        land(table, [row(str(number), 1) for number in range(20)], days(0, 2))
    warehouse = DuckDBWarehouse(str(tmp_path / "warehouse.duckdb"), wait_seconds=60)

    def merge(number: int) -> int:
        from dataclasses import replace

        target = replace(TARGET, source=("shop", "other")[number % 2])
        return warehouse.merge(target, tables[number % 2], "run").inserted

    with ThreadPoolExecutor(8) as pool:
        inserted = sorted(pool.map(merge, range(8)))
    assert inserted == [0] * 6 + [20, 20]
    assert warehouse.query("SELECT * FROM integration_assets.ledger").num_rows == 2


def test_a_thread_that_waits_too_long_is_told_why(tmp_path: Path) -> None:
    """Inside one process the wait ends in the same error, and the same message comes before it."""
    path = (tmp_path / "warehouse.duckdb").absolute()
    told: list[str] = []
    with session(path, 1, None, "1GB", 1):
        waiting = DuckDBWarehouse(os.path.relpath(path), wait_seconds=0.1, on_wait=told.append)
        with pytest.raises(WarehouseBusyError, match="another thread of this process"):
            waiting.check()
    assert len(told) == 1
    assert "another thread" in told[0]
    waiting.check()


CREATE = """
import resource, sys
from pathlib import Path
from integration_assets.errors import WarehouseError
from integration_assets.land.duckdb_session import session
print("ready", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
try:
    with session(Path(sys.argv[1]), 5, None, "64MB", 1):
        print("made", flush=True)
except WarehouseError as error:
    print(error, flush=True)
"""


def test_a_warehouse_that_could_not_be_made_whole_is_not_there(tmp_path: Path) -> None:
    """When the disk refuses a new database in the middle of its header, nothing stays, and the next run makes it."""
    path = tmp_path / "warehouse.duckdb"
    done = subprocess.run([sys.executable, "-B", "-c", CREATE, str(path)], capture_output=True, text=True, check=True)  # noqa: S603
    assert str(path) in done.stdout
    assert list(tmp_path.iterdir()) == []
    with session(path, 5, None, "64MB", 1) as con:
        assert con.execute("SELECT 1").fetchone() == (1,)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_interrupt_while_duckdb_works_is_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C in the midst of a query is told as ctrl-C, not as an error of DuckDB's, and the file is free afterwards."""
    warehouse = DuckDBWarehouse(str(tmp_path / "warehouse.duckdb"), wait_seconds=60)
    warehouse.check()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            warehouse.query("SELECT sum(hash(a.range)) FROM range(3_000_000_000) a")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    warehouse.check()


def test_several_calls_hold_the_file_together(tmp_path: Path) -> None:
    """What a thread does while it holds the warehouse nobody interrupts; an error inside is ours, and ends the hold."""
    path = tmp_path / "warehouse.duckdb"
    table = Lake(str(tmp_path / "lake")).table("shop", "orders")
    land(table, [row("a", 1)], days(0, 2))
    mine, other = DuckDBWarehouse(str(path)), DuckDBWarehouse(str(path), wait_seconds=0)
    with ThreadPoolExecutor(1) as elsewhere:
        with mine.held():
            reached = mine.merge(TARGET, table, "run").lake_version_after
            with mine.held():
                assert mine.version("shop", "orders") == reached
            with pytest.raises(WarehouseBusyError, match="another thread"):
                elsewhere.submit(other.version, "shop", "orders").result(60)
            assert mine.fingerprint(TARGET).rows == 1
        with pytest.raises(WarehouseError, match="refused"), mine.held():
            mine.query("SELECT nothing FROM nowhere")
        assert elsewhere.submit(other.version, "shop", "orders").result(60) == reached
