"""The campaign in short: each commit point of a delta, a few random moments of every other mode, and races."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from integration_assets_tests.campaign.children import Children
from integration_assets_tests.campaign.killing import at_random, kill, traced
from integration_assets_tests.campaign.place import Emulators
from integration_assets_tests.campaign.racing import overlapping, race
from integration_assets_tests.campaign.stages import staged
from integration_assets_tests.campaign.tally import Tally, table
from integration_assets_tests.campaign.work import Mode

SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
SEED = 1
POINTS = 7_000
IN_A_ROW = 3 if SOAK else 6


def _clean(tally: Tally) -> None:
    assert tally.records, "nothing was accounted for"
    assert tally.clean, table([tally])


def test_a_delta_may_be_killed_at_every_commit_point(children: Children, tmp_path: Path) -> None:
    """Killed before and after each thing that it does to a disk, some times in a row, a run leaves what the next puts right."""
    tally = Tally("delta")
    with staged("delta", "folder + DuckDB", SEED, children, Emulators(), tmp_path) as stage:
        trace = traced(stage, tmp_path)
        assert any("writer.py" in point.name for point in trace.commits)
        assert any("committing.py" in point.name for point in trace.commits)
        assert any("duckdb.py" in point.name for point in trace.commits)
        deeds = trace.deeds()
        for first in range(0, len(deeds), IN_A_ROW):
            kill(stage, deeds[first : first + IN_A_ROW], tally)
    _clean(tally)
    assert tally.kills >= len(trace.commits) - 1


@pytest.mark.parametrize("mode", ["full", "backfill", "replay"])
def test_a_run_may_be_killed_at_any_moment(mode: Mode, children: Children, tmp_path: Path) -> None:
    """Killed at moments that nobody chose, up to three times in a row, it is made good by the next run; nothing is left over."""
    tally = Tally(mode)
    with staged(mode, "folder + DuckDB", SEED, children, Emulators(), tmp_path) as stage:
        for deeds in at_random(Random(SEED), 2, points=POINTS, seconds=0.4):  # noqa: S311 - repeatable
            kill(stage, deeds, tally, tidy=True)
    _clean(tally)
    assert tally.kills


@pytest.mark.parametrize("runs", [2, 8])
def test_of_runs_at_once_one_commits_each_slice(runs: int, children: Children, tmp_path: Path) -> None:
    """Runs of one slice, and of slices that overlap: one of them lands it, the others say who did or find nothing left to do.

    Eight meet on one slice; on slices that overlap so many meet in the soak.
    """
    tally = Tally("races")
    with staged("delta", "folder + DuckDB", SEED, children, Emulators(), tmp_path) as stage:
        stage.ready()
        ends = race(stage, [stage.task() for _ in range(runs)], tally)
        outcomes = [outcome for end in ends for outcome in end.outcomes or ()]
        assert outcomes.count("committed") == 1, ends
        assert set(outcomes) <= {"committed", "taken", "empty"}
        stage.ready()
        race(stage, overlapping(stage, runs if SOAK else min(runs, 3)), tally)
    _clean(tally)
