"""Bytes to send: good records, whole answers, and the ways to send them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from integration_assets_tests.chaos.upstream import Behaviour, Talk

GOOD: tuple[dict[str, Any], ...] = tuple(
    {
        "id": number,
        "seq": number,
        "price": number / 4,
        "ok": number % 2 == 0,
        "at": f"2024-01-{number:02}T00:00:00Z",
        "ticked": 1_700_000_000_000 + number,
        "note": f"note {number}",
    }
    for number in range(1, 21)
)
"""The records that the upstream truly has."""
JSON = "Content-Type: application/json"


def head(status: str = "200 OK", *lines: str) -> bytes:
    """Status line and headers."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def ok(body: bytes, *lines: str, kind: str = JSON, status: str = "200 OK") -> bytes:
    """A whole answer."""
    return head(status, kind, f"Content-Length: {len(body)}", *lines) + body


def page(records: Any = GOOD, **more: Any) -> bytes:  # noqa: ANN401 - JSON
    """A body that lists the records."""
    return json.dumps({"data": records, **more}).encode()


def among(*texts: str | bytes) -> bytes:
    """A body with these texts where records should be, between the good ones."""
    good = [json.dumps(record).encode() for record in GOOD]
    odd = [text.encode() if isinstance(text, str) else text for text in texts]
    return b'{"data": [' + b", ".join([*good[:10], *odd, *good[10:]]) + b"]}"


def record(number: int, **fields: str) -> str:
    """The JSON text of a record whose fields are given as JSON text."""
    return ", ".join(["{" + f'"id": {number}, "seq": {number}', *(f'"{name}": {text}' for name, text in fields.items())]) + "}"


WELL = ok(page())
"""What the upstream sends when it is well."""


def sends(*answers: bytes) -> Behaviour:
    """These answers one after the other, the last one for ever, on connections that are kept open."""

    def behave(talk: Talk) -> bool:
        talk.send(answers[min(talk.number, len(answers) - 1)])
        return True

    return behave


def sends_and_closes(answer: bytes) -> Behaviour:
    """An answer, and the end of the connection."""
    return lambda talk: talk.send(answer)


def first(behave: Behaviour, times: int = 1, then: Behaviour | None = None) -> Behaviour:
    """So behaved for so many requests, and well afterwards."""
    well = then or sends(WELL)
    return lambda talk: behave(talk) if talk.number < times else well(talk)


def does(*steps: Callable[[Talk], object]) -> Behaviour:
    """The steps, and the end of the connection."""

    def behave(talk: Talk) -> None:
        for step in steps:
            step(talk)

    return behave


def pages(link: Callable[[Talk, int], dict[str, Any]], size: int = 5) -> Behaviour:
    """The good records page by page; `link` gives what a page says of the next, told the place at which that begins."""

    def behave(talk: Talk) -> bool:
        start = int(query(talk).get("from", 0))
        after = start + size
        talk.send(ok(page(GOOD[start:after], **(link(talk, after) if after < len(GOOD) else {}))))
        return True

    return behave


def query(talk: Talk) -> dict[str, str]:
    """The query's parameters."""
    return {name: values[0] for name, values in parse_qs(urlsplit(talk.target).query).items()}


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def gzipped(body: bytes) -> bytes:
    """Compressed."""
    return gzip.compress(body, 9)
