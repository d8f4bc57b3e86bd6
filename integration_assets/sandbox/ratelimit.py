"""A token bucket for each key, one second deep, in real time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the bucket said: may the request pass, and the limit, the tokens left and the seconds to wait or refill."""

    allowed: bool
    limit: int
    remaining: int
    reset: int
    retry_after: int

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Give the X-RateLimit headers; Reset is whole seconds until the bucket is full."""
        return (
            ("X-RateLimit-Limit", str(self.limit)),
            ("X-RateLimit-Remaining", str(self.remaining)),
            ("X-RateLimit-Reset", str(self.reset)),
        )


class RateLimit:
    """Lets `rate` requests per second pass for each key; 0 lets all pass."""

    def __init__(self, rate: float) -> None:
        """Start with every bucket full."""
        self._rate = rate
        self._depth = max(rate, 1.0)
        self._buckets: dict[str, tuple[float, float]] = {}

    @property
    def rate(self) -> float:
        """Requests per second for each key; 0 is no limit."""
        return self._rate

    def take(self, key: str) -> Allowance | None:
        """Take one token of `key`'s bucket; None when there is no limit."""
        if self._rate <= 0:
            return None
        now = time.monotonic()
        tokens, seen = self._buckets.get(key, (self._depth, now))
        tokens = min(self._depth, tokens + (now - seen) * self._rate)
        allowed = tokens >= 1
        tokens -= allowed
        self._buckets[key] = (tokens, now)
        return Allowance(
            allowed=allowed,
            limit=math.floor(self._depth),
            remaining=math.floor(tokens),
            reset=math.ceil((self._depth - tokens) / self._rate),
            retry_after=0 if allowed else max(1, math.ceil((1 - tokens) / self._rate)),
        )
