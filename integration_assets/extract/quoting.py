"""Values that Arrow's JSON reader could not keep as they are, put in quotes before it reads: any JSON, and exact decimals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from integration_assets.extract.values import RECORD, compact
from integration_assets.spec.paths import Path

Quote = Callable[[msgspec.Raw], msgspec.Raw]
Quotes = dict[str, "Quote | Quotes"]
"""What is quoted, by the name of its field; fields below an object's in a dict of its own."""

_NULL = b"null"
_NUMERIC = b"-0123456789"
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def quote_for(type_: pa.DataType, format_: str | None) -> Quote | None:
    """How a column's values are quoted; None for one that Arrow reads by itself."""
    if format_ == "json":
        return _json_text
    return _number if pa.types.is_decimal(type_) else None


def add_quote(quotes: Quotes, path: Path, quote: Quote) -> bool:
    """Have the values at a path quoted; whether that can be, which is not so below a list."""
    for part in path[:-1]:
        below = quotes.setdefault(part, {}) if isinstance(part, str) else None
        if not isinstance(below, dict):
            return False
        quotes = below
    last = path[-1]
    if not isinstance(last, str) or last in quotes:
        return False
    quotes[last] = quote
    return True


def quoted(listed: Any, quotes: Quotes) -> bytes:  # noqa: ANN401 - raw JSON
    """A list of objects with their values quoted. Raises msgspec's errors and ValueError for what is none, or cannot be read."""
    records = _OBJECTS.decode(listed)
    for record in records:
        _within(record, quotes)
    return msgspec.json.encode(records)


def _within(record: dict[str, msgspec.Raw], quotes: Quotes) -> None:
    for name, quote in quotes.items():
        raw = record.get(name)
        if raw is None or bytes(raw) == _NULL:
            continue
        if isinstance(quote, dict):
            below = _OBJECT.decode(raw)
            _within(below, quote)
            record[name] = msgspec.Raw(msgspec.json.encode(below))
        else:
            record[name] = quote(raw)


def _json_text(raw: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(compact(RECORD.decode(raw))))


def _number(raw: msgspec.Raw) -> msgspec.Raw:
    """A number as a text with each of its digits; a text, which the contract takes as well, and all else as it is."""
    text = bytes(raw)
    return msgspec.Raw(b'"' + text + b'"') if text[0] in _NUMERIC else raw
