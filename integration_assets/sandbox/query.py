"""Query parameters, read strictly: an unknown or malformed one is a 400, never silently ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration_assets.sandbox.answers import ApiError
from integration_assets.sandbox.times import NEVER, first_second, parse

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Query:
    """One request as a stream sees it.

    `clock` is the server's simulated instant in whole seconds, `now` the real one in seconds, `url` the address without
    its query, and `looping` the fault that makes every next page the same page.
    """

    path: str
    url: str
    params: Mapping[str, str]
    clock: int
    now: float
    looping: bool = False

    def only(self, *names: str) -> None:
        """Refuse any parameter that is not named."""
        unknown = sorted(set(self.params) - set(names))
        if unknown:
            message = f"unknown parameter {unknown[0]!r}; this endpoint takes {', '.join(names) or 'none'}"
            raise ApiError(400, "unknown_parameter", message)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Read a whole number within `[low, high]`."""
        text = self.params.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ApiError(400, "invalid_parameter", f"{name} must be a whole number from {low} to {high}")
        return int(text)

    def instant(self, name: str, default: int) -> int:
        """Read an instant, rounded up to whole seconds."""
        text = self.params.get(name)
        if text is None:
            return default
        try:
            return first_second(parse(text))
        except ValueError as error:
            raise ApiError(400, "invalid_parameter", f"{name} must be ISO-8601 with an offset: {error}") from error

    def window(self, since: str, before: str) -> tuple[int, int]:
        """Read a half-open range of instants, open at both ends by default."""
        return self.instant(since, 0), self.instant(before, NEVER)
