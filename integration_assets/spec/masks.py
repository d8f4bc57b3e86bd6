"""How a contract marks personal columns: how they are shown to people, and how they are stored."""

from __future__ import annotations

from integration_assets.errors import SpecError

SHOWN = ("redact", "hash", "partial")
"""`pii`: what people see of a value in samples, previews, logs and the command line. The stores have it whole.

redact : nothing. hash : a short name that is the same for the same value. partial : its first and last character.
"""
STORED = ("hash", "redact")
"""`mask`: what the lake and the warehouse have of a value, and so everything after them.

hash : a keyed hash (HMAC-SHA256), the same for the same value, so that tables can still be joined. redact : nothing, null.
"""
_LONG_ENOUGH = 5


def check_marks(column: str, *, pii: object, mask: object, text: bool, nullable: bool) -> None:
    """See that a column's marks are known and fit it. Raises `SpecError` naming the column.

    text : whether the column's type is a string.
    """
    for name, given, known in (("pii", pii, SHOWN), ("mask", mask, STORED)):
        if given is not None and given not in known:
            raise SpecError(f"column {column!r} has the unknown {name} {given!r}", field=name, remedy=f"Use {', '.join(known)}.")
    if mask == "hash" and not text:
        raise SpecError(f"column {column!r} is hashed to text and is no string", field="mask", remedy="Make it a String.")
    if mask == "redact" and not nullable:
        raise SpecError(f"column {column!r} is stored as null and may not be", field="mask", remedy="Make it nullable.")


def partly(text: str) -> str:
    """The first and the last character of a text that is long enough to hide behind them."""
    return f"{text[0]}***{text[-1]}" if len(text) >= _LONG_ENOUGH else "***"
