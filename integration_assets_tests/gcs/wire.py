"""A request and an answer, whatever API they belong to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from integration_assets_tests.gcs.errors import bad_range, bad_request

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `parts` is its path split at "/" and unquoted, header names are in lower case, `body` is read once."""

    method: str
    parts: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Iterator[bytes]

    @property
    def base(self) -> str:
        """The address by which the client knows this server."""
        return f"http://{self.headers.get('host', 'localhost')}"

    def json(self) -> dict[str, Any]:
        """Read the body as a JSON object, an empty body as an empty one; raises 400 if it is none."""
        return parse_json(b"".join(self.body))


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes of an open file, closed once they are sent."""

    file: BinaryIO
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; to HEAD the body's length is told but the body is not sent."""

    status: int = 200
    body: bytes | Slice = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def parse_json(body: bytes) -> dict[str, Any]:
    """Read a JSON object; raises 400."""
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise bad_request("Parse Error") from error
    if not isinstance(value, dict):
        raise bad_request("Parse Error")
    return value


def json_answer(value: object, status: int = 200) -> Answer:
    """Give a JSON answer."""
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def xml_answer(name: str, inner: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Give an XML answer with one element of the S3 namespace at its root."""
    body = f"<?xml version='1.0' encoding='UTF-8'?><{name} xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{inner}</{name}>"
    return Answer(200, body.encode(), {"Content-Type": "application/xml; charset=UTF-8"} | dict(headers or {}))


def cut(header: str | None, size: int) -> tuple[int, int] | None:
    """Give offset and length of a Range header, None for no or no single valid range; raises 416 behind the last byte."""
    match = _RANGE.fullmatch(header or "")
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
        if int(last) == 0:
            raise bad_range(size)
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise bad_range(size)
    return start, end - start
