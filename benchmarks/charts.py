"""The charts of benchmarks/RESULTS.md, drawn from results.json in the environment that has matplotlib."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
Measured = dict[str, Any]
"""`{"name", "rows", "runs": [{"contender", "rows", "wall", "cpu", "peak"}]}`, as run.py writes it."""


def bars(path: Path, measured: Measured) -> None:
    """Rows a second of a scenario's contenders."""
    names = list(dict.fromkeys(run["contender"] for run in measured["runs"]))
    rates = [median(run["rows"] / run["wall"] for run in measured["runs"] if run["contender"] == name) for name in names]
    order = sorted(range(len(names)), key=lambda place: rates[place])
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(names) + 1.4))
    colours = ["#2f6f4f" if names[place].startswith("integration_assets") else "#9aa5ad" for place in order]
    drawn = axes.barh([names[place] for place in order], [rates[place] for place in order], color=colours)
    axes.bar_label(drawn, labels=[f"{rates[place]:,.0f}" for place in order], padding=4)
    axes.set_xlabel("rows a second, whole process")
    axes.set_title(f"{measured['name']}, {measured['rows']:,} records of 1.1 KB")
    axes.margins(x=0.15)
    _save(figure, path)


def curves(path: Path, found: list[Measured]) -> None:
    """Seconds and peak memory over the number of records."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    for name in dict.fromkeys(run["contender"] for one in found for run in one["runs"]):
        sizes = [one["rows"] for one in found]
        mine = [[run for run in one["runs"] if run["contender"] == name] for one in found]
        left.plot(sizes, [median(run["wall"] for run in runs) for runs in mine], marker="o", label=name)
        right.plot(sizes, [median(run["peak"] for run in runs) / 2**20 for runs in mine], marker="o", label=name)
    for axes, label in ((left, "seconds"), (right, "peak MB")):
        axes.set_xscale("log")
        axes.set_xlabel("records")
        axes.set_ylabel(label)
        axes.legend()
    left.set_yscale("log")
    right.set_ylim(bottom=0)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib's figure
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Draw what results.json holds."""
    results = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    grown = [one for one in results if one["name"].startswith("growth")]
    for one in results:
        if one["name"] == "full load":
            bars(HERE / "full-load.png", one)
    if grown:
        curves(HERE / "growth.png", grown)


if __name__ == "__main__":
    main()
