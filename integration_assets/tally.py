"""The records of a run so far, of all slices that are pulled at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration_assets.progress import Progress
    from integration_assets.spec.cursor import Slice


@dataclass
class Tally:
    """Counts what `watch` is told of, from whichever thread; a slice that is read again counts once.

    fetched : records of the run, those of the slices under way among them.
    """

    fetched: int = 0
    started: float = field(default_factory=monotonic)
    _of: dict[tuple[str | None, Slice], int] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def tell(self, progress: Progress) -> None:
        """Count a slice's records anew."""
        name = progress.job.partition, progress.job.slice
        with self._lock:
            self.fetched += progress.fetched - self._of.get(name, 0)
            self._of[name] = progress.fetched

    @property
    def seconds(self) -> float:
        """Wall time since the run began, never zero."""
        return max(monotonic() - self.started, 1e-9)

    @property
    def rate(self) -> float:
        """Records a second of wall time."""
        return self.fetched / self.seconds
