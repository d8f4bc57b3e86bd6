"""The campaign at length, only when INTEGRATION_SOAK is set: every mode on every lake and warehouse, with a final table.

SOAK_KILLS sizes it: so many random kills, spread over all modes and places; every commit point comes on top of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from integration_assets_tests.campaign.account import account
from integration_assets_tests.campaign.children import Children
from integration_assets_tests.campaign.killing import Deed, at_random, changes, kill, strike, traced
from integration_assets_tests.campaign.place import KINDS, Emulators, Kind
from integration_assets_tests.campaign.points import Orders
from integration_assets_tests.campaign.racing import overlapping, race, ranges
from integration_assets_tests.campaign.stages import staged
from integration_assets_tests.campaign.tally import ARTEFACTS, Tally, table, write
from integration_assets_tests.campaign.work import MODES, Mode

pytestmark = pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="a long campaign; set INTEGRATION_SOAK")
KILLS = int(os.environ.get("SOAK_KILLS", "300"))
SEED = int(os.environ.get("SOAK_SEED", "20240301"))
DAY = 86_400
_SECONDS = {"folder + DuckDB": 0.5, "bucket + DuckDB": 1.0, "bucket + BigQuery": 4.0}


@pytest.fixture(scope="module")
def tallies() -> Iterator[list[Tally]]:
    """The table's rows; it is written at the end, whatever happened."""
    rows: list[Tally] = []
    yield rows
    write(rows, ARTEFACTS, "runs")


@pytest.fixture(scope="module")
def emulators(request: pytest.FixtureRequest) -> Emulators:
    """A bucket server, and BigQuery that reads from it."""
    return Emulators(request.getfixturevalue("gcs_for_bigquery"), request.getfixturevalue("bigquery_emulator"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_kills_anywhere_lose_and_double_nothing(
    kind: Kind, mode: Mode, children: Children, emulators: Emulators, tallies: list[Tally], tmp_path: Path
) -> None:
    """Killed at each commit point and at random moments, up to three times in a row, the next run puts everything right."""
    tally = Tally(f"{mode}, {kind}")
    tallies.append(tally)
    seed = SEED + len(tallies)
    with staged(mode, kind, seed, children, emulators, tmp_path) as stage:
        trace = traced(stage, tmp_path)
        rows: list[list[Deed]] = [[deed] for deed in trace.deeds()]
        rows += at_random(Random(seed), KILLS // 12, points=len(trace.points), seconds=_SECONDS[kind])  # noqa: S311 - repeatable
        for number, deeds in enumerate(rows):
            kill(stage, deeds, tally, tidy=number % 5 == 0)
    assert tally.kills >= len(trace.commits)
    assert tally.clean, table([tally])


@pytest.mark.parametrize("runs", [2, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_races_lose_and_double_nothing(
    kind: Kind, runs: int, children: Children, emulators: Emulators, tallies: list[Tally], tmp_path: Path
) -> None:
    """Runs of the same slice, of slices that overlap and of ranges that were asked for, at once: one commit a slice wins."""
    tally = Tally(f"{runs} at once, {kind}")
    tallies.append(tally)
    rounds = max(1, KILLS // (12 * runs))
    with staged("delta", kind, SEED + runs, children, emulators, tmp_path) as stage:
        for _ in range(rounds):
            stage.ready()
            ends = race(stage, [stage.task() for _ in range(runs)], tally)
            assert [outcome for end in ends for outcome in end.outcomes or ()].count("committed") == 1
            stage.ready()
            race(stage, overlapping(stage, runs), tally)
        stage.ready()
        race(stage, ranges(stage, runs), tally, once=False)
    assert tally.clean, table([tally])


@pytest.mark.parametrize("deed", ["kill", "tear", "full", "broken"])
@pytest.mark.parametrize("mode", MODES)
def test_disks_that_fail_lose_and_double_nothing(
    mode: Mode, deed: str, mortal_disks: Children, tallies: list[Tally], tmp_path: Path
) -> None:
    """Killed at a write of Delta, Arrow or DuckDB itself, half of it written, or refused by the disk, a run loses nothing."""
    tally = Tally(f"disk: {deed}, {mode}")
    tallies.append(tally)
    with staged(mode, "folder + DuckDB", SEED, mortal_disks, Emulators(), tmp_path) as stage:
        for change in range(1, changes(stage) + 1):
            strike(stage, deed, change, tally)
    assert tally.kills + tally.faults, "no change to a disk was counted"
    assert tally.clean, table([tally])


def test_clocks_that_are_wrong_lose_and_double_nothing(mortal_disks: Children, tallies: list[Tally], tmp_path: Path) -> None:
    """A machine whose clock is a minute, days or a year ahead or behind pulls what the API's own clock says."""
    tally = Tally("clock jumps")
    tallies.append(tally)
    with staged("delta", "folder + DuckDB", SEED, mortal_disks, Emulators(), tmp_path) as stage:
        for ahead in (60, -60, 3 * DAY, -3 * DAY, 400 * DAY, -400 * DAY):
            stage.ready()
            ended = mortal_disks.run(stage.task(), stage.place.environ, Orders(ahead=ahead))
            assert ended.whole, ended
            tally.faults += 1
            tally.add(account(stage.place, stage.ledger), f"clock {ahead:+} s")
    assert tally.clean, table([tally])
