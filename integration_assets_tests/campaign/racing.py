"""Let runs work on one stream at once, and hold the result against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from integration_assets_tests.campaign.account import account, frontier
from integration_assets_tests.campaign.children import Ended
from integration_assets_tests.campaign.stages import DAY_KEYS, Stage
from integration_assets_tests.campaign.tally import Tally
from integration_assets_tests.campaign.work import Task

_CLEAN = ("SliceTakenError", "ReplanError", "RescheduleError", "WarehouseBusyError")
"""How a loser may end: each says what another run did, and that it is to come back."""


def race(stage: Stage, tasks: Sequence[Task], tally: Tally, *, once: bool = True) -> list[Ended]:
    """Start the runs at once, none of them answered before all have asked; how each ended.

    once : see `account`.
    """
    before = frontier(stage.place)
    stage.ledger.meet(len(tasks))
    children = [stage.children.start(task, stage.place.environ) for task in tasks]
    ends = [stage.children.wait(child) for child in children]
    tally.races += len(ends)
    said = f"{len(tasks)} at once on {stage.kind}"
    for end in ends:
        if not end.whole and not (end.error or "").startswith(_CLEAN):
            tally.wrong.append(f"{said}: ended so: {end}")
    after = frontier(stage.place)
    if before is not None and (after is None or after < before):  # type: ignore[operator]
        tally.wrong.append(f"{said}: the watermark went back from {before} to {after}")
    stage.finish(stage.task("delta"))
    tally.add(account(stage.place, stage.ledger, mended=False, once=once), said)
    return ends


def overlapping(stage: Stage, runs: int) -> list[Task]:
    """Every other run syncs what is new, the others backfill all days and the newest."""
    days = (*DAY_KEYS, f"{stage.ledger.clock - timedelta(hours=1):%Y-%m-%d}")
    return [
        Task("backfill" if number % 2 else "delta", f"overlap-{number}", partitions=days if number % 2 else ())
        for number in range(runs)
    ]


def ranges(stage: Stage, runs: int) -> list[Task]:
    """Every run asks for another range, and each overlaps all others at the ledger's last day."""
    clock = stage.ledger.clock
    spans = [(clock - timedelta(hours=24 + number), clock - timedelta(hours=number % 3)) for number in range(runs)]
    return [
        Task("delta", f"range-{number}", span=(start.isoformat(), end.isoformat())) for number, (start, end) in enumerate(spans)
    ]
