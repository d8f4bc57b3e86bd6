"""Answers that are HTTP, and are not what was asked for."""

from __future__ import annotations

import gzip
import zlib

from integration_assets.spec import Token
from integration_assets_tests.chaos.answers import (
    GOOD,
    first,
    gzipped,
    head,
    ok,
    page,
    pages,
    sends,
    sends_and_closes,
)
from integration_assets_tests.chaos.case import ALL, Case, Fails
from integration_assets_tests.chaos.upstream import Talk

_BODY = page()
_GZIP = gzipped(_BODY)
_YEAR = 31_536_000


def _later(value: str, *more: str, status: str = "429 Too Many Requests") -> bytes:
    return head(status, f"Retry-After: {value}", "Content-Length: 0", *more)


def _answered(status: str) -> Fails:
    return Fails("ResponseError", (status.partition(" ")[0],), 1)


def _refuses(status: str, *lines: str) -> Case:
    return Case(f"status {status}", sends(ok(b"{}", *lines, status=status)), _answered(status))


def _redirects(there: str, status: str = "302 Found") -> object:
    """Send the reader on; `{here}` and `{trap}` are filled in, `{n}` is another number each time."""

    def behave(talk: Talk) -> bool:
        port = talk.here.rpartition(":")[2]
        where = there.format(here=talk.here, trap=talk.trap, port=port, n=talk.number)
        talk.send(head(status, f"Location: {where}", "Content-Length: 0"))
        return True

    return behave


def _crosses(name: str, there: str, *says: str) -> Case:
    return Case(f"redirect {name}", _redirects(there), Fails("CrossHostError", ("credential does not follow", *says), 1))


def _cookies(talk: Talk) -> bool:
    """Set a cookie each time, and refuse whoever brings one."""
    if talk.header("cookie"):
        talk.send(ok(b"tracked", status="400 Bad Request"))
    else:
        start = talk.number * 10
        more = {"next": str(start + 10)} if start == 0 else {}
        lines = [f"Set-Cookie: id{talk.number}-{number}=x; Path=/; Max-Age=99999999" for number in range(50)]
        talk.send(ok(page(GOOD[start : start + 10], **more), *lines))
    return True


def _closes_kept_connections(talk: Talk) -> bool:
    """Say keep-alive and close after each page."""
    pages(lambda _talk, after: {"next": after})(talk)
    return False


_TOKENS = {"paging": Token(path="next", param="from")}
_OUT = Fails("UpstreamUnavailableError", ("GET /items",), 2)
_DAMAGED = Fails("UpstreamUnavailableError", ("the compressed body",), 2)
_JSON_TWICE = Fails("ResponseError", ("not valid JSON", "twice"), 2)

