"""Faults on demand: which requests fail, how, how often."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from integration_assets_tests.gcs.errors import Refusal, bad_request

# status: answered instead; reset: the connection is cut before anything is done; lost: it is done, the answer is cut;
# truncate: the answer's headers and half of its body are sent, then the connection is cut.
ACTIONS = ("429", "500", "502", "503", "504", "reset", "lost", "truncate")


@dataclass(slots=True)
class Rule:
    """Requests whose `METHOD /path?query` (unquoted) holds a match of the pattern `match` suffer `action`.

    The first `skip` of them do not, then `times` of them do (None: all), each with `probability` drawn from `seed`.
    """

    action: str
    match: str = ""
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    fired: int = 0
    _seen: int = 0
    _dice: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.action = str(self.action)
        if self.action not in ACTIONS:
            raise bad_request(f"A fault's action is one of {', '.join(ACTIONS)}, not {self.action!r}")
        self._dice.seed(self.seed)

    def strikes(self, target: str) -> bool:
        """Count a request and give whether it suffers."""
        if (self.times is not None and self.fired >= self.times) or not re.search(self.match, target):
            return False
        self._seen += 1
        if self._seen <= self.skip or self._dice.random() >= self.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules in force; of several that match, the first strikes."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = Lock()

    def put(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Replace all rules; raises 400 for one that is none."""
        try:
            made = [Rule(**rule) for rule in rules]
        except TypeError as error:
            raise bad_request(str(error)) from error
        with self._lock:
            self._rules = made

    def fired(self) -> list[int]:
        """Give how often each rule struck."""
        with self._lock:
            return [rule.fired for rule in self._rules]

    def strike(self, target: str) -> str | None:
        """Give the action that a request suffers; raises the refusal if it is a status."""
        with self._lock:
            action = next((rule.action for rule in self._rules if rule.strikes(target)), None)
        if action is None or not action.isdigit():
            return action
        if action == "429":
            message = "The object exceeded the rate limit for object mutation operations (create, update, and delete)."
            raise Refusal(429, "rateLimitExceeded", "SlowDown", message)
        raise Refusal(int(action), "backendError", "InternalError", "We encountered an internal error. Please try again.")
