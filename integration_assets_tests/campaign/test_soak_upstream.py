"""An API that fails while real commands are killed, only when INTEGRATION_SOAK is set: what lands is the API's own truth."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration_assets.land.quarantine import Where
from integration_assets.replay import refetch
from integration_assets.sandbox.process import SandboxProcess
from integration_assets.sync import merge
from integration_assets_tests.campaign.tally import ARTEFACTS, Tally, table, write
from integration_assets_tests.flow.world import World

pytestmark = pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="a long campaign; set INTEGRATION_SOAK")
START = "2013-01-02T00:00:00Z"
COMMAND = [sys.executable, "-c", "from integration_assets.cli import main; main()", "sync"]
LONGEST = 120
TRIES = 4
KINDS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 503, "times": 2},
    {"kind": "status", "status": 429, "retry_after": 1, "times": 1},
    {"kind": "status", "status": 404, "times": 1},
    {"kind": "reset", "times": 2},
    {"kind": "truncate", "times": 2},
    {"kind": "malformed", "times": 1},
    {"kind": "html", "times": 1},
    {"kind": "loop", "times": 1},
    {"kind": "token_refused", "times": 1},
    {"kind": "content_type", "times": 1},
    {"kind": "slow", "seconds": 0.05, "times": 1},
    {"kind": "schema", "retype": {"id": "array"}, "times": 1},
    {"kind": "bad_rows", "share": 0.01, "drop": "id", "times": 1},
)
"""Not among them: an empty page that says it is the last. Nobody can tell it from the truth; the next lookback or sweep does."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[SandboxProcess]:
    """Serve the flights of the first four days of 2013."""
    with SandboxProcess(days=4, clock=START) as process:
        yield process


@pytest.mark.parametrize("stream", ["flights", "weather"])
def test_a_failing_api_and_killed_commands_end_in_the_truth(stream: str, upstream: SandboxProcess, tmp_path: Path) -> None:
    """Every kind of fault, under `integration sync` killed at a random moment or left alone: the next command puts it right."""
    upstream.clear_faults()
    upstream.set_clock(START)
    world, tally = World(upstream, tmp_path), Tally(f"commands under faults, {stream}")
    chance = random.Random(f"{os.environ.get('SOAK_SEED', '20240301')} {stream}")  # noqa: S311 - repeatable
    for rule in chance.sample(KINDS, len(KINDS)):
        upstream.advance(chance.randrange(3, 8) * 3600)
        upstream.faults([{"path": f"/v1/{stream}", **rule}])
        _command(world, stream, tally, kill_after=chance.choice([None, chance.uniform(0.5, 6)]))
        tally.faults += sum(upstream.fired())
        upstream.clear_faults()
        tries = next((number for number in range(TRIES) if _command(world, stream, tally) == 0), None)
        if tries is None:
            tally.wrong.append(f"after {rule}: {TRIES} commands failed though the API works again")
            break
        _mend(world, stream)
        _hold(world, stream, tally, str(rule))
    write([tally], ARTEFACTS, f"upstream-{stream}")
    assert tally.clean, table([tally])


def _command(world: World, stream: str, tally: Tally, kill_after: float | None = None) -> int:
    """Run `integration sync`; its exit status."""
    environ = os.environ | world.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and command
        [*COMMAND, f"nyc_ops.{stream}"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return process.wait(LONGEST if kill_after is None else kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        tally.kills += 1
        if kill_after is None:
            tally.wrong.append(f"a command took more than {LONGEST} s")
        return process.wait()


def _mend(world: World, stream: str) -> None:
    """Have the slices of what is open in quarantine pulled again: the API is well now."""
    with world.feed(stream) as (feed, stores):
        entries = feed.quarantine.entries("nyc_ops", stream, Where(states=("open",)))
        if entries:
            assert list(refetch(feed, "mend", entries, "campaign"))
            merge(feed, stores, "mend")
        assert feed.quarantine.counts("nyc_ops", stream)["open"] == 0
        assert feed.table.count() == sum(receipt.accepted for receipt in feed.table.receipts(limit=1000))


def _hold(world: World, stream: str, tally: Tally, when: str) -> None:
    key, rows = world.source.stream(stream).key, world.rows(stream)
    there, truth = ({tuple(row[name] for name in key): row for row in found} for found in (rows, world.truth(stream)))
    missing = sum(there.get(name) != row for name, row in truth.items())
    extra = len(rows) - len(there) + len(there.keys() - truth.keys())
    tally.records += len(truth)
    tally.lost += missing
    tally.doubled += extra
    if missing or extra:
        tally.wrong.append(f"after {when}: {missing} rows are missing or other ones, {extra} are too many")
