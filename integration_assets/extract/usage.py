"""What a client has cost so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, log2
from threading import Lock
from typing import Any

_TOLD = ("requests", "retries", "bytes", "throttled", "queued")
_STEPS = 4
"""Buckets of duration within a doubling: the edge of each is a fifth above the last one's."""


@dataclass
class Usage:
    """Cumulative and thread safe; `minus` an earlier `snapshot` accounts for what lay between.

    requests   : requests sent, retries and redirects among them.
    bytes      : body bytes after decompression; wire_bytes as transferred.
    throttled  : seconds spent waiting because the API asked for it.
    queued     : seconds spent waiting for a turn under our own limits, a rate or a slot.
    latency    : answers by their duration, body included: upper edge in milliseconds -> how many.
    whole      : what this is a part of; it counts the same.
    """

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    wire_bytes: int = 0
    throttled: float = 0.0
    queued: float = 0.0
    latency: Counter[int] = field(default_factory=Counter)
    whole: Usage | None = field(default=None, repr=False, compare=False)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(
        self,
        *,
        requests: int = 0,
        retries: int = 0,
        bytes_: int = 0,
        wire_bytes: int = 0,
        throttled: float = 0.0,
        queued: float = 0.0,
        seconds: float | None = None,
    ) -> None:
        """Count in. `seconds` is how long one answer took."""
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.bytes += bytes_
            self.wire_bytes += wire_bytes
            self.throttled += throttled
            self.queued += queued
            if seconds is not None:
                self.latency[_edge(seconds)] += 1
        if self.whole is not None:
            self.whole.add(
                requests=requests,
                retries=retries,
                bytes_=bytes_,
                wire_bytes=wire_bytes,
                throttled=throttled,
                queued=queued,
                seconds=seconds,
            )

    def snapshot(self) -> Usage:
        """The counts as they are now, apart from this object."""
        with self._lock:
            counts = self.requests, self.retries, self.bytes, self.wire_bytes, self.throttled, self.queued
            return Usage(*counts, Counter(self.latency))

    def minus(self, before: Usage) -> Usage:
        """What was spent since `before`, an earlier snapshot."""
        now = self.snapshot()
        return Usage(
            now.requests - before.requests,
            now.retries - before.retries,
            now.bytes - before.bytes,
            now.wire_bytes - before.wire_bytes,
            now.throttled - before.throttled,
            now.queued - before.queued,
            now.latency - before.latency,
        )

    def plus(self, earlier: Usage) -> Usage:
        """What was spent here and by `earlier` together."""
        now = self.snapshot()
        return Usage(
            now.requests + earlier.requests,
            now.retries + earlier.retries,
            now.bytes + earlier.bytes,
            now.wire_bytes + earlier.wire_bytes,
            now.throttled + earlier.throttled,
            now.queued + earlier.queued,
            now.latency + earlier.latency,
        )

    def to_json(self) -> dict[str, Any]:
        """The counts that a receipt has, for a run that goes on with the slice."""
        latency = {str(edge): count for edge, count in self.latency.items()}
        return {**{name: getattr(self, name) for name in _TOLD}, "latency": latency}

    @classmethod
    def from_json(cls, spent: Mapping[str, Any]) -> Usage:
        """The inverse of `to_json`."""
        latency = Counter({int(edge): int(count) for edge, count in spent["latency"].items()})
        return cls(**{name: spent[name] for name in _TOLD}, latency=latency)

    def quantile(self, share: float) -> float | None:
        """The seconds within which that share of the answers came, a fifth too many at most; None before the first."""
        with self._lock:
            counts = sorted(self.latency.items())
        wanted, seen = share * sum(number for _, number in counts), 0
        for edge, number in counts:
            seen += number
            if seen >= wanted:
                return edge / 1000
        return None


def _edge(seconds: float) -> int:
    """The upper edge, in milliseconds, of the bucket of a duration."""
    return round(2 ** (ceil(_STEPS * log2(max(seconds * 1000, 1))) / _STEPS))
