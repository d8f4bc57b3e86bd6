"""What a client has cost so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock


@dataclass
class Usage:
    """Cumulative and thread safe; `minus` an earlier `snapshot` accounts for what lay between.

    requests   : requests sent, retries and redirects among them.
    bytes      : body bytes after decompression; wire_bytes as transferred.
    throttled  : seconds spent waiting because the API asked for it.
    """

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    wire_bytes: int = 0
    throttled: float = 0.0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, *, requests: int = 0, retries: int = 0, bytes_: int = 0, wire_bytes: int = 0, throttled: float = 0.0) -> None:
        """Count in."""
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.bytes += bytes_
            self.wire_bytes += wire_bytes
            self.throttled += throttled

    def snapshot(self) -> Usage:
        """The counts as they are now, apart from this object."""
        with self._lock:
            return Usage(self.requests, self.retries, self.bytes, self.wire_bytes, self.throttled)

    def minus(self, before: Usage) -> Usage:
        """What was spent since `before`, an earlier snapshot."""
        now = self.snapshot()
        return Usage(
            now.requests - before.requests,
            now.retries - before.retries,
            now.bytes - before.bytes,
            now.wire_bytes - before.wire_bytes,
            now.throttled - before.throttled,
        )