CASES = (
    Case("status 101", sends(head("101 Switching Protocols", "Upgrade: x", "Connection: upgrade")), _OUT),
    _refuses("201 Created"),
    _refuses("205 Reset Content"),
    _refuses("206 Partial Content", "Content-Range: bytes 0-1/100"),
    _refuses("300 Multiple Choices"),
    _refuses("400 Bad Request"),
    _refuses("404 Not Found"),
    _refuses("410 Gone"),
    _refuses("451 Unavailable"),
    Case("status 599", sends(ok(b"{}", status="599 Odd")), _answered("599")),
    Case("status 203", sends(ok(_BODY, status="203 Non-Authoritative")), ALL),
    Case("status 304 that nobody asked for", sends(head("304 Not Modified")), Fails("ResponseError", ("304",), 1)),
    Case("status 401", sends(ok(b"no", status="401 No")), Fails("AccessDeniedError", ("CHAOS_KEY",), 1)),
    Case("status 500", sends(ok(b"", status="500 Oh")), _OUT),
    Case("status 204 at the end", sends(ok(page(GOOD, next="x")), head("204 No Content")), ALL, stream=_TOKENS),
    Case(
        "login page",
        sends(ok(b"<html><h1>Sign in</h1></html>", kind="Content-Type: text/html")),
        Fails("ResponseError", ("text/html", "login"), 1),
    ),
    Case("login page that says it is JSON", sends(ok(b"<html><h1>Sign in</h1></html>")), _JSON_TWICE),
    Case("error with 200", sends(ok(b'{"error": "no such user"}')), Fails("ResponseError", ("'data' is absent",), 1)),
    Case(
        "terminal codes in an error",
        sends(ok(b"\x1b[2J\x1b]0;owned\x07 \xe2\x80\xae gnirts", status="400 No")),
        Fails("ResponseError", ("?[2J",), 1),
    ),
    Case(
        "content type in garbage",
        sends(ok(_BODY, kind="Content-Type: ;;;=\xff")),
        ALL,
    ),
    Case("no content type", sends(ok(_BODY, kind="X-Nothing: 1")), ALL),
    Case("a header of 300 KB", sends(ok(_BODY, "X-Long: " + "x" * 300_000)), _OUT),
    Case("ten thousand headers", sends(ok(_BODY, *(f"X-{number}: {number}" for number in range(10_000)))), _OUT),
    Case("thousand headers", sends(ok(_BODY, *(f"X-{number}: {number}" for number in range(1000)))), ALL),
    Case("header without a colon", sends(ok(_BODY, "no colon here")), _OUT),
    Case("header that is folded", sends(ok(_BODY, "X-Folded: a\r\n  b")), ALL),
    Case("header of no ascii", sends(ok(_BODY, "X-Odd: \xff\xfe\xe9", "Link: </\xe9>; rel=next")), ALL),
    Case("gzip", sends(ok(_GZIP, "Content-Encoding: gzip")), ALL),
    Case("gzip in two members", sends(ok(gzip.compress(_BODY[:50]) + gzip.compress(_BODY[50:]), "Content-Encoding: gzip")), ALL),
    Case("gzip cut off", sends(ok(_GZIP[:-20], "Content-Encoding: gzip")), _DAMAGED),
    Case("gzip with a wrong checksum", sends(ok(_GZIP[:-8] + b"\0" * 8, "Content-Encoding: gzip")), _DAMAGED),
    Case("gzip label on plain text", sends(ok(_BODY, "Content-Encoding: gzip")), _DAMAGED),
    Case("gzip without its label", sends(ok(_GZIP)), _JSON_TWICE),
    Case("gzip in gzip", sends(ok(gzipped(_GZIP), "Content-Encoding: gzip, gzip")), Fails("ResponseError", ("gzip, gzip",), 1)),
    Case("deflate", sends(ok(zlib.compress(_BODY), "Content-Encoding: deflate")), Fails("ResponseError", ("deflate",), 1)),
    Case("br", sends(ok(_BODY, "Content-Encoding: br")), Fails("ResponseError", ("'br'",), 1)),
    Case("zstd", sends(ok(_BODY, "Content-Encoding: zstd")), Fails("ResponseError", ("zstd",), 1)),
    Case(
        "made up encoding",
        sends(ok(_BODY, "Content-Encoding: \x7fq")),
        Fails("ResponseError", ("encoding",), 1),
    ),
    Case("asks to wait a year", sends(_later(str(_YEAR))), Fails("UpstreamUnavailableError", ("31,536,000 s",), 1)),
    Case("asks to wait for ever", sends(_later("9" * 400)), Fails("UpstreamUnavailableError", ("asks to come back",), 1)),
    Case("asks to wait a negative time", first(sends(_later("-5"))), ALL),
    Case("asks to wait until the past", first(sends(_later("Sun, 06 Nov 1994 08:49:37 GMT"))), ALL),
    Case("asks to wait in garbage", first(sends(_later("soon, please"))), ALL),
    Case("asks to wait in a zone beyond all", first(sends(_later("Tue, 19 Jan 2038 03:14:07 +99999999999999999999"))), ALL),
    Case(
        "date beyond all",
        sends(_later("Tue, 19 Jan 2038 03:14:07 GMT", "Date: Tue, 19 Jan 2038 03:14:07 +9999999999999999")),
        Fails("UpstreamUnavailableError", ("2038-01-19",), 1),
    ),
    Case("too many requests for ever", sends(_later("0")), Fails("UpstreamUnavailableError", ("429",), 2)),
    Case(
        "budget in garbage",
        sends(
            ok(
                _BODY,
                "X-RateLimit-Remaining: many",
                "X-RateLimit-Reset: -1",
                f"X-RateLimit-Limit: {'9' * 300}",
                "RateLimit: ;;;r=x",
            )
        ),
        ALL,
    ),
    Case("redirect that never ends", _redirects("/items?n={n}"), Fails("ResponseError", ("redirects more than 5",), 6)),
    Case("redirect to itself", _redirects("{here}/items"), Fails("ResponseError", ("redirects",), 6)),
    Case("redirect to nowhere", sends(head("302 Found", "Content-Length: 0")), Fails("ResponseError", ("302",), 1)),
    Case("redirect to no url", _redirects("http://[::1"), Fails("UpstreamUnavailableError", ("Invalid URL",), 2)),
    Case("redirect once", first(_redirects("/elsewhere?a=b")), ALL),
    _crosses("to another port", "{trap}/items", "127.0.0.1"),
    _crosses("to another host", "http://evil.example/items", "evil.example"),
    _crosses("without a scheme", "//evil.example/items", "evil.example"),
    _crosses("to the metadata server", "http://169.254.169.254/latest/meta-data", "169.254.169.254"),
    _crosses("to a file", "file:///etc/passwd", "file://"),
    _crosses("to gopher", "gopher://127.0.0.1:{port}/1", "gopher://"),
    _crosses("to https here", "https://127.0.0.1:{port}/items", "https://127.0.0.1"),
    _crosses("with the host as a user", "http://127.0.0.1:{port}@evil.example/", "evil.example"),
    _crosses("to the host in six groups", "http://[::1]:{port}/items", "::1"),
    _crosses("to another name of here", "http://localhost:{port}/items", "localhost"),
    Case("cookies", _cookies, ALL, stream=_TOKENS),
    Case("kept connections that are closed between pages", _closes_kept_connections, ALL, stream=_TOKENS),
    Case("connection close with each page", sends_and_closes(ok(_BODY, "Connection: close")), ALL),
)
