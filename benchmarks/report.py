"""From runs to the tables of benchmarks/RESULTS.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from statistics import median

from benchmarks.measure import Run
from benchmarks.scenarios import Scenario

_OURS = ("dagster", "deltalake", "duckdb", "httpx", "pandera", "pyarrow")


def table(scenario: Scenario, runs: Sequence[Run]) -> str:
    """The scenario's table: medians, and ratios taken within each round with their spread."""
    lines = [
        f"### {scenario.name[0].upper()}{scenario.name[1:]}",
        "",
        f"{scenario.rows:,} records" + (f", {scenario.changed:,} changed" if scenario.changed else "") + ".",
        "",
        "| contender | rows/s | wall s | CPU-s a million rows | peak MB | requests | wall to the first | CPU to the first |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    first = scenario.contenders[0].name
    for name in dict.fromkeys(contender.name for contender in scenario.contenders):
        mine = [run for run in runs if run.contender == name]
        rows = max(run.rows for run in mine)
        wall, cpu = median(run.wall for run in mine), median(run.cpu for run in mine)
        lines.append(
            f"| {name} | {rows / wall:,.0f} | {wall:.2f} | {f'{cpu / rows * 1e6:.1f}' if rows else '-'} |"
            f" {median(run.peak for run in mine) / 2**20:,.0f} | {mine[0].requests:,} |"
            f" {_ratios(runs, name, first, 'wall')} | {_ratios(runs, name, first, 'cpu')} |"
        )
    return "\n".join([*lines, ""])


def _ratios(runs: Sequence[Run], name: str, first: str, figure: str) -> str:
    if name == first:
        return "1"
    mine = [getattr(run, figure) for run in runs if run.contender == name]
    theirs = [getattr(run, figure) for run in runs if run.contender == first]
    found = [a / b for a, b in zip(mine, theirs, strict=True)]
    return f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def machine(peers: Mapping[str, str]) -> str:
    """Where it was measured, and with what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    ours = ", ".join(f"{name} {version(name)}" for name in _OURS)
    theirs = ", ".join(f"{name} {number}" for name, number in peers.items())
    return (
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Python {platform.python_version()}, {platform.system()}.\n"
        f"Ours: {ours}. Peers: {theirs}."
    )
