"""Page tokens of /v1/flights: opaque, signed, aging, and a position by key, so that nothing moves under a reader."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

_LAYOUT = struct.Struct(">dqqqq")
_SIGNATURE = 8


class CursorExpiredError(Exception):
    """The token is malformed, forged, or older than its life; the reader must start again."""


@dataclass(frozen=True, slots=True)
class Position:
    """The last version served, and the window `[since, before)` it was served from; all in seconds since 1970."""

    time: int
    flight: int
    since: int
    before: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """Writes and reads tokens with one secret; `life` is in real seconds, as is every `now`."""

    secret: bytes
    life: float

    def write(self, position: Position, now: float) -> str:
        """Make the token for the page after `position`."""
        body = _LAYOUT.pack(now, position.time, position.flight, position.since, position.before)
        return urlsafe_b64encode(body + self._sign(body)).decode().rstrip("=")

    def read(self, token: str, now: float) -> Position:
        """Give back the position; raises `CursorExpiredError` for anything `write` did not make within `life`."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (binascii.Error, UnicodeEncodeError) as error:
            msg = "the cursor is not one of ours"
            raise CursorExpiredError(msg) from error
        body, signature = raw[:-_SIGNATURE], raw[-_SIGNATURE:]
        if len(body) != _LAYOUT.size or not hmac.compare_digest(signature, self._sign(body)):
            msg = "the cursor is not one of ours"
            raise CursorExpiredError(msg)
        born, time, flight, since, before = _LAYOUT.unpack(body)
        if now - born >= self.life:
            msg = f"the cursor is older than {self.life:g} s: start the read again"
            raise CursorExpiredError(msg)
        return Position(time, flight, since, before)

    def _sign(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self.secret[:64], digest_size=_SIGNATURE).digest()
