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
RESULTS = HERE / "results.json"
_FIGURES = ("contender", "rows", "wall", "cpu", "peak", "requests")
_PEERS = ("dlt", "duckdb", "pyarrow", "pandas")


def main() -> None:
    """Measure what is asked for; charts and tables are written at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=200_000, help="records of the history")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, default=10_000_000, help="the largest size of the growth curve; 0 leaves it out")
    parser.add_argument(
        "--only", default="", help="only scenarios whose name has this in it; the others stay as they were measured last"
    )
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and the charts")
    asked = parser.parse_args()
    found = _all([one for one in scenarios(asked.size) if asked.only in one.name], asked.rounds)
    found += _all([one for one in growth(asked.growth) if asked.only in one.name], 1)
    print(targets(found))
    if asked.write:
        known = [*scenarios(asked.size), *growth(asked.growth)]
        _write(
            [(one, found_in(found, one) or _kept(one)) for one in known if found_in(found, one) or (asked.only and _kept(one))]
        )


def found_in(found: Sequence[tuple[Scenario, list[Run]]], wanted: Scenario) -> list[Run]:
    """The runs of a scenario; none where it was not measured."""
    return next((runs for scenario, runs in found if scenario.name == wanted.name), [])


def _kept(scenario: Scenario) -> list[Run]:
    """The runs that an earlier session wrote of this very scenario: those that are measured again take their place."""
    for one in json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else ():
        if (one["name"], one["rows"]) == (scenario.name, scenario.rows):
            return [Run(run["contender"], run["wall"], run["cpu"], run["peak"], run["requests"], run) for run in one["runs"]]
    return []


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


def _write(found: Sequence[tuple[Scenario, Sequence[Run]]]) -> None:
    """Results, charts and page. The charts are drawn in the peers' environment, which has what draws them."""
    from benchmarks import report

    told = [
        {
            "name": scenario.name,
            "rows": scenario.rows,
            "runs": [{name: getattr(run, name) for name in _FIGURES} for run in runs],
        }
        for scenario, runs in found
    ]
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    subprocess.run([str(PEERS), "-m", "benchmarks.charts"], check=True, cwd=HERE.parent, timeout=300)
    head = (HERE / "RESULTS.head.md").read_text(encoding="utf-8").strip()
    pictures = "![Full load](full-load.png)\n\n![Growth](growth.png)\n"
    notes = (HERE / "RESULTS.notes.md").read_text(encoding="utf-8").strip()
    tables = "\n".join(report.table(scenario, runs) for scenario, runs in found)
    page = "\n".join([head, "", report.machine(_peer_versions()), "", pictures, targets(found), notes, "", tables])
    (HERE / "RESULTS.md").write_text(page, encoding="utf-8")


def _peer_versions() -> dict[str, str]:
    code = f"from importlib.metadata import version; print(*[version(name) for name in {_PEERS!r}])"
    out = subprocess.run([str(PEERS), "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    return dict(zip(_PEERS, out.split(), strict=True))


if __name__ == "__main__":
    main()
