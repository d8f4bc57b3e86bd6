"""A stage: a ledger and a place for one mode, made ready for the next run that is to be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random

from integration_assets_tests.campaign.children import Children, Ended
from integration_assets_tests.campaign.place import Emulators, Kind, Place
from integration_assets_tests.campaign.upstream import DAYS, ORIGIN, Ledger
from integration_assets_tests.campaign.work import Mode, Task

DAY_KEYS = tuple(f"{ORIGIN + timedelta(days=day):%Y-%m-%d}" for day in range(DAYS))
_RUNS = count()


@dataclass
class Stage:
    """Full loads and backfills begin in a new, empty place each time; deltas and replays go on where the last one ended."""

    mode: Mode
    kind: Kind
    ledger: Ledger
    children: Children
    emulators: Emulators
    folder: Path
    random: Random
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        """Load the first days where the mode builds upon them."""
        self.place = self.emulators.place(self.kind, self.ledger, self.folder)
        if self.mode in {"delta", "replay"}:
            self.finish(self.task("full"))

    @property
    def mended(self) -> bool:
        """Whether all bad versions are in the lake once a run has ended."""
        return self.mode == "replay"

    def ready(self) -> None:
        """Give the next run something to do."""
        if self.mode in {"full", "backfill"}:
            self.place = self.emulators.place(self.kind, self.ledger, self.folder)
            return
        self.ledger.turn()
        if self.mode == "replay":
            self.finish(self.task("delta"))

    def task(self, mode: Mode | None = None) -> Task:
        """The next run's task; a backfill takes the days in any order."""
        days = self.random.sample(DAY_KEYS, len(DAY_KEYS)) if self.mode == "backfill" else ()
        return Task(mode or self.mode, f"run-{next(_RUNS)}", partitions=days)

    def finish(self, task: Task | None = None) -> Ended:
        """Let a run go to its end, and see that it got there."""
        ended = self.children.run(task or self.task(), self.place.environ)
        if not ended.whole:
            raise AssertionError(f"{self.mode} on {self.kind}: a run that nobody killed ended so: {ended}")
        return ended


@contextmanager
def staged(mode: Mode, kind: Kind, seed: int, children: Children, emulators: Emulators, folder: Path) -> Iterator[Stage]:
    """A stage whose ledger answers while the context is open."""
    with Ledger(seed).served() as ledger:
        yield Stage(mode, kind, ledger, children, emulators, folder, Random(seed))  # noqa: S311 - repeatable
