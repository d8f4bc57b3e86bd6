"""Several slices of one run at once: the same rows, requests, receipts and watermark as one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from time import monotonic, sleep

import pytest

from integration_assets.errors import AccessDeniedError, ResponseError
from integration_assets.feed import Feed
from integration_assets.parallel import in_order
from integration_assets.spec import Cursor, Slice
from integration_assets.spec.cursor import watermark
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.summary import outcome
from integration_assets.sync import sync
from integration_assets_tests.flow.accounts import KEYS, Accounts
from integration_assets_tests.flow.days import DAY, PAGES, START, Days

ROOT = Path(__file__).parents[2]
END = START + 12 * DAY
LONG = 60.0


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    """Twelve days in three pages each."""
    with Days(tmp_path).served() as api:
        yield api


def _wait(until: Callable[[], object]) -> None:
    deadline = monotonic() + LONG
    while not until():
        assert monotonic() < deadline
        sleep(0.01)


@pytest.mark.parametrize("way", ["partitions", "steps"])
def test_slices_are_pulled_side_by_side(days: Days, way: str) -> None:
    """Four are under way together and never more; rows, requests, receipts and watermark are those of one after the other."""
    together = Barrier(4, timeout=LONG)
    days.on_ask = lambda day, page: together.wait() and None if page == 0 and day < "2024-03-05" else None
    stream = days.stream() if way == "partitions" else days.in_steps()
    keys, span = (days.keys(), None) if way == "partitions" else (None, Slice(START, END))
    with days.feed(stream) as feed:
        receipts = list(sync(feed, "run", partitions=keys, span=span))
        state = feed.table.state()
    starts = [f"{START + number * DAY:%Y-%m-%dT%H:%M:%SZ}" for number in range(12)]
    assert [receipt.slice[0] for receipt in receipts] == starts
    assert [receipt.requests for receipt in receipts] == [PAGES] * 12
    assert sum(receipt.requests for receipt in receipts) == days.requests == feed.client.usage.requests
    assert sum(receipt.bytes for receipt in receipts) == feed.client.usage.bytes
    assert days.most == 4
    assert sorted(receipt.version or 0 for receipt in receipts) == list(range(1, 13))
    assert state.finished == (Slice(START, END),)
    assert watermark(state.finished, START) == END
    assert days.merged(stream) == days.truth()


@pytest.mark.parametrize("limits", [{"slices": 1}, {"concurrent": 2}])
def test_a_source_bounds_how_many(days: Days, limits: dict[str, int]) -> None:
    """One asks for one after the other, and no run pulls more at once than it has connections or slots for."""
    days.limits = limits
    with days.feed() as feed:
        receipts = list(sync(feed, "run", partitions=days.keys()))
    assert days.most <= min(limits.values())
    assert [receipt.accepted for receipt in receipts] == [12] * 12
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("slices-")]


def test_the_watermark_waits_for_the_first_slice(days: Days) -> None:
    """While the first day hangs the others commit, out of order, and the frontier stays; then it moves over all of them."""
    held = Event()
    days.on_ask = lambda day, _page: held.wait(LONG) and None if day == "2024-03-01" else None
    with days.feed() as feed, ThreadPoolExecutor(1) as pool:
        run = pool.submit(lambda: list(sync(feed, "run", partitions=days.keys())))
        _wait(lambda: len(feed.table.state().finished) == 1 and feed.table.state().sequence == 11)
        assert feed.table.state().finished == (Slice(START + DAY, END),)
        assert watermark(feed.table.state().finished, START) is None
        held.set()
        receipts = run.result(LONG)
        assert watermark(feed.table.state().finished, START) == END
    assert [receipt.partition for receipt in receipts] == days.keys()
    assert receipts[0].version == 12
    total = outcome(receipts)
    assert total is not None
    assert (total.watermark_before, total.watermark_after) == (None, "2024-03-13T00:00:00Z")
    assert total.seconds < sum(receipt.seconds for receipt in receipts)
    assert days.merged() == days.truth()


def test_a_failing_slice_hides_no_other(days: Days) -> None:
    """What was under way beside it is committed and told of before the error; nothing begins after it; the next run mends it."""
    together = Barrier(4, timeout=LONG)

    def refuse(day: str, page: int) -> int | None:
        if page == 0 and day < "2024-03-05":
            together.wait()
        if day == "2024-03-02":
            return 404
        # The others go on when the failure is known.
        _wait(lambda: days.asked["2024-03-02"] and days.flying < 4)
        if page == 0:
            sleep(1)  # known here, it has still to be known to the run
        return None

    days.on_ask = refuse
    told: list[str | None] = []
    with days.feed() as feed:
        with pytest.raises(ResponseError, match=r"meters.readings.*404"):
            told.extend(receipt.partition for receipt in sync(feed, "run", partitions=days.keys()))
        assert told == ["2024-03-01", "2024-03-03", "2024-03-04"]
        assert feed.table.state().finished == (Slice(START, START + DAY), Slice(START + 2 * DAY, START + 4 * DAY))
        assert set(days.asked) == {"2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04"}
        days.on_ask = lambda _day, _page: None
        list(sync(feed, "again", partitions=days.keys()))
        assert feed.table.count() == 12 * 12
    assert days.merged() == days.truth()


def test_steps_beyond_a_failed_one_are_not_asked_for_again(days: Days) -> None:
    """A sync that goes on after an error asks for the step that failed, and not for those that landed beside it."""
    together = Barrier(4, timeout=LONG)
    stream = days.in_steps()

    def refuse(day: str, page: int) -> int | None:
        if page == 0 and day < "2024-03-05":
            together.wait()
        return 404 if day == "2024-03-01" else None

    days.on_ask = refuse
    with days.feed(stream) as feed:
        with pytest.raises(ResponseError):
            list(sync(feed, "run", now=END))
        landed = {f"{done.start:%Y-%m-%d}": done for done in feed.table.state().finished}
        assert set(landed) == {"2024-03-02"}
        days.on_ask = lambda _day, _page: None
        days.asked.clear()
        list(sync(feed, "again", now=END))
        assert feed.table.state().finished == (Slice(START, END),)
    assert "2024-03-01" in days.asked
    assert not {"2024-03-02", "2024-03-03", "2024-03-04"} & set(days.asked)
    assert days.merged(stream) == days.truth()


def test_rows_without_a_key_are_pulled_one_slice_after_the_other(days: Days) -> None:
    """Nothing tells a row without a key from its copy, so that nothing of them may land beyond a slice that failed."""
    stream = days.in_steps().changed(disposition="append", key=())
    days.on_ask = lambda day, _page: 404 if day == "2024-03-03" else None
    with days.feed(stream) as feed:
        with pytest.raises(ResponseError):
            list(sync(feed, "run", now=END))
        assert feed.table.state().finished == (Slice(START, START + 2 * DAY),)
        days.on_ask = lambda _day, _page: None
        list(sync(feed, "again", now=END))
        assert feed.table.count() == 12 * 12
    assert days.most == 1


def test_two_failures_are_both_told(days: Days) -> None:
    """The error is the first slice's, and names what failed beside it."""
    together = Barrier(2, timeout=LONG)
    days.limits = {"slices": 2}

    def refuse(day: str, _page: int) -> int:
        together.wait()
        return 403 if day == "2024-03-01" else 404

    days.on_ask = refuse
    with days.feed() as feed, pytest.raises(AccessDeniedError, match=r"403.*beside it failed as well.*404"):
        list(sync(feed, "run", partitions=days.keys()))


