"""What a handler gives back before any fault or wire touches it, and the errors it may raise instead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
CSV = "text/csv; charset=utf-8"
XML = "application/xml"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `snapshot` asks for a strong ETag over the final body and a 304 when the client has it."""

    body: bytes
    media: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    snapshot: bool = False

    def adding(self, *headers: tuple[str, str]) -> Answer:
        """Give the same answer with more headers."""
        return replace(self, headers=self.headers + headers)

    def without(self, name: str) -> Answer:
        """Give the same answer without the header `name`."""
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0] != name))


class ApiError(Exception):
    """An error answer: `status`, a machine-readable `code`, a sentence for people, and headers."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep the parts; `answer` puts them together."""
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = tuple((headers or {}).items())

    def answer(self) -> Answer:
        """Render as `{"error": {"code", "message"}}`."""
        body = {"error": {"code": self.code, "message": self.message}}
        return Answer(msgspec.json.encode(body), status=self.status, headers=self.headers)
