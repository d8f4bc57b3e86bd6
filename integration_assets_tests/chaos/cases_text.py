"""CSV and XML."""

from __future__ import annotations

from integration_assets.spec import Csv, Xml
from integration_assets_tests.chaos.answers import GOOD, ok, sends
from integration_assets_tests.chaos.case import ALL, Case, Fails, Lands

_NAMES = ("id", "seq", "price", "ok", "at", "ticked", "note")
_HEADER = ",".join(_NAMES).encode() + b"\n"
_ROWS = b"".join(",".join(str(one[name]) for name in _NAMES).encode() + b"\n" for one in GOOD)
_XML = b"".join(b"<item>" + b"".join(f"<{name}>{one[name]}</{name}>".encode() for name in _NAMES) + b"</item>" for one in GOOD)


def _csv(name: str, body: bytes, becomes: Fails | Lands, charset: str = "", **form: str) -> Case:
    kind = "Content-Type: text/csv" + (f"; charset={charset}" if charset else "")
    return Case(f"CSV {name}", sends(ok(body, kind=kind)), becomes, stream={"format": Csv(**form)})


def _xml(name: str, body: bytes, becomes: Fails | Lands) -> Case:
    return Case(
        f"XML {name}", sends(ok(body, kind="Content-Type: application/xml")), becomes, stream={"format": Xml(record="item")}
    )


def _row(number: int, note: str) -> bytes:
    return f"{number},{number},,,,,{note}\n".encode()


_ENTITY = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r><item><id>&x;</id></item>'

CASES = (
    _csv("plain", _HEADER + _ROWS, ALL),
    _csv("with ragged rows", _HEADER + b"1\n2,2\n" + _ROWS + b"3,3,,,,,x,too,many\n", Lands(rejects=("7 cells",) * 3)),
    _csv("with NUL", _HEADER + _ROWS + b"21,2\x001,,,,,x\n", Lands(rejects=("seq",))),
    _csv("with a huge cell", _HEADER + _row(21, "x" * 200_000) + _ROWS, Lands(rejects=("endless cell",))),
    _csv("with a quote that never closes", _HEADER + _ROWS + b'21,21,,,,,"open\n', Lands(rejects=("open quote",))),
    _csv("with a stray quote before good rows", _HEADER + b'21,21,,,,,"open\n' + _ROWS, Lands(rejects=("open quote",))),
    _csv("with line breaks in a cell", _HEADER + _row(21, '"a\r\nb, ""c"""') + _ROWS, Lands(more={21: {"note": 'a\r\nb, "c"'}})),
    _csv(
        "with formulas",
        _HEADER
        + _row(21, "=cmd|' /C calc'!A0")
        + _row(22, "@SUM(1)")
        + _row(23, "-2+3")
        + _row(24, '"=HYPERLINK(""http://x"")"')
        + _ROWS,
        Lands(
            more={
                21: {"note": "=cmd|' /C calc'!A0"},
                22: {"note": "@SUM(1)"},
                23: {"note": "-2+3"},
                24: {"note": '=HYPERLINK("http://x")'},
            }
        ),
    ),
    _csv("with old line ends", (_HEADER + _ROWS).replace(b"\n", b"\r"), ALL),
    _csv("with a byte order mark", b"\xef\xbb\xbf" + _HEADER + _ROWS, ALL),
    _csv("in UTF-16", (_HEADER + _ROWS).decode().encode("utf-16"), ALL, charset="utf-16"),
    _csv(
        "in UTF-16 that nobody tells of",
        (_HEADER + _ROWS).decode().encode("utf-16"),
        Fails("ResponseError", ("not text in utf-8",), 1),
    ),
    _csv("in bytes that are no UTF-8", _HEADER + _ROWS + b"21,21,,,,,\xff\n", Lands(rejects=("no UTF-8",))),
    _csv("in an unknown charset", _HEADER + _ROWS, Fails("ResponseError", ("klingon",), 1), charset="klingon"),
    _csv("in the charset undefined", _HEADER + _ROWS, Fails("ResponseError", ("undefined",), 1), charset="undefined"),
    _csv("in a charset that is no text", _HEADER + _ROWS, Fails("ResponseError", ("base64",), 1), charset="base64"),
    _csv("with another delimiter", (_HEADER + _ROWS).replace(b",", b";"), Fails("ResponseError", ("delimiter",), 1)),
    _csv("without its header", _ROWS, Fails("ResponseError", ("none of the columns",), 1)),
    _csv("with a column twice", b"id,id,seq\n1,2,3\n", Fails("ResponseError", ("twice",), 1)),
    _csv("with terminal codes in the header", b"\x1b[2J,\x07b\n1,2\n", Fails("ResponseError", ("?[2J",), 1)),
    _csv("of a header only", _HEADER, Lands(without=tuple(one["id"] for one in GOOD))),
    _csv("of blank lines", b"\n\n\n", Fails("ResponseError", ("empty",), 2)),
    _csv("that is a page for people", b"<html>no</html>", Fails("ResponseError", ("none of the columns",), 1)),
    _xml("plain", b"<r>" + _XML + b"</r>", ALL),
    _xml("with namespaces", b'<x:r xmlns:x="urn:x" xmlns="urn:y">' + _XML + b"</x:r>", ALL),
    _xml("with an external entity", _ENTITY + _XML + b"</r>", Fails("ResponseError", ("entities",), 1)),
    _xml(
        "with a parameter entity",
        b'<!DOCTYPE r [<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;]><r/>',
        Fails("ResponseError", ("entities",), 1),
    ),
    _xml("with a document type elsewhere", b'<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd"><r>' + _XML + b"</r>", ALL),
    _xml("with default attributes", b'<!DOCTYPE r [<!ATTLIST item id CDATA "x">]><r>' + _XML + b"</r>", ALL),
    _xml("cut off", b"<r>" + _XML, Fails("ResponseError", ("not valid XML", "twice"), 2)),
    _xml("nested too deep", b"<r>" * 100_000, Fails("ResponseError", ("deep",), 1)),
    _xml(
        "in another encoding than it says",
        b"<?xml version='1.0' encoding='utf-8'?><r>" + _XML + b"<item>\xff</item></r>",
        Fails("ResponseError", ("not valid XML",), 2),
    ),
    _xml(
        "in an encoding that is unknown", b"<?xml version='1.0' encoding='klingon'?><r/>", Fails("ResponseError", ("klingon",), 1)
    ),
    _xml(
        "in an encoding of several bytes",
        b"<?xml version='1.0' encoding='shift_jis'?><r/>",
        Fails("ResponseError", ("encoding",), 1),
    ),
    _xml(
        "in latin-1",
        b"<?xml version='1.0' encoding='iso-8859-1'?><r>" + _XML + b"<item><id>21</id><seq>21</seq><note>\xe9</note></item></r>",
        Lands(more={21: {"note": "\xe9"}}),
    ),
    _xml(
        "with an include",
        b'<r xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/>' + _XML + b"</r>",
        ALL,
    ),
    _xml("that is a page for people", b"<html><body>no<br></body></html>", Fails("ResponseError", ("not valid XML",), 2)),
    _xml("with an item that is text", b"<r><item>no</item>" + _XML + b"</r>", Lands(rejects=("id: is null",))),
)
