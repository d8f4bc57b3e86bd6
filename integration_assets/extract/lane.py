"""What one of several slices that are pulled at once may take, and whether it is to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event

from integration_assets.errors import RescheduleError


@dataclass(frozen=True)
class Lane:
    """A slice's place beside others.

    share   : how many slices there are at the most; together they hold no more in memory than one alone would.
    stopped : set when the run ends early; who waits for a page then waits no longer.
    begun   : set when the API has answered one of them.
    """

    share: int = 1
    stopped: Event = field(default_factory=Event)
    begun: Event = field(default_factory=Event)

    def part(self, budget: int) -> int:
        """The slice's part of a budget of the whole process."""
        return max(1, budget // self.share)

    def check(self) -> None:
        """Raises `RescheduleError` when the run ends early."""
        if self.stopped.is_set():
            raise RescheduleError(
                "the run was stopped before the slice was whole", remedy="A later run goes on from the last commit."
            )