def test_retries_are_counted_where_they_happened(days: Days) -> None:
    """Of slices that run at once each has its own requests, retries and bytes; together they are what the API saw."""
    first = {"2024-03-02", "2024-03-07"}

    def stumble(day: str, page: int) -> int | None:
        if page == 1 and day in first:
            first.discard(day)
            return 503
        return None

    days.on_ask = stumble
    with days.feed() as feed:
        receipts = list(sync(feed, "run", partitions=days.keys()))
    assert {receipt.partition: receipt.retries for receipt in receipts if receipt.retries} == {"2024-03-02": 1, "2024-03-07": 1}
    assert sum(receipt.requests for receipt in receipts) == days.requests == 12 * PAGES + 2
    assert all(sum(receipt.latency.values()) == receipt.requests for receipt in receipts)


def test_a_run_that_is_given_up_leaves_no_thread(days: Days) -> None:
    """Who takes no more receipts, as at ctrl-C, waits for no answer: pages that hang are left, and nothing lands afterwards."""
    held = Event()
    days.on_ask = lambda day, _page: held.wait(LONG) and None if day != "2024-03-01" else None
    with days.feed() as feed:
        run = iter(sync(feed, "run", partitions=days.keys()))
        assert next(run).partition == "2024-03-01"
        _wait(lambda: days.flying == 4)
        del run  # closes the generator
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("slices-")]
        assert not held.is_set()
        held.set()
        assert feed.table.state().sequence == 1
        landed = feed.table.receipts()[0].files
    assert sorted(path.name for path in (days.folder / "lake/meters/readings").glob("*.parquet")) == sorted(landed)


CHILD = """
import sys
from pathlib import Path
from integration_assets.sync import sync
from integration_assets_tests.flow.days import Days
api = Days(Path(sys.argv[1]), url=sys.argv[2])
with api.feed() as feed:
    list(sync(feed, "killed", partitions=api.keys()))
"""


