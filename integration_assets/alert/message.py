"""What is told: names, numbers, and what to do. Never a record, an answer of an API, or a secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["failed", "check", "recovered"]
_LONGEST = 200


@dataclass(frozen=True)
class About:
    """One stream of which is told.

    error, why, remedy : the class of what went wrong, what that class means, and what to do.
    slices, missing    : partitions of the run, and those of them that were not pulled; 0 for a stream without.
    rejected           : records turned away.
    checks             : checks that failed.
    last_good, since   : ISO 8601: when it was last pulled well; from when to when it was not.
    """

    name: str
    error: str | None = None
    why: str | None = None
    remedy: str | None = None
    slices: int = 0
    missing: int = 0
    rejected: int = 0
    checks: tuple[str, ...] = ()
    last_good: str | None = None
    since: tuple[str, str] | None = None


@dataclass(frozen=True)
class Message:
    """One message.

    key   : the same for the same message, so that whoever gets it twice can tell.
    title : one line.
    lines : what follows it.
    url   : where to look, or None.
    """

    kind: Kind
    key: str
    title: str
    lines: tuple[str, ...] = ()
    url: str | None = None
    streams: tuple[About, ...] = ()

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Message:
        """The inverse of `dataclasses.asdict`, also after JSON."""
        streams = (
            {**one, "checks": tuple(one["checks"]), "since": tuple(one["since"]) if one["since"] else None}
            for one in parts["streams"]
        )
        return cls(**{**parts, "lines": tuple(parts["lines"]), "streams": tuple(About(**one) for one in streams)})

    @property
    def subject(self) -> str:
        """The title on one line, of a length that an e-mail's subject may have."""
        flat = " ".join(self.title.split())
        return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 1]}…"

    def text(self) -> str:
        """Title, lines and address as plain text."""
        return "\n".join([self.title, *self.lines, *([self.url] if self.url else [])])

    def to_json(self) -> str:
        """The message as one JSON object; what does not apply is null, zero or empty."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))
