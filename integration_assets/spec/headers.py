"""Which headers can be sent."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OF_THE_BODY = frozenset({"content-length", "transfer-encoding"})


def sendable(value: str) -> bool:
    """Whether a header can have this value: printable ASCII with no space around it."""
    return value.isascii() and value.isprintable() and value == value.strip()


def unsendable(headers: Mapping[str, str]) -> str | None:
    """Which header cannot be sent, and why, without its value; None when all can."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            return f"{name!r} is no name of a header"
        if name.lower() in _OF_THE_BODY:
            return f"{name} is told by the body itself"
        if not sendable(value):
            return f"the value of {name} has a line break or a space around it, or is no ASCII"
    return None
