"""What is shared of one account: an API under one credential. Plain data; `rules` says what becomes of it.

Moments are seconds since 1970 by the store's clock, never by the asker's.
"""

from __future__ import annotations

import msgspec

BUCKET = 10.0
"""Seconds that one `Count` covers."""


class Count(msgspec.Struct, array_like=True):
    """What happened in one bucket of time. `retries` are those that the retry budget let through."""

    bucket: int
    answered: int = 0
    failed: int = 0
    retries: int = 0


class Lease(msgspec.Struct, array_like=True):
    """A slot that `owner` holds until it is given back, or until `expires`."""

    owner: str
    expires: float


class Fuse(msgspec.Struct, omit_defaults=True):
    """The breaker's state: closed while `opens` is 0, open until `until`, then one lease at a time may probe."""

    opens: int = 0
    until: float = 0.0
    reason: str = ""
    prober: str = ""
    probe_until: float = 0.0


class State(msgspec.Struct, omit_defaults=True):
    """An account's shared state.

    source, host  : for people to read.
    seen          : the store's clock at the last change.
    next_turn     : when the next one who asks is due by the rate; gate: when the next one who is due may pass.
    paused_until  : nobody asks before; `pauses` counts the pauses in a row that the API gave no length for.
    slowed, slowed_at : the share of the rate that was left after the last 429, and when that was.
    left, left_until, left_of : the budget that the API's headers told: requests left until its reset; below 0 when it told none.
    day, spent    : the quota's day and what it has cost.
    """

    source: str = ""
    host: str = ""
    seen: float = 0.0
    next_turn: float = 0.0
    gate: float = 0.0
    leases: dict[str, Lease] = {}
    paused_until: float = 0.0
    pause_reason: str = ""
    pauses: int = 0
    slowed: float = 1.0
    slowed_at: float = 0.0
    left: int | None = None
    left_until: float = 0.0
    left_of: int | None = None
    day: str = ""
    spent: int = 0
    counts: list[Count] = []
    fuse: Fuse = msgspec.field(default_factory=Fuse)

    def set_clock(self, now: float) -> None:
        """Note the time. When the clock was set back, every moment moves with it, so that no wait grows by it."""
        back = self.seen - now
        if back > 1:
            self.next_turn -= back
            self.gate -= back
            self.paused_until -= back
            self.slowed_at -= back
            self.left_until -= back
            self.fuse.until -= back
            self.fuse.probe_until -= back
            for lease in self.leases.values():
                lease.expires -= back
            self.counts.clear()
        self.seen = now


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(State)


def encode(state: State) -> bytes:
    """The state as one line of JSON."""
    return _ENCODER.encode(state)


def decode(data: bytes | str) -> State:
    """The inverse of `encode`; an empty text is a new state, and unknown fields of a later version are left out."""
    return _DECODER.decode(data) if data else State()
