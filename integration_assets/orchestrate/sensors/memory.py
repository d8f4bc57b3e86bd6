"""What a sensor remembers of one thing that it watches, and what follows from it. Pure: no Dagster, no network, no clock.

A change is asked for once. It is done with only when a run for it has succeeded; a failed run is asked for again, ever later.
Moments are seconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Outcome = Literal["none", "underway", "succeeded", "failed"]
"""What became of the run that was asked for last."""
FIRST_WAIT = 300.0
LONGEST_WAIT = 6 * 3600.0
"""Seconds until a run that failed is asked for again: at first, and at most."""


@dataclass(frozen=True)
class Sighting:
    """What one look saw.

    value   : a short text that is another one when something changed; None when there is nothing yet.
    changed : when the change was, where upstream tells; it is taken to be when it was noticed, else.
    after   : where the next look goes on, of a look that could not see everything.
    """

    value: str | None
    changed: float | None = None
    after: str = ""


@dataclass(frozen=True)
class Memory:
    """One watch.

    seen    : what upstream showed last; None before the first look.
    looked  : when that was.
    pulled  : every change noticed up to then has been pulled; None before the first success.
    first, until : when the changes that are not pulled yet were noticed, the first and the last.
    run_key : of the run that is being waited for, reach what `pulled` becomes when it succeeds.
    number  : how many runs were asked for.
    failed  : how many of them failed in a row, again when to ask anew.
    after   : where the next look goes on.
    """

    seen: str | None = None
    looked: float = 0.0
    pulled: float | None = None
    first: float = 0.0
    until: float = 0.0
    run_key: str | None = None
    reach: float = 0.0
    number: int = 0
    failed: int = 0
    again: float = 0.0
    after: str = ""

    @property
    def due(self) -> bool:
        """Whether some change was noticed that no run has pulled."""
        return self.seen is not None and (self.pulled is None or self.until > self.pulled)

    def settle(self, outcome: Outcome, now: float) -> Memory:
        """Take in what became of the run that was asked for."""
        if self.run_key is None or outcome == "underway":
            return self
        if outcome == "succeeded":
            # What was noticed meanwhile waits until the last of it is final, and not for each of its parts.
            return replace(self, run_key=None, pulled=self.reach, first=self.until, failed=0, again=0.0)
        wait = min(FIRST_WAIT * 2.0 ** min(self.failed, 30), LONGEST_WAIT)
        return replace(self, run_key=None, failed=self.failed + 1, again=now + wait)

    def look(self, sight: Sighting, now: float) -> Memory:
        """Take in what upstream shows now."""
        looked = replace(self, looked=now, after=sight.after)
        if sight.value is None or sight.value == self.seen:
            return looked
        # What was there before the first look was changed at some time before it.
        changed = now if sight.changed is None else sight.changed
        noticed = 0.0 if self.seen is None else changed
        return replace(looked, seen=sight.value, first=self.first if self.due else noticed, until=changed)

    def ask(self, run_key: str, reach: float) -> Memory:
        """A run was asked for: when it succeeds, everything up to `reach` is pulled."""
        return replace(self, run_key=run_key, reach=reach, number=self.number + 1)
