"""`integration sync` says what it will do, does what can be done, and accounts for it whatever happens."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from time import monotonic, sleep

import pytest

from integration_assets.sync import sync
from integration_assets_tests.cli.conftest import Integration
from integration_assets_tests.flow.world import World

FLIGHTS = "/v1/flights"
MONTH = "2013-01-01..2013-01-03"


def account(report: str, name: str) -> str:
    """A stream's cell in the account table, without its frame."""
    lines = [line.strip("│ ") for line in report.splitlines() if line.startswith("│")]
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"{name}: "))
    return "\n".join(lines[begin : begin + 3])


def test_the_account_is_whole_at_80_columns(integration: Integration, world: World) -> None:
    """No number is cut, each record is accounted for, and the warehouse has what the table says."""
    done = integration("sync", "nyc_ops.flights", "--partition", MONTH)
    assert done.status == 0, done.err
    cell = account(done.out, "nyc_ops.flights")
    assert cell.startswith("nyc_ops.flights: committed, 3 slices")
    numbers = re.search(
        r"records +([\d,]+) = ([\d,]+) accepted \+ ([\d,]+) rejected \+ ([\d,]+) duplicate \+ ([\d,]+) filtered", cell
    )
    assert numbers
    fetched, *parts = (int(number.replace(",", "")) for number in numbers.groups())
    assert fetched == sum(parts) > 0
    assert world.rows("flights") == world.truth("flights")
    assert "…" not in done.out
    assert max(len(line) for line in done.out.splitlines() if line.startswith(("│", "┌"))) <= 80


def test_a_range_past_now_is_pulled_as_far_as_it_goes(integration: Integration, world: World) -> None:
    """Partitions that have not begun are named and left out; the one that is not over is pulled up to the API's clock."""
    done = integration("sync", "nyc_ops.flights", "--partition", "2013-01-01..2013-01-09")
    assert done.status == 0, done.err
    assert "6 partitions from 2013-01-04 to 2013-01-09 left out" in done.out
    assert "2013-01-03 is not over: pulled up to 2013-01-03T12:00:00Z" in done.out
    assert world.rows("flights") == world.truth("flights")


def test_a_to_past_now_is_told_of(integration: Integration) -> None:
    """`--to` in the API's future pulls up to its clock and says so."""
    done = integration("sync", "nyc_ops.weather", "--from", "2013-01-03", "--to", "2013-02-01")
    assert done.status == 0, done.err
    assert "--to 2013-02-01T00:00:00Z is past the API's now: pulled up to 2013-01-03T12:00:00Z" in done.out


@pytest.mark.parametrize(
    "range_",
    [("--partition", "2013-01-04..2013-01-09"), ("--from", "2013-01-04"), ("--from", "2013-01-04", "--to", "2013-01-05")],
)
def test_a_range_that_has_not_begun_is_refused_before_any_work(
    integration: Integration, world: World, range_: tuple[str, ...]
) -> None:
    """Nothing is asked of the stream's endpoint and nothing lands."""
    done = integration("sync", "nyc_ops.flights", *range_)
    assert done.status == 2
    assert "nyc_ops.flights" in done.err
    assert FLIGHTS not in world.upstream.requests()


def test_a_range_backwards_is_refused(integration: Integration) -> None:
    """LAST..FIRST is an error that spells the right order, not an empty success."""
    done = integration("sync", "nyc_ops.flights", "--partition", "2013-01-03..2013-01-01")
    assert done.status == 2
    assert "Write the earlier one first: 2013-01-01..2013-01-03." in done.err


def test_nothing_new_is_a_row_and_a_sentence(integration: Integration, world: World) -> None:
    """A stream that is up to date stands in the account, with its watermark and the API's clock."""
    integration("sync", "nyc_ops.flights", "--partition", MONTH)
    integration("sync", "nyc_ops.flights")
    world.upstream.set_clock("2013-01-03T00:00:00Z")
    done = integration("sync", "nyc_ops.flights")
    assert done.status == 0, done.err
    assert account(done.out, "nyc_ops.flights").startswith("nyc_ops.flights: up to date, 0 slices")
    assert "up to date: the watermark is 2013-01-03T12:00:00Z, the API's clock 2013-01-03T00:00:00Z" in done.out
    assert "the watermark 2013-01-03T12:00:00Z is ahead of the API's clock 2013-01-03T00:00:00Z" in done.out


