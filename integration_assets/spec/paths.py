"""Where a value is in a record, and how it is written there."""

from __future__ import annotations

import re

from integration_assets.errors import SpecError

Path = tuple[str | int, ...]
FORMATS = {None, "iso8601", "epoch_s", "epoch_ms", "json"}
_PATH = re.compile(r"[^.\[\]]+(\[\d+\])*(\.[^.\[\]]+(\[\d+\])*)*")


def parse_path(text: str) -> Path:
    """`a.b[0].c` as `("a", "b", 0, "c")`. Raises `SpecError` when it is not a path."""
    if not _PATH.fullmatch(text):
        raise SpecError(f"{text!r} is not a path", field="path", remedy="Write a.b.c or a.b[0].")
    parts: list[str | int] = []
    for name in text.split("."):
        head, *indexes = name.split("[")
        parts.append(head)
        parts.extend(int(index.rstrip("]")) for index in indexes)
    return tuple(parts)


def check_format(format_: str | None) -> None:
    """Raise `SpecError` for a format that no column can have."""
    if format_ not in FORMATS and "%" not in str(format_):
        raise SpecError(
            f"there is no format {format_!r}",
            field="format",
            remedy="Use iso8601, epoch_s, epoch_ms, json or a strftime pattern such as %d.%m.%Y.",
        )
