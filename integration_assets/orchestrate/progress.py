"""How far a long pull is, said in the run's log every few seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration_assets.ingest import Progress

EVERY = 5.0
"""Seconds between two lines."""


@dataclass
class Reporter:
    """Says how far a run over `total` partitions (None: not partitioned) is; `watch` is called after every batch.

    say     : where a line goes.
    every   : seconds between two lines.
    """

    say: Callable[[str], None]
    total: int | None = None
    every: float = EVERY
    finished: int = 0
    rows: int = 0
    started: float = field(default_factory=monotonic)
    said: float = field(default_factory=monotonic)

    def watch(self, progress: Progress) -> None:
        """Say a line about the slice under way, unless one was said just now."""
        if monotonic() - self.said < self.every:
            return
        self.said = monotonic()
        self.say(self.line(progress))

    def done_slice(self, records: int) -> None:
        """Count a slice's records in."""
        self.rows += records

    def done_partition(self) -> None:
        """Count a whole partition in."""
        self.finished += 1

    def line(self, progress: Progress) -> str:
        """Rows, pages, slices, rate and what remains; a remainder only where the number of slices is known."""
        seconds = max(monotonic() - self.started, 1e-9)
        rows = self.rows + progress.fetched
        parts = [
            f"{progress.stream} {progress.job.slice}: {progress.fetched:,} records in {progress.pages:,} pages",
            f"{rows / seconds:,.0f} records/s",
        ]
        if self.total and self.total > 1:
            parts.append(f"{self.finished} of {self.total} partitions done")
            if self.finished:
                parts.append(f"about {seconds / self.finished * (self.total - self.finished):,.0f} s to go")
        return ", ".join(parts)
