"""The records of the benchmark's upstream: 27 fields with nested parts, about 1.1 KB each, made by patching templates.

A version has a number `j`. Versions `0 … rows-1` are the history, one a record, spread over a year of `updated_at`; versions
from `rows` on are changes of records, after that year. The number decides everything, so no page is stored.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

START = datetime(2025, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
FIRST_ID = 100_000_000_000
_PRIME = 7_919
_ID = b"%d" % FIRST_ID
_AT = b"2000-01-01T00:00:00.000000Z"
_AMOUNT = b"10000000.5"
_BAD = b'"a lot!"  '
_TEMPLATE_ROWS = 20_000


@dataclass(frozen=True)
class Feed:
    """What the upstream has.

    rows    : records of the history.
    changed : records that changed after it; each is one more version.
    bad     : share of the versions whose amount is a text.
    """

    rows: int
    changed: int = 0
    bad: float = 0.0

    @property
    def versions(self) -> int:
        """All versions there are."""
        return self.rows + self.changed

    @property
    def step(self) -> int:
        """Microseconds between two versions."""
        return YEAR // timedelta(microseconds=1) // self.rows

    def first_at(self, moment: datetime) -> int:
        """The first version updated at `moment` or later."""
        micros = (moment - START) // timedelta(microseconds=1)
        return min(max(-(-micros // self.step), 0), self.versions)


def example(number: int) -> dict[str, Any]:
    """One record as the API would have it; id, time and amount are placeholders that `Pages` patches."""
    chance = random.Random(number)  # noqa: S311 - made-up data
    words = ("parcel", "return", "invoice", "gift", "express", "pallet", "customs", "fragile", "repeat", "signature")
    return {
        "id": FIRST_ID,
        "updated_at": _AT.decode(),
        "amount": float(_AMOUNT),
        "created_at": f"2024-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}T08:00:00Z",
        "status": chance.choice(["open", "paid", "shipped", "cancelled"]),
        "currency": chance.choice(["EUR", "USD", "GBP"]),
        "tax": round(chance.uniform(0, 90), 2),
        "quantity": chance.randint(1, 40),
        "paid": chance.random() < 0.7,
        "email": f"customer{chance.randint(1, 10**6)}@example.org",
        "name": f"Customer {chance.randint(1, 10**6)}",
        "phone": None if chance.random() < 0.4 else f"+49 30 {chance.randint(10**6, 10**7)}",
        "note": " ".join(chance.choice(words) for _ in range(28)),
        "tags": [chance.choice(words) for _ in range(chance.randint(0, 4))],
        "address": {
            "line": f"Street {chance.randint(1, 300)}",
            "city": chance.choice(["Berlin", "Paris", "Oslo", "Rome"]),
            "postcode": f"{chance.randint(10000, 99999)}",
            "country": chance.choice(["DE", "FR", "NO", "IT"]),
            "lat": round(chance.uniform(40, 60), 5),
            "lon": round(chance.uniform(0, 20), 5),
        },
        "items": [
            {
                "sku": f"SKU-{chance.randint(1, 9999):04d}",
                "quantity": chance.randint(1, 5),
                "price": round(chance.uniform(1, 99), 2),
            }
            for _ in range(3)
        ],
        "channel": chance.choice(["web", "shop", "phone"]),
        "referrer": None if chance.random() < 0.5 else "https://search.example.org/?q=parcel",
        "ip": f"192.0.2.{chance.randint(1, 254)}",
        "user_agent": f"Mozilla/5.0 (X11; Linux x86_64) Engine/{chance.randint(90, 120)}.0 (like nothing else) Browser/1.0",
        "score": round(chance.random(), 6),
        "rank": chance.randint(1, 10**6),
        "discount": None if chance.random() < 0.6 else round(chance.uniform(0, 30), 2),
        "campaign": {"source": chance.choice(words), "name": f"c{chance.randint(1, 500)}", "variant": chance.choice("ABC")},
        "version": chance.randint(1, 9),
        "deleted": False,
        "url": f"https://shop.example.org/orders/{chance.randint(1, 10**9)}",
    }


class Pages:
    """Makes bodies. Each record is cut from one text; three fields of fixed width are patched, the rest comes as it is."""

    def __init__(self) -> None:
        texts = [json.dumps(example(number), separators=(",", ":")).encode() for number in range(_TEMPLATE_ROWS)]
        self._text = np.frombuffer(b"".join(text + b"," for text in texts), dtype=np.uint8)
        ends = np.cumsum([len(text) + 1 for text in texts])
        self._starts = np.concatenate([[0], ends])
        first = texts[0]
        # The three stand first, so their places are the same in each record.
        self._id, self._at, self._amount = (first.index(mark) for mark in (_ID, _AT, _AMOUNT))

    def body(self, feed: Feed, first: int, last: int, token: str | None, total: int) -> bytes:
        """The page with versions `[first, last)`, newest token and total in its envelope."""
        parts = []
        at = first
        while at < last:
            begin = at % _TEMPLATE_ROWS
            count = min(last - at, _TEMPLATE_ROWS - begin)
            parts.append(self._block(feed, at, begin, count))
            at += count
        records = b"".join(parts)[:-1]
        return b'{"data":[%s],"next":%s,"total":%d}' % (records, json.dumps(token).encode(), total)

    def _block(self, feed: Feed, at: int, begin: int, count: int) -> bytes:
        low, high = self._starts[begin], self._starts[begin + count]
        text = self._text[low:high].copy()
        offsets = self._starts[begin : begin + count] - low
        numbers = np.arange(at, at + count, dtype=np.int64)
        changed = numbers >= feed.rows
        ids = np.where(changed, (numbers - feed.rows) * _PRIME % feed.rows, numbers) + FIRST_ID
        micros = numbers * feed.step
        moments = np.datetime64(START.replace(tzinfo=None), "us") + micros.astype("timedelta64[us]")
        amounts = 10_000_000 + numbers % 9_000_000
        _patch(text, offsets + self._id, _digits(ids, 12))
        _patch(text, offsets + self._at, _letters(np.datetime_as_string(moments, unit="us"), 26))
        _patch(text, offsets + self._amount, _digits(amounts, 8))
        if feed.bad:
            bad = (numbers * 2_654_435_761 % 10_000) < feed.bad * 10_000
            _patch(text, (offsets + self._amount)[bad], np.tile(np.frombuffer(_BAD, np.uint8), (int(bad.sum()), 1)))
        return text.tobytes()


def _digits(values: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def _letters(texts: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    return np.frombuffer(texts.astype(f"S{width}").tobytes(), np.uint8).reshape(len(texts), width)


def _patch(text: np.ndarray[Any, Any], places: np.ndarray[Any, Any], letters: np.ndarray[Any, Any]) -> None:
    text[places[:, None] + np.arange(letters.shape[1])] = letters
