"""`make bench`: every scenario on one upstream, interleaved, and benchmarks/RESULTS.md from it.

python -m benchmarks.run --size 1000000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import PEERS, Run, upstream
from benchmarks.scenarios import Scenario, growth, measured, scenarios
from benchmarks.targets import targets

HERE = Path(__file__).parent
_PEERS = ("dlt", "duckdb", "pyarrow", "pandas")


def main() -> None:
    """Measure what is asked for; charts and tables are written at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=200_000, help="records of the history")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, default=10_000_000, help="the largest size of the growth curve; 0 leaves it out")
    parser.add_argument("--only", default="", help="only scenarios whose name has this in it")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and the charts")
    asked = parser.parse_args()
    found = _all([one for one in scenarios(asked.size) if asked.only in one.name], asked.rounds)
    grown = _all([one for one in growth(asked.growth) if asked.only in one.name], 1)
    from benchmarks import report

    text = "\n".join(report.table(scenario, runs) for scenario, runs in [*found, *grown])
    print(targets([*found, *grown]))
    print(text)
    if asked.write:
        _write(text, found, grown)


def _all(asked: Sequence[Scenario], rounds: int) -> list[tuple[Scenario, list[Run]]]:
    started = time.monotonic()
    done = []
    for number, scenario in enumerate(asked):
        with upstream(scenario.rows) as url:
            runs = list(measured(scenario, url, rounds, lambda text: print(text, file=sys.stderr, flush=True)))
        done.append((scenario, runs))
        spent = time.monotonic() - started
        print(f"{number + 1} of {len(asked)} scenarios, {spent:,.0f} s", file=sys.stderr, flush=True)
    return done


def _write(text: str, found: Sequence[tuple[Scenario, Sequence[Run]]], grown: Sequence[tuple[Scenario, Sequence[Run]]]) -> None:
    """Results, charts and page. The charts are drawn in the peers' environment, which has what draws them."""
    from benchmarks import report

    told = [
        {
            "name": scenario.name,
            "rows": scenario.rows,
            "runs": [
                {"contender": run.contender, "rows": run.rows, "wall": run.wall, "cpu": run.cpu, "peak": run.peak} for run in runs
            ],
        }
        for scenario, runs in [*found, *grown]
    ]
    (HERE / "results.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    subprocess.run([str(PEERS), "-m", "benchmarks.charts"], check=True, cwd=HERE.parent, timeout=300)
    head = (HERE / "RESULTS.head.md").read_text(encoding="utf-8").strip()
    pictures = "![Full load](full-load.png)\n\n![Growth](growth.png)\n"
    notes = (HERE / "RESULTS.notes.md").read_text(encoding="utf-8").strip()
    machine = report.machine(_peer_versions())
    page = "\n".join([head, "", machine, "", pictures, targets([*found, *grown]), notes, "", text])
    (HERE / "RESULTS.md").write_text(page, encoding="utf-8")


def _peer_versions() -> dict[str, str]:
    code = f"from importlib.metadata import version; print(*[version(name) for name in {_PEERS!r}])"
    out = subprocess.run([str(PEERS), "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    return dict(zip(_PEERS, out.split(), strict=True))


if __name__ == "__main__":
    main()
