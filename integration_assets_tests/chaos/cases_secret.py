"""Upstreams that give the credential back wherever an answer has room for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

from integration_assets.spec import Csv, NextLink, Token, Xml
from integration_assets_tests.chaos.answers import GOOD, JSON, among, does, head, ok, page, record
from integration_assets_tests.chaos.case import SECRET, Case, Fails, Lands
from integration_assets_tests.chaos.upstream import Behaviour, Talk


def _echoes(answer: Callable[[str], bytes]) -> Behaviour:
    """Answer with the credential as it was sent."""

    def behave(talk: Talk) -> bool:
        talk.send(answer(talk.header("authorization").removeprefix("Bearer ")))
        return True

    return behave


def _in(where: str, answer: Callable[[str], bytes], becomes: Fails | Lands, **settings: object) -> Case:
    return Case(f"credential in {where}", _echoes(answer), becomes, **settings)  # type: ignore[arg-type]


_REFUSED = Fails("ResponseError", ("400",), 1)
_OUT = Fails("UpstreamUnavailableError", (), 2)
_TEXT = {"format": Csv()}

CASES = (
    _in("an error", lambda key: ok(f"bad key {key}".encode(), status="400 No"), _REFUSED),
    _in("an error as JSON", lambda key: ok(json.dumps({"key": key, "in": json.dumps(key)}).encode(), status="400 No"), _REFUSED),
    _in("an error as a url", lambda key: ok(quote(key, safe="").encode(), status="400 No"), _REFUSED),
    _in("an error's end", lambda key: ok(b"x" * (4096 - 9) + key.encode(), status="400 No"), _REFUSED),
    _in("a reason phrase", lambda key: ok(b"", status=f"400 {key}"), _REFUSED),
    _in("a header that is none", lambda key: ok(page(), f"no colon {key}"), _OUT),
    _in("the status line", lambda key: f"HTTP/1.1 {key} OK\r\n\r\n".encode(), _OUT),
    _in("a chunk's size", lambda key: head("200 OK", JSON, "Transfer-Encoding: chunked") + f"{key}\r\n".encode(), _OUT),
    _in(
        "the content type", lambda key: ok(page(), kind=f"Content-Type: text/{key}"), Fails("ResponseError", ("content type",), 1)
    ),
    _in("the content encoding", lambda key: ok(page(), f"Content-Encoding: {key}"), Fails("ResponseError", ("encoding",), 1)),
    _in(
        "a redirect's host",
        lambda key: head("302 Found", f"Location: http://{quote(key, safe='')}.example/", "Content-Length: 0"),
        Fails("CrossHostError", ("http://***.example",), 1),
    ),
    _in(
        "a redirect's small host",
        lambda _key: head("302 Found", "Location: http://x.example/", "Content-Length: 0"),
        Fails("CrossHostError", (), 1),
    ),
    _in(
        "a redirect's query",
        lambda key: head("302 Found", f"Location: /items?key={quote(key, safe='')}", "Content-Length: 0"),
        Fails("ResponseError", ("redirects",), 6),
    ),
    _in(
        "a next link",
        lambda key: ok(page(next=f"http://x.example/{key}")),
        Fails("CrossHostError", (), 1),
        stream={"paging": NextLink(path="next")},
    ),
    _in(
        "a next link that is none",
        lambda key: ok(page(next=f"http://[{key}")),
        Fails("ResponseError", (), 1),
        stream={"paging": NextLink(path="next")},
    ),
    _in(
        "a page token",
        lambda key: ok(page(next=key)),
        Fails("PagingError", (), 2),
        stream={"paging": Token(path="next", param="from")},
    ),
    _in("an ETag and cookies", lambda key: ok(page(), f"ETag: {key}", f"Set-Cookie: a={key}", f"X-Key: {key}"), Lands()),
    _in(
        "records that are turned away",
        lambda key: ok(among(record(21, price=json.dumps(key)), json.dumps(key), f'{{"id": 22, "seq": {json.dumps(key)}}}')),
        Lands(rejects=("price: expected double", "expected object", "seq: expected int64")),
    ),
    _in("a field's name", lambda key: ok(page([{**one, f"x-{key}": 1} for one in GOOD])), Lands(says=("new field",))),
    _in("the list's place", lambda key: ok(json.dumps({"data": key}).encode()), Fails("ResponseError", ("is string",), 1)),
    _in("JSON that is none", lambda key: ok(f"{{{key}".encode()), Fails("ResponseError", ("not valid JSON",), 2)),
    _in(
        "a CSV header",
        lambda key: ok(f'"{key}",b\n1,2\n'.encode(), kind="Content-Type: text/csv"),
        Fails("ResponseError", ("header",), 1),
        stream=_TEXT,
    ),
    _in(
        "a charset",
        lambda key: ok(b"id,seq\n1,1\n", kind=f"Content-Type: text/csv; charset={key.replace('+', 'x')}"),
        Fails("ResponseError", ("text",), 1),
        stream=_TEXT,
    ),
    _in(
        "an XML encoding",
        lambda key: ok(f"<?xml version='1.0' encoding='{key}'?><r/>".encode(), kind="Content-Type: text/xml"),
        Fails("ResponseError", (), 2),
        stream={"format": Xml(record="r")},
    ),
    _in(
        "a 429's text",
        lambda key: ok(f"rate limit exceeded for {key}".encode(), status="403 No"),
        Fails("UpstreamUnavailableError", (), 2),
    ),
    Case(
        "credential before a reset",
        does(lambda talk: talk.send(head("200 OK", JSON, f"X: {SECRET}", "Content-Length: 99")), Talk.reset),
        _OUT,
    ),
)
