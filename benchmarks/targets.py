"""What we set out to reach, beside what the runs of this session say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Contender, Run
from benchmarks.scenarios import (
    DLT,
    DLT_ARROW,
    DLT_BARE,
    DLT_MERGE,
    DLT_TUNED,
    FLOOR,
    OURS,
    OURS_MERGE,
    WIRE,
    Scenario,
)

_CONNECTIONS = 8
Found = Mapping[str, Sequence[Run]]
"""The runs of each scenario, by its name."""


@dataclass(frozen=True)
class Target:
    """One line: what is compared, in which scenario, and how good it has to be."""

    what: str
    scenario: str
    least: float | None
    most: float | None
    measure: Callable[[Sequence[Run]], float]


def _rounds(runs: Sequence[Run], contender: Contender) -> list[Run]:
    return [run for run in runs if run.contender == contender.name]


def _ratio(above: Contender, below: Contender, figure: str) -> Callable[[Sequence[Run]], float]:
    """The median over the rounds of one contender's figure in shares of another's, each in its own round."""

    def measure(runs: Sequence[Run]) -> float:
        pairs = zip(_rounds(runs, above), _rounds(runs, below), strict=True)
        return float(median(getattr(a, figure) / getattr(b, figure) for a, b in pairs))

    return measure


def _own(figure: str, contender: Contender = OURS, unit: float = 1) -> Callable[[Sequence[Run]], float]:
    return lambda runs: median(getattr(run, figure) for run in _rounds(runs, contender)) / unit


def _bound(latency: float, at_once: int) -> Callable[[Sequence[Run]], float]:
    """Wall time in shares of what the latency alone takes: requests times latency, over the connections."""
    return lambda runs: median(run.wall / (run.requests * latency / at_once) for run in _rounds(runs, OURS))


TARGETS = (
    Target("rows per CPU-second, of the floor's", "full load of a million", 0.65, None, _ratio(FLOOR, OURS, "cpu")),
    Target("rows per CPU-second, of the floor's", "full load", 0.65, None, _ratio(FLOOR, OURS, "cpu")),
    Target("rows a second, times dlt rest_api by default", "full load", 10, None, _ratio(DLT, OURS, "wall")),
    Target("rows a second, times dlt rest_api, tuned", "full load", 6, None, _ratio(DLT_TUNED, OURS, "wall")),
    Target("the same with its cursor left out", "full load", 6, None, _ratio(DLT_BARE, OURS, "wall")),
    Target("rows a second, times a hand-written Arrow resource in dlt", "full load", 1, None, _ratio(DLT_ARROW, OURS, "wall")),
    Target("the same, of a million", "full load of a million", 1, None, _ratio(DLT_ARROW, OURS, "wall")),
    Target("times as quick as dlt's merge", "1 % delta of a million with merge", 2, None, _ratio(DLT_MERGE, OURS_MERGE, "wall")),
    Target("seconds, whole process", "empty sync", None, 1.0, _own("wall")),
    Target("times as quick as dlt's", "empty sync", 1, None, _ratio(DLT, OURS, "wall")),
    Target("peak MB", "full load of a million", None, 450, _own("peak", unit=2**20)),
    Target("peak MB", "growth, 100,000 records", None, 450, _own("peak", unit=2**20)),
    Target("peak MB", "growth, 10,000,000 records", None, 450, _own("peak", unit=2**20)),
    Target("wall of the latency's own time", "20 ms latency, 1,000 requests by token", None, 1.15, _bound(0.02, 1)),
    Target("the same, of the wire's own time", "20 ms latency, 1,000 requests by token", None, 1.15, _ratio(OURS, WIRE, "wall")),
    Target("wall of the latency's own time", "20 ms latency, 1,000 requests by offset", None, 1.3, _bound(0.02, _CONNECTIONS)),
    Target("the same, of the wire's own time", "20 ms latency, 1,000 requests by offset", None, 1.3, _ratio(OURS, WIRE, "wall")),
    Target("wall of the latency's own time", "100 ms latency, 200 requests by token", None, 1.15, _bound(0.1, 1)),
    Target("the same, of the wire's own time", "100 ms latency, 200 requests by token", None, 1.15, _ratio(OURS, WIRE, "wall")),
    Target("wall of the latency's own time", "100 ms latency, 200 requests by offset", None, 1.3, _bound(0.1, _CONNECTIONS)),
    Target("the same, of the wire's own time", "100 ms latency, 200 requests by offset", None, 1.3, _ratio(OURS, WIRE, "wall")),
    Target("wall of the latency's own time", "20 ms latency, large pages by token", None, 1.15, _bound(0.02, 1)),
    Target("wall of the latency's own time", "20 ms latency, large pages by offset", None, 1.3, _bound(0.02, _CONNECTIONS)),
)


def targets(found: Sequence[tuple[Scenario, Sequence[Run]]]) -> str:
    """The table of those whose scenario was run."""
    runs: Found = {scenario.name: done for scenario, done in found}
    lines = ["## Targets", "", "| scenario | what | asked | found | |", "|---|---|---:|---:|---|"]
    for target in TARGETS:
        if target.scenario not in runs:
            continue
        value = target.measure(runs[target.scenario])
        met = (target.least is None or value >= target.least) and (target.most is None or value <= target.most)
        asked = f"at least {target.least:g}" if target.least is not None else f"at most {target.most:g}"
        lines.append(f"| {target.scenario} | {target.what} | {asked} | {value:,.2f} | {'met' if met else 'missed'} |")
    return "\n".join([*lines, ""])