def test_a_killed_run_is_gone_on_with(days: Days) -> None:
    """Killed with four slices under way and some committed out of order, a run loses and doubles nothing."""
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(days.folder), days.url], cwd=ROOT, env=env)  # noqa: S603 - ours
    days.on_ask = lambda day, _page: _hold(child) if day in {"2024-03-02", "2024-03-07"} else None
    try:
        with days.feed() as feed:
            _wait(lambda: feed.table.state().sequence >= 3 and days.asked["2024-03-07"])
            child.send_signal(signal.SIGKILL)
            assert child.wait(LONG) == -signal.SIGKILL
            days.on_ask = lambda _day, _page: None
            done = feed.table.state().sequence
            list(sync(feed, "again", partitions=days.keys()))
            assert 3 <= done < 12
            assert feed.table.count() == 12 * 12
            assert feed.table.state().finished == (Slice(START, END),)
    finally:
        child.kill()
        child.wait(LONG)
    assert days.merged() == days.truth()


def _pull(feed: Feed, keys: list[str]) -> list[Receipt]:
    return list(sync(feed, "run", partitions=keys))


def _hold(child: subprocess.Popen[bytes]) -> None:
    _wait(lambda: child.poll() is not None)


def test_two_runs_at_once_land_each_slice_once(days: Days) -> None:
    """Two runs of the same partitions, each with four at once, race without doubling a row or losing a receipt."""
    with days.feed() as one, days.feed() as two, ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(_pull, feed, days.keys()) for feed in (one, two)]
        found = [run.result(60) for run in runs]
        assert one.table.count() == 12 * 12
    for receipts in found:
        assert [receipt.partition for receipt in receipts] == days.keys()
        assert {receipt.outcome for receipt in receipts} <= {"committed", "taken", "empty"}
    assert sum(receipt.accepted for receipts in found for receipt in receipts if receipt.version is not None) == 12 * 12
    assert days.merged() == days.truth()


def test_numbers_in_steps_do_not_stand_in_each_others_way(days: Days) -> None:
    """Steps of an integer cursor that reach only to the highest number seen, or to none, are no rivals."""
    days.days = 1
    stream = days.in_steps().changed(cursor=Cursor(field="id", kind="integer", start=0, start_param="since", step=1))
    days.answer = lambda query: (200, {"data": [days.readings[int(query["since"])]], "next": None})  # type: ignore[method-assign]
    with days.feed(stream) as feed:
        receipts = list(sync(feed, "run", span=Slice(0, 12)))
        assert feed.table.count() == 12
    assert [(receipt.accepted, receipt.requests) for receipt in receipts] == [(1, 1)] * 12


def test_tenants_are_pulled_side_by_side(tmp_path: Path) -> None:
    """Three accounts are asked for at one moment; their receipts come in their order, and all are done to the same one."""
    api = Accounts(tmp_path)
    api.fill()
    together = Barrier(3, timeout=LONG)
    api.on_ask = lambda _: together.wait()
    with api.served():
        receipts = api.pull()
        assert [receipt.tenant for receipt in receipts] == list(KEYS)
        assert [receipt.requests for receipt in receipts] == [1, 1, 1]
        assert {(done.tenant, done.end) for done in api.finished()} == {(key, api.now) for key in KEYS}
        assert api.rows() == api.truth()


def test_results_come_in_order_and_errors_last() -> None:
    """Works that end early wait for their turn; after an error those under way go on to their end, and then it is raised."""
    failed, last = Event(), Event()

    def work(number: int) -> Iterator[int]:
        waits_for = {0: last, 1: failed}.get(number)
        if number == 2:
            failed.set()  # the second fails when all three have begun
        assert waits_for is None or waits_for.wait(LONG)
        yield number * 10
        if number == 1:
            raise ValueError(number)
        yield number * 10 + 1
        last.set()

    taken: list[int] = []
    with pytest.raises(ValueError, match="1"):
        taken.extend(in_order((work(number) for number in range(3)), 3, Event()))
    assert taken == [0, 1, 10, 20, 21]

    def breaks() -> Iterator[Iterator[int]]:
        yield iter([1])
        raise KeyError("no more")

    taken.clear()
    with pytest.raises(KeyError):
        taken.extend(in_order(breaks(), 2, Event()))
    assert taken == [1]


def test_an_interrupt_yields_what_is_ready() -> None:
    """At ctrl-C the works are told to stop, and what they had done before is yielded, so that it can be accounted for."""
    stopped = Event()

    def work(number: int) -> Iterator[int]:
        if number == 1:
            yield 1
            interrupt_main()
        assert stopped.wait(LONG)

    taken: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        taken.extend(in_order((work(number) for number in range(2)), 2, stopped))
    assert taken == [1]
