"""Kill a run, let the next one go on, and hold the result against the truth."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from integration_assets_tests.campaign.account import account, frontier
from integration_assets_tests.campaign.children import Ended
from integration_assets_tests.campaign.points import Orders, Trace
from integration_assets_tests.campaign.stages import Stage
from integration_assets_tests.campaign.tally import Tally

Deed = Orders | float
"""How a run is killed: as ordered within itself, or from outside after so many seconds."""


def traced(stage: Stage, folder: Path) -> Trace:
    """A run that nobody kills, watched: where it can be killed."""
    stage.ready()
    path = folder / f"trace-{stage.mode}-{stage.kind.replace(' ', '')}.json"
    ended = stage.children.run(stage.task(), stage.place.environ, Orders(trace=str(path), roots=stage.place.roots))
    if not ended.whole:
        raise AssertionError(f"the run that was to be watched ended so: {ended}")
    return Trace.read(path)


def kill(stage: Stage, deeds: Sequence[Deed], tally: Tally, *, tidy: bool = False) -> None:
    """Kill as many runs in a row as there are deeds, let one go on to its end, and take the account."""
    stage.ready()
    said = f"{stage.mode} on {stage.kind} after {', '.join(map(str, deeds))}"
    reached = frontier(stage.place)
    for deed in deeds:
        ended = _killed(stage, deed)
        tally.kills += ended.killed
        tally.outlived += not ended.killed
        if not (ended.killed or ended.whole):
            tally.wrong.append(f"{said}: ended so: {ended}")
        now = frontier(stage.place)
        if reached is not None and (now is None or now < reached):  # type: ignore[operator]
            tally.wrong.append(f"{said}: the watermark went back from {reached} to {now}")
        reached = now
    stage.finish()
    tally.add(account(stage.place, stage.ledger, mended=stage.mended, tidy=tidy), said)


def strike(stage: Stage, deed: str, change: int, tally: Tally) -> None:
    """Strike a run at the `change`th change that any library makes to a disk, as of `Orders.disk`, and go on as after a kill."""
    stage.ready()
    orders = Orders(disk=deed, change=change)
    ended = stage.children.run(stage.task(), stage.place.environ, orders)
    tally.kills += ended.killed
    tally.faults += not ended.killed
    said = f"{stage.mode} on {stage.kind} after {orders}"
    if not ended.killed and ended.status != 0:
        tally.wrong.append(f"{said}: ended so: {ended}")
    stage.finish()
    tally.add(account(stage.place, stage.ledger, mended=stage.mended), said)


def changes(stage: Stage) -> int:
    """How many changes to disks a run makes."""
    stage.ready()
    return stage.children.run(stage.task(), stage.place.environ, Orders(disk="count")).changes


def at_random(random: Random, number: int, *, points: int, seconds: float) -> Iterable[list[Deed]]:
    """Random moments: by point, the same for the same seed, and by the clock; up to three in a row."""
    for _ in range(number):
        row: list[Deed] = []
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            by_clock = random.random() < 0.5
            row.append(random.uniform(0, seconds) if by_clock else Orders(steps=random.randrange(1, points)))
        yield row


def _killed(stage: Stage, deed: Deed) -> Ended:
    if isinstance(deed, Orders):
        return stage.children.run(stage.task(), stage.place.environ, deed)
    child = stage.children.start(stage.task(), stage.place.environ)
    time.sleep(deed)
    # It is not reaped before it is waited for, so its number is still its own.
    os.kill(child, signal.SIGKILL)
    return stage.children.wait(child)
