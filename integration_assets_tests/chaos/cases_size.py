"""Answers that are small on the wire or in number, and vast in memory. Each runs in a process of its own, and is measured."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

from integration_assets.spec import Csv, Ndjson, Xml
from integration_assets_tests.chaos.answers import GOOD, JSON, head, ok, page, record, sends
from integration_assets_tests.chaos.case import Case, Fails, Lands
from integration_assets_tests.chaos.upstream import Behaviour, Talk

_MB = 2**20
_HUGE = 100 * _MB
_TOO_LARGE = Fails("LimitExceededError", ("larger than", "limits.max_page_bytes"), 1)
_START, _END = page()[:-2] + b', {"id": 21, "seq": 21, "note": "', b'"}]}'


def _bomb(start: bytes, piece: bytes, times: int, end: bytes = b"") -> bytes:
    """A body that is compressed while it is made, so that it is nowhere whole."""

    def pieces() -> Iterator[bytes]:
        press = zlib.compressobj(1, zlib.DEFLATED, 31)
        yield press.compress(start)
        for _ in range(times):
            yield press.compress(piece)
        yield press.compress(end) + press.flush()

    return ok(b"".join(pieces()), "Content-Encoding: gzip")


def _presses(start: bytes, piece: bytes, times: int, end: bytes = b"") -> Behaviour:
    """Send a bomb that is made when it is asked for."""

    def behave(talk: Talk) -> bool:
        talk.send(_bomb(start, piece, times, end))
        return True

    return behave


def _huge_record(talk: Talk) -> None:
    """A record of 100 MB, made while it is sent."""
    talk.send(head("200 OK", JSON, f"Content-Length: {len(_START) + _HUGE + len(_END)}") + _START)
    for _ in range(_HUGE // _MB):
        talk.send(b"x" * _MB)
    talk.send(_END)


def _without_end(talk: Talk) -> None:
    """A body in chunks that never ends."""
    talk.send(head("200 OK", JSON, "Transfer-Encoding: chunked"))
    while True:
        talk.send(b"100000\r\n" + b" " * _MB + b"\r\n")


def _empty_members(talk: Talk) -> None:
    """A gzip body of members without content that never ends: nothing comes out of it, so nothing grows."""
    talk.send(head("200 OK", JSON, "Content-Encoding: gzip"))
    member = gzip.compress(b"") * 1000
    while True:
        talk.send(member)


def _keyed_by_data(talk: Talk) -> None:
    """Records each of which has a name of its own."""
    talk.send(ok(page([*GOOD, *({"id": 21, "seq": 21, f"user-{number:06}": 1} for number in range(20_000))])))


_WIDE = {f"column_{number}": number for number in range(10_000)}

CASES = (
    Case("record of 100 MB", _huge_record, _TOO_LARGE, grows=320),
    Case(
        "record of 100 MB that is allowed",
        _huge_record,
        Lands(more={21: {"price": None}}),
        limits={"max_page_bytes": 128 * _MB, "read_timeout": 60, "page_timeout": 120},
        soak=True,
        grows=2000,
    ),
    Case("gzip bomb", _presses(b"", b" " * _MB, 150), _TOO_LARGE, grows=320),
    Case(
        "gzip of nothing without end",
        _empty_members,
        Fails("UpstreamUnavailableError", ("too long",), 2),
        limits={"read_timeout": 1, "page_timeout": 1},
        grows=150,
    ),
    Case("body without end", _without_end, _TOO_LARGE, grows=320),
    Case(
        "page of numbers",
        _presses(b'{"data": [1', b",1" * 1000, 1500, b"]}"),
        Fails("LimitExceededError", ("200,000 records", "expected object"), 1),
        grows=700,
    ),
    Case(
        "page of half records",
        _presses(b'{"data": [{}', b",{}" * 1000, 400, b"]}"),
        Fails("LimitExceededError", ("200,000 records", "id: is null"), 1),
        grows=1500,
    ),
    Case("names that are data", _keyed_by_data, Lands(more={21: {"price": None}}), grows=400),
    Case(
        "ten thousand columns",
        sends(ok(page([{**one, **_WIDE} for one in GOOD]))),
        Lands(says=("column_9", "other fields")),
        grows=400,
    ),
    Case(
        "array of a million",
        sends(ok(page([{**one, "list": list(range(1_000_000))} if one["id"] == 3 else one for one in GOOD]))),
        Lands(says=("list",)),
        grows=400,
    ),
    Case(
        "number with an exponent of six digits",
        sends(ok(page()[:-2] + b", " + b", ".join(record(30 + n, ticked="1E+900000").encode() for n in range(20)) + b"]}")),
        Lands(rejects=("ticked",) * 20),
        grows=150,
    ),
    Case(
        "a million digits",
        sends(ok(page()[:-2] + b", " + record(21, price="9" * 1_000_000).encode() + b"]}")),
        Lands(rejects=("not valid JSON",)),
        grows=150,
    ),
    Case(
        "a name of a megabyte",
        sends(ok(page([{**one, "n" * _MB: 1} for one in GOOD[:1]] + list(GOOD[1:])))),
        Lands(says=("nnn…",)),
        grows=200,
    ),
    Case(
        "nested a million deep",
        sends(ok(b'{"data": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}")),
        Fails("ResponseError", ("nested too deep",), 1),
        grows=150,
    ),
    Case(
        "objects nested a million deep",
        sends(ok(b'{"data": [' + b'{"a":' * 1_000_000)),
        Fails("ResponseError", ("nested too deep",), 1),
        grows=150,
    ),
    Case(
        "record nested a hundred deep",
        sends(ok(page([{**one, "deep": json.loads("[" * 100 + "]" * 100)} for one in GOOD]))),
        Lands(says=("deep",)),
        grows=150,
    ),
    Case(
        "lines without end",
        _presses(b"", b'{"id": 1}' * 1000, 9000),
        Fails("LimitExceededError", ("max_page_bytes",), 1),
        stream={"format": Ndjson()},
        grows=320,
    ),
    Case(
        "cells that never end",
        sends(ok(b"id,seq,note\n1,1," + b"x" * 30 * _MB, kind="Content-Type: text/csv")),
        Fails("RejectThresholdError", (), 1),
        stream={"format": Csv()},
        grows=500,
    ),
    Case(
        "quotes that never close",
        sends(ok(b"id,seq,note\n" + b'1,1,"x\n' * 100_000, kind="Content-Type: text/csv")),
        Fails("RejectThresholdError", (), 1),
        stream={"format": Csv()},
        grows=500,
    ),
    Case(
        "billion laughs",
        sends(
            ok(
                b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a 'ha'>"
                + b"".join(b"<!ENTITY %c '&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;'>" % ((98 + n,) + (97 + n,) * 8) for n in range(12))
                + b"]><r><item>&m;</item></r>",
                kind="Content-Type: text/xml",
            )
        ),
        Fails("ResponseError", ("entities",), 1),
        stream={"format": Xml(record="item")},
        grows=150,
    ),
)
