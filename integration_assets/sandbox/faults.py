"""Fault rules: which requests go wrong, and how; seeded, so that the same requests meet the same faults again."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

Kind = Literal[
    "status",
    "reset",
    "slow",
    "truncate",
    "malformed",
    "schema",
    "bad_rows",
    "empty",
    "html",
    "loop",
    "token_refused",
    "content_type",
]
Retype = Literal["string", "array", "object", "epoch"]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule of PUT /admin/faults.

    It looks at requests whose path starts with `path` (`token_refused` only at those with a cursor), lets the first
    `after` of them pass, and fires on a share `rate` of the others, at most `times` times. The rest are options of a
    kind: `status` and `retry_after` (status, html), `seconds` after each `bytes` (slow), the share of the body to
    `keep` (truncate), `rename`, `add` and `retype` (schema), `share` of the records and one of `field` with `value`,
    `drop` or `null` (bad_rows), `media` (content_type). Field names may be dotted paths: `carrier.code`.
    """

    path: str
    kind: Kind
    rate: float = 1.0
    seed: int = 0
    times: int | None = None
    after: int = 0
    status: int | None = None
    retry_after: int | str | None = None
    seconds: float = 0.05
    bytes: int = 16_384
    keep: float = 0.5
    rename: dict[str, str] = {}
    add: dict[str, Any] = {}
    retype: dict[str, Retype] = {}
    share: float = 0.1
    field: str | None = None
    value: Any = None
    drop: str | None = None
    null: str | None = None
    media: str = "text/plain"

    def __post_init__(self) -> None:
        """Refuse what could never fire or would fire wrongly; `ValueError` says what to mend."""
        if not self.path.startswith("/v1"):
            msg = "path must start with /v1"
            raise ValueError(msg)
        if not all(0 <= share <= 1 for share in (self.rate, self.share, self.keep)):
            msg = "rate, share and keep are from 0 to 1"
            raise ValueError(msg)
        if self.bytes < 1 or self.seconds < 0 or self.after < 0:
            msg = "bytes is at least 1; seconds and after are at least 0"
            raise ValueError(msg)
        if self.kind == "bad_rows" and sum(name is not None for name in (self.field, self.drop, self.null)) != 1:
            msg = "bad_rows needs exactly one of field, drop and null"
            raise ValueError(msg)


class Switch:
    """A rule with how many requests it has looked at and how often it fired."""

    def __init__(self, rule: Rule) -> None:
        """Start with nothing seen."""
        self.rule, self.matched, self.fired = rule, 0, 0

    def fires(self, path: str, *, has_token: bool) -> bool:
        """Say whether the next request meets the fault, and count it."""
        rule = self.rule
        if not path.startswith(rule.path) or (rule.kind == "token_refused" and not has_token):
            return False
        self.matched += 1
        spent = rule.times is not None and self.fired >= rule.times
        hit = not spent and self.matched > rule.after and chance(rule.seed, self.matched) < rule.rate
        self.fired += hit
        return hit


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        """Start with none."""
        self._switches: list[Switch] = []

    def put(self, body: bytes) -> None:
        """Replace all rules and their counts; `msgspec.ValidationError` (a ValueError) names what is wrong."""
        self._switches = [Switch(rule) for rule in msgspec.json.decode(body, type=list[Rule])]

    def clear(self) -> None:
        """Drop all rules."""
        self._switches = []

    def shown(self) -> list[dict[str, Any]]:
        """Give every rule as it was put, with `matched` and `fired`."""
        return [
            msgspec.to_builtins(switch.rule) | {"matched": switch.matched, "fired": switch.fired} for switch in self._switches
        ]

    def met_by(self, path: str, *, has_token: bool) -> dict[Kind, Rule]:
        """Give the rules that fire on this request, the first of each kind."""
        met: dict[Kind, Rule] = {}
        for switch in self._switches:
            if switch.fires(path, has_token=has_token):
                met.setdefault(switch.rule.kind, switch.rule)
        return met


def chance(seed: int, name: int | str) -> float:
    """Give a number in [0, 1) that depends on the seed and the name alone."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
