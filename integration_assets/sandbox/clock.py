"""The simulated clock: stands still, runs at real speed, or runs fast, and can be set while it runs."""

from __future__ import annotations

import time


class Clock:
    """A simulated instant in seconds since 1970 that moves `speed` seconds for each real one."""

    def __init__(self, now: float, speed: float) -> None:
        """Start at `now`; `speed` 0 stands still."""
        self._base, self._started, self._speed = now, time.monotonic(), speed

    @property
    def speed(self) -> float:
        """Simulated seconds for each real second."""
        return self._speed

    def now(self) -> float:
        """Give the simulated instant."""
        return self._base + (time.monotonic() - self._started) * self._speed

    def change(self, now: float | None = None, speed: float | None = None) -> None:
        """Set the instant, the speed, or both; the other goes on as it was. `ValueError` for a speed below 0."""
        if speed is not None and speed < 0:
            msg = "speed must be 0 or more"
            raise ValueError(msg)
        self._base = self.now() if now is None else now
        self._started = time.monotonic()
        self._speed = self._speed if speed is None else speed
