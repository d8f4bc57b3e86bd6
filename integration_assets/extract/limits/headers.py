"""The budget that an API tells with its answers, in the spellings there are."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

_EPOCH = 1_000_000_000.0
_MILLIS = 1_000_000_000_000.0
_PLACES = (
    ("ratelimit-remaining", "ratelimit-reset", "ratelimit-limit"),
    ("x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-limit"),
    ("x-rate-limit-remaining", "x-rate-limit-reset", "x-rate-limit-limit"),
)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_PART = re.compile(r"(?:^|[;,\s])(remaining|reset|limit|r|t|q)=(\d{1,15})", re.ASCII)
_WORDS = {"r": "remaining", "t": "reset", "q": "limit"}


@dataclass(frozen=True, slots=True)
class Budget:
    """`left` requests in the next `reset` seconds, `limit` of them in all if that was told."""

    left: int
    reset: float
    limit: int | None = None


def budget(headers: Mapping[str, str]) -> Budget | None:
    """The scarcest budget the headers tell, None when they tell none whole.

    Read are `RateLimit` (RFC drafts 7 to 10), `RateLimit-…` (drafts to 6), `X-RateLimit-…` and `X-Rate-Limit-…` with the
    reset in seconds, or as seconds or milliseconds since 1970; these are compared with the answer's own `Date`.
    """
    found = _structured(headers.get("ratelimit", ""))
    for left_name, reset_name, limit_name in _PLACES:
        left, reset = _number(headers.get(left_name)), _number(headers.get(reset_name))
        if left is None or reset is None:
            continue
        if reset >= _EPOCH:
            reset = max(0.0, reset / (1000 if reset >= _MILLIS else 1) - _now(headers))
        limit = _number(headers.get(limit_name))
        found.append(Budget(int(left), reset, None if limit is None else int(limit)))
    return min(found, key=lambda one: (one.left, -one.reset), default=None)


def _structured(text: str) -> list[Budget]:
    """`"hour";r=50;t=30, "day";r=900;t=600`, or the older `limit=100, remaining=50, reset=5`."""
    if not text:
        return []
    found = []
    for item in text.split(",") if ";" in text else [text]:
        parts = {_WORDS.get(name, name): int(value) for name, value in _PART.findall(item)}
        if "remaining" in parts and "reset" in parts:
            found.append(Budget(parts["remaining"], float(parts["reset"]), parts.get("limit")))
    return found


def _now(headers: Mapping[str, str]) -> float:
    try:
        moment = parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, OverflowError):
        return time.time()
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(text: str | None) -> float | None:
    """The header's first number: `100, 100;w=60` is 100."""
    if text is None:
        return None
    match = _NUMBER.match(text.strip())
    return float(match.group()) if match else None
