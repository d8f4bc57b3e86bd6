"""Bodies that are no JSON, or are JSON of another kind."""

from __future__ import annotations

import json

from integration_assets.spec import Json, Ndjson
from integration_assets_tests.chaos.answers import GOOD, among, first, ok, page, record, sends
from integration_assets_tests.chaos.case import ALL, Case, Fails, Lands

_TWICE = Fails("ResponseError", ("not valid JSON", "twice", "it begins"), 2)
_BODY = page()
_LIST = {"format": Json(records="")}
_LINES = {"format": Ndjson()}
_NDJSON = b"\n".join(json.dumps(one).encode() for one in GOOD)


def _no_list(name: str, body: bytes, there: str) -> Case:
    return Case(f"the list is {name}", sends(ok(body)), Fails("ResponseError", ("'data'", there, "format.records"), 1))


def _broken(name: str, body: bytes) -> Case:
    return Case(f"body {name}", sends(ok(body)), _TWICE)


CASES = (
    _no_list("absent", b"{}", "is absent"),
    _no_list("a text", b'{"data": "x"}', "is string"),
    _no_list("a number", b'{"data": 7}', "is integer"),
    _no_list("an object", b'{"data": {"0": {}}}', "is object"),
    _no_list("true", b'{"data": true}', "is boolean"),
    _no_list("not there, for the body is a list", b"[]", "is absent"),
    _no_list("not there, for the body is a text", b'"data"', "is absent"),
    _no_list("not there, for the body is a number", b"12", "is absent"),
    _no_list("not there, for the body is null", b"null", "is absent"),
    Case(
        "an object where a list should be",
        sends(ok(b'{"data": []}')),
        Fails("ResponseError", ("the body", "is object"), 1),
        stream=_LIST,
    ),
    _broken("cut off", _BODY[:-1]),
    _broken("cut off in a text", _BODY[:-20]),
    _broken("with garbage behind", _BODY + b"garbage"),
    _broken("of two documents", _BODY + _BODY),
    _broken("of two lines", _BODY + b"\n" + _BODY),
    _broken("with a comment", b"/* ours */" + _BODY),
    _broken("with a comma too many", _BODY.replace(b"]", b",]")),
    _broken("in single quotes", b"{'data': []}"),
    _broken("guarded against scripts", b")]}',\n" + _BODY),
    _broken("in UTF-16", _BODY.decode().encode("utf-16")),
    _broken("in UTF-32", _BODY.decode().encode("utf-32")),
    _broken("with a bare control character", _BODY.replace(b"note 1", b"note\x01")),
    _broken("of zeros", b"\0" * 5000),
    Case("body broken once", first(sends(ok(_BODY[:-9]))), ALL),
    Case("body with a byte order mark", sends(ok(b"\xef\xbb\xbf" + _BODY)), ALL),
    Case("body in blanks", sends(ok(b" \r\n\t" + _BODY + b"\r\n ")), ALL),
    Case("list given twice", sends(ok(b'{"data": [], "data": ' + json.dumps(GOOD).encode() + b"}")), ALL),
    Case(
        "invalid UTF-8 in one record",
        sends(ok(among(b'{"id": 21, "seq": 21, "note": "\xff\xfe"}'))),
        Lands(rejects=("not valid JSON",)),
    ),
    Case("half a character in one record", sends(ok(among(record(21, note=r'"\ud800"')))), Lands(rejects=("half a character",))),
    Case(
        "half a character in a name",
        sends(ok(among(r'{"id": 21, "seq": 21, "\udfff": 1}'))),
        Lands(rejects=("half a character",)),
    ),
    Case(
        "NaN and Infinity",
        sends(
            ok(
                among(
                    record(21, price="NaN"),
                    record(22, price="-Infinity"),
                    record(23, price="Infinity", note='"NaN, \\" Infinity"'),
                )
            )
        ),
        Lands(rejects=("no numbers",) * 3),
    ),
    Case("NaN beside the list", sends(ok(page(took=float("nan")))), ALL),
    Case("NaN in a text", sends(ok(page([{**GOOD[0], "note": "NaN"}, *GOOD[1:]]))), Lands(more={1: {"note": "NaN"}})),
    Case(
        "records that are none",
        sends(ok(among("null", "7", '"x"', "[]", "true", "{}"))),
        Lands(rejects=("got null", "got integer", "got string", "got array", "got boolean", "id: is null")),
    ),
    Case(
        "a name given twice",
        sends(ok(among('{"id": 5, "id": 21, "seq": 21, "note": "a", "note": "b"}'))),
        Lands(more={21: {"note": "b"}}),
    ),
    Case("lines", sends(ok(_NDJSON)), ALL, stream=_LINES),
    Case("lines that are cut off", sends(ok(_NDJSON + b'\n{"id": 21, "se')), Lands(rejects=("not valid JSON",)), stream=_LINES),
    Case(
        "lines with NaN, BOM and blanks",
        sends(ok(b"\xef\xbb\xbf" + _NDJSON + b"\r\n\r\n" + record(21, price="NaN").encode() + b"\r\n")),
        Lands(rejects=("no numbers",)),
        stream=_LINES,
    ),
    Case(
        "lines with two records in one",
        sends(ok(_NDJSON + b"\n" + record(21).encode() * 2)),
        Lands(rejects=("not valid JSON",)),
        stream=_LINES,
    ),
)
