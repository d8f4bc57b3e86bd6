"""Values that do not fit their column, all in one page: each is turned away alone; and values that look odd and fit."""

from __future__ import annotations

from integration_assets_tests.chaos.answers import among, ok, record, sends
from integration_assets_tests.chaos.case import Case, Lands

_WRONG: dict[str, tuple[str, ...]] = {
    "price": ("1e400", "-1e400", "1e99999999999999999999", '"1.5"', "true", "[]", "{}", '"NaN"', '"1,5"', '"=1+1"'),
    "ok": ('"true"', '"yes"', "1", "0", '""', "[true]"),
    "ticked": ('"1700000000000"', "1e30", "-1e30", "1E+400000", "true", "[]", "9223372036854775807", '""'),
    "note": ("7", "1.0", "false", "{}", '["x"]', "1e999"),
    "at": (
        "1700000000",
        "1.5",
        '"0000-01-01T00:00:00Z"',
        '"10000-01-01T00:00:00Z"',
        '"2016-12-31T23:59:60Z"',
        '"2024-01-01T00:00:00+25:00"',
        '"2024-01-01T24:00:00Z"',
        '"2024-02-30"',
        '"01/02/2024"',
        '"2024-1-5"',
        '"Mon, 01 Jan 2024 00:00:00 GMT"',
        '"20240101"',
        '"2024-W01-1"',
        '"yesterday"',
        '""',
        '"\\u0662\\u0660\\u0662\\u0664-01-01"',
        '"2024-01-01T00:00:00Z\\u0000"',
        "[2024, 1, 1]",
        '"9999-12-31T23:59:59-23:00"',
    ),
    "seq": ("null", "9223372036854775808", "1e3", "1.0", "-0.0", '"7"', "18446744073709551616", "true", "9" * 400),
}
_ODD = [
    record(number, **{name: text})
    for number, (name, text) in enumerate(((name, text) for name, texts in _WRONG.items() for text in texts), start=100)
]
_REASONS = tuple(
    "not valid JSON" if text.startswith(("1e9999999999", "9" * 99)) else f"{name}: "
    for name, texts in _WRONG.items()
    for text in texts
)

_FIT = {
    21: (record(21, price="1e3"), {"price": 1000.0}),
    22: (record(22, price="-0.0"), {"price": 0.0}),
    23: (record(23, price="1e-400"), {"price": 0.0}),
    24: (record(24, price="9007199254740993"), {"price": 9007199254740992.0}),
    25: (record(25, note=r'"a\u0000b"'), {"note": "a\0b"}),
    26: (record(26, note="\"=cmd|' /C calc'!A0\""), {"note": "=cmd|' /C calc'!A0"}),
    27: (record(27, note=r'"line\r\nbreak\u2028\ud83d\ude00"'), {"note": "line\r\nbreak\u2028\U0001f600"}),
    28: (record(28, at='"2024-01-01"'), {"at": "2024-01-01 00:00:00+00:00"}),
    29: (record(29, at='"2024-01-01T05:30:00+05:30"'), {"at": "2024-01-01 00:00:00+00:00"}),
    30: (record(30, at='"2024-01-01 00:00:00.123456789"'), {"at": "2024-01-01 00:00:00.123456+00:00"}),
    31: (record(31, at='"0001-01-01T00:00:00Z"'), {"at": "0001-01-01 00:00:00+00:00"}),
    32: (record(32, at='"9999-12-31T23:59:59Z"'), {"at": "9999-12-31 23:59:59+00:00"}),
    33: (record(33, ticked="0"), {"ticked": "1970-01-01 00:00:00+00:00"}),
    34: (record(34, ticked="-1"), {"ticked": "1969-12-31 23:59:59.999000+00:00"}),
    35: (record(35, note='"' + "long " * 50_000 + '"'), {"price": None}),
    36: (record(36, note="null", price="null"), {"note": None, "price": None}),
    37: ('{"id": 37, "seq": 37, "\\u0000": 1, "": 2, "a.b": 3}', {"note": None}),
    38: ('{"\\u0069d": 38, "seq": 38}', {"note": None}),
    -9223372036854775808: ('{"id": -9223372036854775808, "seq": 9223372036854775807}', {"note": None}),
}

CASES = (
    Case("values that do not fit", sends(ok(among(*_ODD))), Lands(rejects=_REASONS)),
    Case(
        "values that look odd and fit",
        sends(ok(among(*(text for text, _ in _FIT.values())))),
        Lands(more={number: values for number, (_, values) in _FIT.items()}),
    ),
)
