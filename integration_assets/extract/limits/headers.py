"""The budget that an API tells with its answers, in the spellings there are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_EPOCH = 1_000_000_000.0
_MILLIS = 1_000_000_000_000.0
_PLACES = (
    ("ratelimit-remaining", "ratelimit-reset", "ratelimit-limit"),
    ("x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-limit"),
    ("x-rate-limit-remaining", "x-rate-limit-reset", "x-rate-limit-limit"),
)
_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)s?\s*(?:[,;]|$)", re.ASCII)
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
    reset in seconds, or as a moment: in seconds or milliseconds since 1970, as ISO 8601 or as a date of HTTP. Moments are
    compared with the answer's own `Date`.
    """
    found = _structured(headers.get("ratelimit", ""))
    for left_name, reset_name, limit_name in _PLACES:
        left, reset = _number(headers.get(left_name)), _reset(headers.get(reset_name))
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
    moment = _moment(headers.get("date", ""), parsedate_to_datetime)
    return time.time() if moment is None else moment


def _reset(text: str | None) -> float | None:
    """Seconds, from now or since 1970."""
    found = _number(text)
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        moment = _moment((text or "").strip(), read) if found is None else None
        found = found if moment is None else max(_EPOCH, moment)
    return found


def _moment(text: str, read: Callable[[str], datetime]) -> float | None:
    """Seconds since 1970; None for what is no moment."""
    try:
        moment = read(text)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(text: str | None) -> float | None:
    """The header's first number: `100, 100;w=60` is 100, `30s` is 30, and `2026-11-21` is none."""
    if text is None:
        return None
    match = _NUMBER.match(text.strip())
    return float(match.group(1)) if match else None