def test_rejects_are_told_of_though_the_sync_succeeds(integration: Integration, world: World) -> None:
    """Status 0, and the number of rejects, their reasons, and where they are."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "bad_rows", "share": 0.02, "field": "status", "value": "lost"}])
    done = integration("sync", "nyc_ops.flights", "--partition", "2013-01-01")
    assert done.status == 0, done.err
    assert re.search(r"nyc_ops\.flights: \d+ of [\d,]+ records rejected", done.out)
    assert "integration rejects nyc_ops.flights" in done.out
    assert str(world.folder / "lake" / "_quarantine" / "nyc_ops__flights") in done.out.splitlines()[-2].strip()
    assert "\n  status: must be isin(['scheduled', 'departed', 'arrived', 'cancelled'])" in done.out


def test_too_many_rejects_name_the_command_that_shows_them(integration: Integration, world: World) -> None:
    """A slice that is refused for its rejects says how to look at them."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "bad_rows", "share": 0.5, "field": "status", "value": "lost"}])
    done = integration("sync", "nyc_ops.flights", "--partition", "2013-01-01")
    assert done.status == 1
    assert "integration rejects nyc_ops.flights" in done.err
    shown = integration("rejects", "nyc_ops.flights", "--limit", "3")
    assert "status: must be" in shown.out
    assert "3 of " in shown.out


def test_what_landed_before_an_error_is_accounted_for_and_merged(integration: Integration, world: World) -> None:
    """Two of three slices land; the third fails: the account shows two, and the warehouse has them."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "status", "status": 404, "after": 2}])
    done = integration("sync", "nyc_ops", "--partition", MONTH)
    assert done.status == 1
    assert "answered 404" in done.err
    assert account(done.out, "nyc_ops.flights").startswith("nyc_ops.flights: committed, 2 slices")
    assert "ended by the error below after 2 of 3 slices" in done.out
    assert "not merged" not in done.out
    assert len(world.rows("flights")) > 1_000


def test_what_a_killed_run_landed_is_merged_though_the_api_fails_now(integration: Integration, world: World) -> None:
    """Killed between its commit and its merge, a run leaves rows that the next one merges, even one that gets nothing itself."""
    with world.feed("flights") as (feed, _):
        assert list(sync(feed, "killed"))
    world.upstream.faults([{"path": FLIGHTS, "kind": "status", "status": 404}])
    assert integration("sync", "nyc_ops.flights").status != 0
    assert world.rows("flights") == world.truth("flights")


def test_the_streams_after_an_error_are_named(integration: Integration, world: World) -> None:
    """Whoever reads the end of the log knows what was not pulled at all."""
    world.upstream.faults([{"path": "/v1/airports", "kind": "status", "status": 404}])
    done = integration("sync", "nyc_ops")
    assert done.status == 1
    assert "nyc_ops.weather: committed" in done.out
    assert "Not pulled: nyc_ops.airlines, nyc_ops.planes" in done.out


def _wait_for_two(world: World) -> None:
    """The slices beside the one that waits land meanwhile."""
    deadline = monotonic() + 60
    with world.feed("flights") as (feed, _):
        while feed.table.state().sequence < 2:
            assert monotonic() < deadline
            sleep(0.05)


def test_an_interrupt_accounts_for_what_landed(world: World) -> None:
    """Ctrl-C while the API is waited for: the account shows what is in the lake, and that it is not merged yet."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "status", "status": 503, "retry_after": 60, "after": 2}])
    process = subprocess.Popen(  # noqa: S603 - our own module
        [
            sys.executable,
            "-c",
            "from integration_assets.cli import main; main()",
            "sync",
            "nyc_ops.flights",
            "--partition",
            MONTH,
        ],
        env={**os.environ, **world.environ, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "trying again in" in line:
                _wait_for_two(world)
                process.send_signal(signal.SIGINT)
                break
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    report = "".join([*seen, rest])
    assert process.returncode == 130, report
    assert "stamina" not in report
    assert account(report, "nyc_ops.flights").startswith("nyc_ops.flights: committed, 2 slices")
    assert "2 slices are in the lake and not merged yet" in report


def test_a_source_s_streams_that_cannot_be_asked_so_are_left_out(integration: Integration, world: World) -> None:
    """`sync SOURCE --from` pulls the streams with a cursor and names the others."""
    done = integration("sync", "nyc_ops", "--from", "2013-01-02", "--to", "2013-01-03")
    assert done.status == 0, done.err
    assert "nyc_ops.planes left out: the stream has no cursor" in done.out
    assert "nyc_ops.flights: committed" in done.out
    assert "nyc_ops.weather: committed" in done.out
    assert set(world.upstream.requests()) == {FLIGHTS, "/v1/weather"}


def test_a_range_that_no_stream_can_take_is_an_error(integration: Integration) -> None:
    """One stream, named, that has no cursor or partitions refuses the option by name."""
    done = integration("sync", "nyc_ops.planes", "--from", "2013-01-02")
    assert (done.status, "nyc_ops.planes (--from)" in done.err) == (2, True)
    done = integration("sync", "nyc_ops.weather", "--partition", "2013-01-02")
    assert (done.status, "nyc_ops.weather (--partition)" in done.err) == (2, True)
