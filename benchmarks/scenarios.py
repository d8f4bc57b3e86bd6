"""What is measured: each scenario prepares the upstream, then lets every contender run once a round, one after the other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.measure import Contender, Run, feed, run

WIRE = Contender("the wire alone, nothing parsed", "wire")
FLOOR = Contender("floor", "floor")
OURS = Contender("integration_assets", "ours")
OURS_MERGE = Contender("integration_assets, lake and merge", "ours", ("--merge",))
DLT = Contender("dlt rest_api, default", "dlt_rest", peer=True)
DLT_TUNED = Contender("dlt rest_api, tuned", "dlt_rest", ("--tuned",), peer=True)
DLT_BARE = Contender("dlt rest_api, tuned, no cursor", "dlt_rest", ("--tuned", "--no-cursor"), peer=True)
DLT_MERGE = Contender("dlt rest_api, merge to DuckDB, tuned", "dlt_rest", ("--tuned", "--merge"), peer=True)
DLT_ARROW = Contender("dlt, hand-written Arrow resource", "dlt_arrow", peer=True)
PANDAS = Contender("pandas script", "pandas_script", peer=True)
MILLION = 1_000_000
SMALL = ("--page", "100")
"""Pages so small that the wire's latency and not the machine is the limit; large ones have a thousand records, 1.1 MB."""
BY_OFFSET = ("--paging", "offset")
"""On eight connections."""
SMALL_BY_OFFSET = (*SMALL, *BY_OFFSET)


@dataclass(frozen=True)
class Scenario:
    """One table of the results.

    rows, bad, latency : what the upstream has; seconds before each answer.
    contenders         : in the order of a round.
    flags              : for all of them.
    prepare            : whether each contender first does a full load in its folder, which is not measured.
    changed            : records that change between that load and the measured run.
    rounds             : how often at the most; None is as often as asked.
    """

    name: str
    rows: int
    contenders: tuple[Contender, ...]
    bad: float = 0.0
    latency: float = 0.0
    flags: tuple[str, ...] = ()
    prepare: bool = False
    changed: int = 0
    rounds: int | None = None


def scenarios(size: int) -> list[Scenario]:
    """All of them for a history of `size` records."""
    tenth = max(size // 10, 1_000)
    return [
        Scenario("full load", size, (FLOOR, OURS, DLT_ARROW, DLT_BARE, DLT_TUNED, DLT, PANDAS)),
        Scenario("full load of a million", MILLION, (FLOOR, OURS, DLT_ARROW)),
        Scenario(
            "1 % delta of a million with merge", MILLION, (OURS_MERGE, DLT_MERGE), prepare=True, changed=MILLION // 100, rounds=1
        ),
        Scenario("empty sync", 1_000, (OURS, DLT, DLT_TUNED), prepare=True),
        Scenario(
            "backfill of 365 partitions",
            size,
            (OURS,),
            flags=("--days", "365"),
        ),
        Scenario("1 % bad rows", tenth, (OURS,), bad=0.01, flags=("--bad",)),
        Scenario("50 % bad rows", tenth, (OURS,), bad=0.5, flags=("--bad",)),
        Scenario("20 ms latency, 1,000 requests by token", 100_000, (WIRE, FLOOR, OURS), latency=0.02, flags=SMALL),
        Scenario("20 ms latency, 1,000 requests by offset", 100_000, (WIRE, FLOOR, OURS), latency=0.02, flags=SMALL_BY_OFFSET),
        Scenario("100 ms latency, 200 requests by token", 20_000, (WIRE, FLOOR, OURS), latency=0.1, flags=SMALL),
        Scenario("100 ms latency, 200 requests by offset", 20_000, (WIRE, FLOOR, OURS), latency=0.1, flags=SMALL_BY_OFFSET),
        Scenario("20 ms latency, large pages by token", size, (FLOOR, OURS, DLT_BARE), latency=0.02, rounds=1),
        Scenario("20 ms latency, large pages by offset", size, (FLOOR, OURS), latency=0.02, flags=BY_OFFSET),
    ]


def growth(largest: int) -> list[Scenario]:
    """Ours and the floor over sizes that grow tenfold."""
    sizes = [10**power for power in range(4, 8) if 10**power <= largest]
    return [Scenario(f"growth, {size:,} records", size, (FLOOR, OURS)) for size in sizes]


def measured(scenario: Scenario, url: str, rounds: int, say: Callable[[str], None]) -> Iterator[Run]:
    """Every contender `rounds` times, interleaved: what slows the machine for a while slows all of them."""
    for number in range(min(rounds, scenario.rounds or rounds)):
        for contender in _turned(scenario.contenders, number):
            folder = tempfile.mkdtemp(prefix="bench-")
            try:
                feed(url, scenario.rows, 0, scenario.bad, scenario.latency)
                if scenario.prepare:
                    run(contender, url, folder)
                    feed(url, scenario.rows, scenario.changed, scenario.bad, scenario.latency)
                found = run(contender, url, folder, scenario.flags)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            say(
                f"{scenario.name}, round {number + 1}, {contender.name}: {found.rows:,} rows, {found.wall:.2f} s,"
                f" {found.cpu:.2f} CPU-s, {found.peak / 2**20:,.0f} MB, {found.requests:,} requests"
            )
            yield found


def _turned(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Another one first in each round."""
    first = number % len(contenders)
    return [*contenders[first:], *contenders[:first]]
