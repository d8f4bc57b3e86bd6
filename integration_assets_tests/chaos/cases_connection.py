"""Connections that do not come about, break off, or go on for ever."""

from __future__ import annotations

from integration_assets_tests.chaos.answers import JSON, WELL, chunked, does, first, head, ok, page, sends, sends_and_closes
from integration_assets_tests.chaos.case import ALL, QUICK, Case, Fails
from integration_assets_tests.chaos.upstream import Talk

_BODY = page()
_HALF = WELL[: len(WELL) // 2]
_OUT = Fails("UpstreamUnavailableError", ("2 times", "GET /items"), 2)
_LATE = Fails("UpstreamUnavailableError", ("too long",), 2)


def _flood(piece: bytes, before: bytes = b"") -> object:
    """Send the piece again and again until the reader hangs up."""

    def behave(talk: Talk) -> None:
        talk.send(before)
        while not talk.rest(0):
            talk.send(piece)

    return behave


def _dripping(talk: Talk) -> None:
    talk.send(head("200 OK", JSON, "Content-Length: 100000"))
    talk.drip(b" " * 100_000)


CASES = (
    Case("connection refused", None, Fails("UpstreamUnavailableError", ("connect",)), base_url="http://127.0.0.1:1"),
    Case(
        "no such host",
        None,
        Fails("UnknownHostError", ("no-such-host.invalid", "base_url")),
        base_url="https://no-such-host.invalid",
    ),
    Case("accepts and never answers", does(Talk.hold), _LATE, limits=QUICK),
    Case("closes without a word", does(), _OUT),
    Case("resets at once", does(Talk.reset), _OUT),
    Case("half closed without a word", does(Talk.shut, Talk.hold), _OUT),
    Case("reset in the headers", does(lambda talk: talk.send(WELL[:30]), Talk.reset), _OUT),
    Case("reset in the body", does(lambda talk: talk.send(_HALF), Talk.reset), _OUT),
    Case("reset once in the body", first(does(lambda talk: talk.send(_HALF), Talk.reset)), ALL),
    Case("half closed in the body", does(lambda talk: talk.send(_HALF), Talk.shut, Talk.hold), _OUT),
    Case("stalls in the body", does(lambda talk: talk.send(_HALF), Talk.hold), _LATE, limits=QUICK),
    Case("stalls once in the body", first(does(lambda talk: talk.send(_HALF), Talk.hold)), ALL, limits={"read_timeout": 1}),
    Case("body byte by byte", _dripping, _LATE, limits=QUICK),
    Case("headers byte by byte", does(lambda talk: talk.drip(WELL)), _LATE, limits=QUICK),
    Case("status line byte by byte", does(lambda talk: talk.drip(b"HTTP/1.1 200 " + b"O" * 90_000)), _LATE, limits=QUICK),
    Case("one informational answer", sends(head("103 Early Hints", "Link: </x>; rel=preload") + WELL), ALL),
    Case("informational answers for ever", _flood(head("100 Continue")), _LATE, limits=QUICK),
    Case(
        "endless chunk size",
        does(
            lambda talk: talk.send(head("200 OK", JSON, "Transfer-Encoding: chunked")),
            lambda talk: talk.drip(b"1;" + b"x" * 9999),
        ),
        _LATE,
        limits=QUICK,
    ),
    Case("endless trailers", _flood(b"X-More: 1\r\n", head("200 OK", JSON, "Transfer-Encoding: chunked") + b"0\r\n"), _OUT),
    Case("claims a gigabyte and sends a page", sends_and_closes(ok(b"", "X: 1").replace(b": 0", b": 1000000000") + _BODY), _OUT),
    Case(
        "length too short",
        sends(ok(_BODY).replace(str(len(_BODY)).encode(), b"%d" % (len(_BODY) - 5))),
        Fails("ResponseError", ("JSON", "twice"), 4),
    ),
    Case("length of nothing", sends(head("200 OK", JSON, "Content-Length: 0")), Fails("ResponseError", ("empty",), 4)),
    Case("two lengths", sends(head("200 OK", JSON, "Content-Length: 5", f"Content-Length: {len(_BODY)}") + _BODY), _OUT),
    Case("negative length", sends(head("200 OK", JSON, "Content-Length: -1") + _BODY), _OUT),
    Case(
        "length and chunks",
        sends(head("200 OK", JSON, "Content-Length: 7", "Transfer-Encoding: chunked") + chunked(_BODY)),
        ALL,
    ),
    Case("chunks", sends(head("200 OK", JSON, "Transfer-Encoding: chunked") + chunked(_BODY[:9], _BODY[9:])), ALL),
    Case(
        "chunk size is no number", sends_and_closes(head("200 OK", JSON, "Transfer-Encoding: chunked") + b"zz\r\n" + _BODY), _OUT
    ),
    Case(
        "chunk longer than it says",
        sends_and_closes(head("200 OK", JSON, "Transfer-Encoding: chunked") + b"5\r\n" + _BODY + b"\r\n0\r\n\r\n"),
        _OUT,
    ),
    Case(
        "chunk of sixteen exabytes",
        sends_and_closes(head("200 OK", JSON, "Transfer-Encoding: chunked") + b"ffffffffffffffff\r\n" + _BODY),
        _OUT,
    ),
    Case(
        "last chunk never comes",
        sends_and_closes(head("200 OK", JSON, "Transfer-Encoding: chunked") + chunked(_BODY, end=b"")),
        _OUT,
    ),
    Case("http 1.0 until the end", sends_and_closes(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + _BODY), ALL),
    Case(
        "http 1.0 cut off",
        sends_and_closes(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + _BODY[:-40]),
        Fails("ResponseError", ("JSON", "twice"), 4),
    ),
    Case("http 0.9", sends_and_closes(_BODY), _OUT),
    Case("http 3 in words", sends_and_closes(WELL.replace(b"HTTP/1.1", b"HTTP/3.0", 1)), ALL),
    Case("another protocol", sends_and_closes(b"220 mail.example ESMTP ready\r\n"), _OUT),
    Case("binary noise", sends_and_closes(bytes(range(256)) * 40), _OUT),
    Case("answer before the question's end", sends(WELL + WELL), ALL),
    Case("bytes after the answer", sends_and_closes(WELL + b"garbage"), ALL),
)
