"""How far a long pull is, said in the run's log every few seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from integration_assets.tally import Tally

if TYPE_CHECKING:
    from integration_assets.progress import Progress

EVERY = 5.0
"""Seconds between two lines."""


@dataclass
class Reporter:
    """Says how far a run over `total` partitions (None: not partitioned) is; `watch` is called after every page.

    Slices that are pulled at once tell it from their threads; a line names the one that it is about.

    say     : where a line goes.
    every   : seconds between two lines.
    """

    say: Callable[[str], None]
    total: int | None = None
    every: float = EVERY
    finished: int = 0
    tally: Tally = field(default_factory=Tally)
    said: float = field(default_factory=monotonic)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def watch(self, progress: Progress) -> None:
        """Count in; say a line about the slice, unless one was said just now."""
        self.tally.tell(progress)
        with self._lock:
            if monotonic() - self.said < self.every:
                return
            self.said = monotonic()
            line = self.line(progress)
        self.say(line)

    def done_partition(self) -> None:
        """Count a whole partition in."""
        with self._lock:
            self.finished += 1

    def line(self, progress: Progress) -> str:
        """Rows and pages of the slice, the run's rate, and what remains; the last only where the number of slices is known."""
        seconds = self.tally.seconds
        parts = [
            f"{progress.stream} {progress.job.slice}: {progress.fetched:,} records in {progress.pages:,} pages",
            f"{self.tally.rate:,.0f} records/s",
        ]
        if self.total and self.total > 1:
            parts.append(f"{self.finished} of {self.total} partitions done")
            if self.finished:
                parts.append(f"about {seconds / self.finished * (self.total - self.finished):,.0f} s to go")
        return ", ".join(parts)
