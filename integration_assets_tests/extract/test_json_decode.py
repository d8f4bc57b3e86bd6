"""JSON to rows: strict, record by record where need be, and the same by the quick way and the strict one."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from integration_assets.errors import ResponseError, SpecError
from integration_assets.extract.arrow_json import arrow_shape
from integration_assets.extract.decode import BrokenBodyError, DecodedPage, decoder_for
from integration_assets.extract.json_decode import JsonReader, strict_page
from integration_assets.extract.plan import plan_for
from integration_assets.spec import Csv, Json, Ndjson, Stream, Tombstone, Xml
from integration_assets.spec.records import DELETED
from integration_assets_tests.extract.models import Exact, Item, Row, Thing, contract, source, stream

GOOD = {
    "id": 1,
    "name": "näme",
    "amount": 2,
    "ok": True,
    "at": "2024-01-01T01:00:00.5+01:00",
    "day": "2024-02-29",
    "made": 1700000000,
    "ticked": 1700000000123,
    "written": "31/12/2023 23:59",
    "address": {"city": "Bern", "where": [46.9, 7.4]},
    "maker": {"name": "M", "seats": 4, "since": "1999-01-01"},
    "tags": ["a", None],
    "small": -7,
}


def decode(body: bytes | object, model: type = Thing, **settings_: Any) -> DecodedPage:  # noqa: ANN401
    """One page of a stream of `model`."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    chosen = stream(model, **settings_)
    return decoder_for(source("http://127.0.0.1", chosen), chosen, contract(model)).page(text)


def quick(records: list[Any], stream_: Stream, model: type) -> bool:
    """Whether the quick way takes such a page."""
    reader = JsonReader(plan_for(stream_, contract(model)), "data")
    return reader._quickly([json.dumps(records).encode()]) is not None


def test_every_type_is_read_from_its_path() -> None:
    """Nested fields, list elements, lists, structs and each way to write a time become their columns."""
    page = decode({"data": [GOOD]}, Item)
    assert quick([GOOD], stream(Item), Item)
    assert page.batch.table.schema.names == [*contract(Item).arrow_schema.names, DELETED]
    assert page.batch.table.to_pylist() == [
        {
            "id": 1,
            "name": "näme",
            "amount": 2.0,
            "ok": True,
            "at": datetime(2024, 1, 1, 0, 0, 0, 500000, UTC),
            "day": date(2024, 2, 29),
            "made": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
            "ticked": datetime(2023, 11, 14, 22, 13, 20, 123000, UTC),
            "written": datetime(2023, 12, 31, 23, 59, tzinfo=UTC),
            "city": "Bern",
            "lat": 7.4,
            "maker": {"name": "M", "seats": 4, "since": datetime(1999, 1, 1, tzinfo=UTC)},
            "tags": ["a", None],
            "small": -7,
            DELETED: False,
        }
    ]
    assert not page.drift
    assert json.loads(page.batch.raw[0]) == GOOD


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("id", "n/a", 'id: expected int64, got "n/a"'),
        ("id", 2.0, "id: expected int64, got 2.0"),
        ("id", True, "id: expected int64, got true"),
        ("id", 2**63, "id: expected int64, got 9223372036854775808"),
        ("small", 40000, "small: expected int16, got 40000"),
        ("name", 5, "name: expected string, got 5"),
        ("amount", "1", 'amount: expected double, got "1"'),
        ("ok", 1, "ok: expected bool, got 1"),
        ("at", "yesterday", 'at: expected timestamp[us, tz=UTC], got "yesterday"'),
        ("at", "2024-02-30T00:00:00Z", 'at: expected timestamp[us, tz=UTC], got "2024-02-30T00:00:00Z"'),
        ("at", 1700000000, "at: expected timestamp[us, tz=UTC], got 1700000000"),
        ("made", "1700000000", 'made: expected timestamp[us, tz=UTC] as epoch_s, got "1700000000"'),
        ("made", 10**15, "made: expected timestamp[us, tz=UTC] as epoch_s, got 1000000000000000"),
        ("day", "2024-1-1", 'day: expected date, got "2024-1-1"'),
        ("written", "2024", 'written: expected timestamp[us, tz=UTC] as %d/%m/%Y %H:%M, got "2024"'),
        ("maker", {"seats": "two"}, 'maker.seats: expected int64, got "two"'),
        ("maker", [1], "maker: expected object, got [1]"),
        ("tags", ["a", 1], "tags[1]: expected string, got 1"),
    ],
)
def test_bad_value_rejects_its_record_alone(field: str, value: object, reason: str) -> None:
    """A value that does not fit costs its own record, kept whole with reason and key; neighbours and order stay."""
    bad = {**GOOD, "id": 2, field: value}
    page = decode({"data": [GOOD, bad, {**GOOD, "id": 3}]}, Item)
    assert page.batch.table["id"].to_pylist() == [1, 3]
    assert [json.loads(raw)["id"] for raw in page.batch.raw] == [1, 3]
    (reject,) = page.batch.rejects
    assert reject.reasons == (reason,)
    assert json.loads(reject.payload) == bad
    assert reject.key == (None if field == "id" else "2")
    assert page.batch.fetched == 3
    assert len(page.drift.retyped) == 1
    assert not any(character in what.partition(":")[0] for what in page.drift.retyped for character in "0123456789")


def test_every_reason_is_given() -> None:
    """A record that is wrong in two places says both, and drift counts kinds and not values."""
    page = decode({"data": [{"id": 1, "name": 1, "at": "x"}, {"id": 2, "name": 2}]})
    assert page.batch.rejects[0].reasons == ("name: expected string, got 1", 'at: expected timestamp[us, tz=UTC], got "x"')
    assert page.drift.retyped["name: expected string, got integer"] == 2


def test_exact_types_keep_every_digit() -> None:
    """Decimals come from numbers and texts without loss, any value is kept as JSON text; what would lose is refused."""
    page = decode({"data": [{"id": 1, "price": "12.50", "extra": {"b": [1.10, None]}}, {"id": 2, "price": "1.234"}]}, Exact)
    page_numbers = decode(b'{"data":[{"id":1,"price":12345678.90,"extra":1.10}]}', Exact)
    assert page.batch.table.to_pylist() == [{"id": 1, "price": Decimal("12.50"), "extra": '{"b":[1.1,null]}', DELETED: False}]
    assert page.batch.rejects[0].reasons == ('price: expected decimal128(10, 2), got "1.234"',)
    assert page_numbers.batch.table.to_pylist()[0]["price"] == Decimal("12345678.90")
    assert page_numbers.batch.table.to_pylist()[0]["extra"] == "1.10"


def test_fields_nobody_described_are_drift() -> None:
    """New fields are counted at their topmost unknown path; ignored ones and nulls are not."""
    records = [
        {**GOOD, "new": 1, "address": {"zip": 3000, **GOOD["address"]}, "noise": {"a": 1}, "void": None},  # type: ignore[dict-item]
        {**GOOD, "new": {"deep": 1}, "maker": {"name": "M", "colour": "red"}, "noise": 2},
    ]
    for page in (decode({"data": records}, Item, ignore=("noise",)), decode({"data": records[:1]}, Item, ignore=("noise",))):
        assert page.drift.new["address.zip"] == 1
        assert "noise" not in page.drift.new
        assert "void" not in page.drift.new
    assert decode({"data": records}, Item).drift.new == {"new": 2, "address.zip": 1, "noise": 2, "maker.colour": 1}


def test_columns_that_no_record_has_are_drift() -> None:
    """A column that is gone from a page is counted; one that is there as null is not."""
    page = decode({"data": [{"id": 1, "name": None}, {"id": 2, "name": None}]})
    assert page.drift.missing == {"at": 2}
    assert not decode({"data": []}).drift


def test_tombstones_need_only_what_names_them() -> None:
    """A tombstone is flagged, kept whatever its other fields hold, and a page of nothing else misses nothing."""
    gone = Tombstone(path="meta.gone")
    page = decode({"data": [{"id": 1, "name": 5, "meta": {"gone": True}}]}, tombstone=gone)
    assert page.batch.table.to_pylist() == [{"id": 1, "name": None, "at": None, DELETED: True}]
    assert not page.drift.missing
    assert not page.drift.new
    mixed = decode({"data": [{"id": 1, "meta": {"gone": True}}, {"id": 2, "meta": {}}, {"id": 3}]}, tombstone=gone)
    assert mixed.batch.table[DELETED].to_pylist() == [True, False, False]
    odd = decode({"data": [{"id": 1, "meta": {"gone": "yes"}}]}, tombstone=gone)
    assert odd.drift.retyped == {"meta.gone: expected bool, got string": 1}


@pytest.mark.parametrize(
    "body",
    [b'{"data": [{"id": 1}', b'{"data": [{"id": 1}]} x', b"<html>", b'[{"id": 1}', b'{"data": [1,]}'],
)
def test_body_that_is_no_json_never_becomes_rows(body: bytes) -> None:
    """A cut-off or malformed document is broken as a whole."""
    with pytest.raises(BrokenBodyError, match="not valid JSON"):
        decode(body)


@pytest.mark.parametrize(
    ("body", "there"),
    [(b'{"error": "x"}', "is absent"), (b"null", "is absent"), (b"[]", "is absent"), (b'{"data": {"id": 1}}', "is object")],
)
def test_missing_envelope_is_an_error(body: bytes, there: str) -> None:
    """An answer without the list of records is not an empty page, and `null`, which crashes Arrow's reader, crashes nothing."""
    with pytest.raises(ResponseError, match=there):
        decode(body)


def test_deep_nesting_is_refused() -> None:
    """JSON nested beyond reason, which crashes Arrow's reader, is an error and not the end of the process."""
    for deep in (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000):
        with pytest.raises(ResponseError, match="nested too deep"):
            decode(b'{"data": [{"id": 1, "z": ' + deep + b"}]}")


@pytest.mark.parametrize("path", ["", "a.b", "a[1].b"])
def test_records_are_found_at_any_path(path: str) -> None:
    """The list may be the body itself, or lie in objects and lists; a byte order mark and null for none are taken."""
    records = [{"id": 7}]
    body: object = {"": records, "a.b": {"a": {"b": records}}, "a[1].b": {"a": [0, {"b": records}]}}[path]
    form = Json(records=path)
    text = b"\xef\xbb\xbf" + json.dumps(body, indent=2).encode()
    assert decode(text, format=form).batch.table["id"].to_pylist() == [7]
    assert decode(b'{"data": null}').batch.fetched == 0


def test_records_that_are_no_objects_are_rejects() -> None:
    """Nulls, numbers and records of bytes that are no text are turned away one by one."""
    page = decode(b'{"data": [null, 5, {"id": 1, "name": "\xff"}, {"id": 2}]}')
    assert page.batch.table["id"].to_pylist() == [2]
    assert [reject.reasons[0][:29] for reject in page.batch.rejects] == [
        "record: expected object, got ",
        "record: expected object, got ",
        "record: not valid JSON: 'utf-",
    ]
    assert page.batch.fetched == 4


@pytest.mark.parametrize("half", [r"\ud800", r"\uDC00", r"\ud800\u0041", r"\udbff\ud800\udc00", r"\\\ud800"])
@pytest.mark.parametrize("path", ["", "data"])
def test_half_a_character_rejects_its_record_alone(half: str, path: str) -> None:
    """A lone surrogate, which no text can hold, costs its own record, kept as it came; whole characters are left alone."""
    bad = f'{{"id": 2, "name": "{half}"}}'
    listed = rf'[{{"id": 1, "name": "\ud83d\ude00"}}, {bad} , {{"id": 3, "name": "\\ud800"}}, {bad}]'
    body = f'{{"next": "a{half}", "data": {listed}, "more": 1}}' if path else listed
    page = decode(body.encode(), format=Json(records=path))
    assert page.batch.table["name"].to_pylist() == ["😀", r"\ud800"]
    assert [bytes(raw) for raw in page.batch.raw] == [rb'{"id": 1, "name": "\ud83d\ude00"}', rb'{"id": 3, "name": "\\ud800"}']
    assert [reject.payload.decode() for reject in page.batch.rejects] == [bad, bad]
    assert "half a character" in page.batch.rejects[0].reasons[0]
    if path:
        assert page.value(("more",)) == 1


@pytest.mark.parametrize("form", [Json(), Json(records=""), Csv(), Xml(record="reading")])
@pytest.mark.parametrize("body", [b"", b" \n"])
def test_empty_body_is_broken(form: Json | Csv | Xml, body: bytes) -> None:
    """An answer that was lost on its way is no page without records, but for NDJSON, where no line is no record."""
    with pytest.raises(BrokenBodyError, match="the body is empty"):
        decode(body, Row, format=form)
    assert decode(body, format=Ndjson()).batch.fetched == 0


def test_repeated_key_has_its_last_value() -> None:
    """An object that writes a key twice is read as JSON readers do, neighbours unharmed."""
    assert decode(b'{"data": [{"id": 1, "id": 2}, {"id": 3}]}').batch.table["id"].to_pylist() == [2, 3]


def test_envelope_is_read_beside_the_records() -> None:
    """What stands around the records is there by its path, as it was written."""
    page = decode({"data": [], "meta": {"next": "2024-01-01", "n": [1, {"x": None}]}})
    assert page.value(("meta", "next")) == "2024-01-01"
    assert page.value(("meta", "n", 1, "x")) is None
    assert page.value(("meta", "nope", "x")) is not None


def test_ndjson_rejects_its_cut_off_last_line_alone() -> None:
    """Lines are records; blank ones are skipped, a cut-off or doubled one is turned away and the rest stays."""
    body = b'{"id": 1, "name": "a", "at": null}\n\n{"id": 2}{"id": 9}\r\n{"id": 3}\n{"id": 4, "na'
    page = decode(body, format=Ndjson())
    assert page.batch.table["id"].to_pylist() == [1, 3]
    assert list(page.batch.raw) == [b'{"id": 1, "name": "a", "at": null}', b'{"id": 3}']
    assert [reject.payload for reject in page.batch.rejects] == [b'{"id": 2}{"id": 9}', b'{"id": 4, "na']
    whole = decode(b'{"id": 1, "new": 1}\n{"id": 2}', format=Ndjson())
    assert (whole.batch.table["id"].to_pylist(), whole.drift.new) == ([1, 2], {"new": 1})


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2024-01-01", 0),
        ("2024-01-01 00:00", 0),
        ("2024-01-01T00Z", 0),
        ("2024-01-01T00:00:00.123456789Z", 123456),
        ("2024-01-01T00:00:00.1234567", 123456),
        ("2024-01-01T02:00:00+0200", 0),
        ("2023-12-31T19:00:00-05", 0),
    ],
)
def test_spellings_of_a_moment(text: str, micros: int) -> None:
    """ISO 8601 in its usual forms; without a zone it is UTC; digits past the microsecond are cut."""
    expected = datetime(2024, 1, 1, 0, 0, 0, micros, UTC)
    assert decode({"data": [{"id": 1, "at": text}]}).batch.table["at"].to_pylist() == [expected]
    mixed = decode({"data": [{"id": 1, "at": text}, {"id": 2, "at": "2024-01-01T00:00:00Z"}, {"id": 3, "at": "2024-01-01"}]})
    assert mixed.batch.table["at"].to_pylist()[0] == expected


@pytest.mark.parametrize(
    "text", ["2024-01-01T24:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-05:00", "20240101", "12:00"]
)
def test_moments_that_are_none(text: str) -> None:
    """What is no moment of the years 1 to 9999 is rejected by both ways alike."""
    assert decode({"data": [{"id": 1, "at": text}]}).batch.rejects[0].key == "1"


def test_column_that_cannot_be_read_is_named() -> None:
    """A contract that asks a CSV cell for a struct is refused before any request, naming the column."""
    with pytest.raises(SpecError, match=r"shop\.things \(contract\.maker\)"):
        decode(b"", Item, format=Csv())
    assert decode(b"id,name,temp,ok,at,day\n", Row, format=Csv()).batch.fetched == 0


def _values(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly good values, and every kind of bad one."""
    odd = [None, True, 0, -1, 2.5, 2.0, 2**63, 10**30, "", "x", "2024-01-01", "12", [], [1], ["a"], {}, {"z": 1}, {"name": 3}]
    return st.one_of(good, good, good, good, good, st.sampled_from(odd))


_MOMENTS = st.one_of(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda moment: moment.isoformat() + "Z"),  # noqa: DTZ001
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.isoformat(" ", "seconds")),  # noqa: DTZ001
)
SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
_FIELDS = {
    "id": _values(st.integers(-(2**63), 2**63 - 1)),
    "name": _values(st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
    "amount": _values(st.floats(allow_nan=False, allow_infinity=False)),
    "ok": _values(st.booleans()),
    "at": _values(_MOMENTS),
    "day": _values(st.dates().map(str)),
    "made": _values(st.integers(-(10**11), 10**11)),
    "ticked": _values(st.integers(-(10**14), 10**14)),
    "written": _values(st.dates(date(1000, 1, 1)).map(lambda day: day.strftime("%d/%m/%Y 10:00"))),
    "address": _values(
        st.fixed_dictionaries(
            {},
            optional={
                "city": _values(st.just("Bern")),
                "where": _values(st.lists(st.floats(-90, 90), max_size=3)),
                "extra": st.integers(),
            },
        )
    ),
    "maker": _values(
        st.fixed_dictionaries(
            {}, optional={"name": st.just("M"), "seats": st.integers(-5, 5), "since": _MOMENTS, "more": st.integers()}
        )
    ),
    "tags": _values(st.lists(st.one_of(st.none(), st.text("ab", max_size=2)), max_size=3)),
    "small": _values(st.integers(-(2**15), 2**15 - 1)),
    "gone": _values(st.booleans()),
    "extra": st.one_of(st.none(), st.integers(), st.text("ab", max_size=3)),
    "ignored": st.integers(),
}


_CLEAN = {
    "id": st.integers(-(2**63), 2**63 - 1),
    "name": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    "amount": st.floats(allow_nan=False, allow_infinity=False),
    "at": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda moment: moment.isoformat() + "Z"),  # noqa: DTZ001
    "made": st.integers(-(10**10), 10**11),
    "tags": st.lists(st.one_of(st.none(), st.text("ab", max_size=2)), max_size=3),
    "address": st.fixed_dictionaries({}, optional={"where": st.lists(st.floats(-90, 90), max_size=3), "extra": st.integers()}),
    "maker": st.one_of(st.none(), st.fixed_dictionaries({}, optional={"seats": st.integers(-5, 5), "more": st.integers()})),
    "gone": st.one_of(st.none(), st.booleans()),
}


@settings(max_examples=600 if SOAK else 50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    bad=st.lists(st.fixed_dictionaries({}, optional=_FIELDS), min_size=1, max_size=3),
    good=st.lists(st.fixed_dictionaries({}, optional=_CLEAN), min_size=3, max_size=6),
    places=st.randoms(use_true_random=False),
)
def test_page_with_bad_records_is_what_the_strict_way_makes_of_it(
    bad: list[dict[str, Any]], good: list[dict[str, Any]], places: Random
) -> None:
    """Among good records a few bad ones are found and rejected, and all the others read at once as if each were read alone."""
    plan = plan_for(stream(Item, tombstone=Tombstone(path="gone"), ignore=("ignored",)), contract(Item))
    records = [*bad, *good]
    places.shuffle(records)
    raw = msgspec.json.decode(json.dumps(records).encode(), type=list[msgspec.Raw])
    closely, strictly = JsonReader(plan, "data")._closely(raw), strict_page(plan, raw)
    assert closely[0].table.equals(strictly[0].table)
    assert list(closely[0].raw) == list(strictly[0].raw)
    assert (closely[0].rejects, closely[0].fetched) == (strictly[0].rejects, strictly[0].fetched)
    assert (closely[1].new, closely[1].retyped) == (strictly[1].new, strictly[1].retyped)


_ANY = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text('a\\"é', max_size=3)
    ),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text("ab", max_size=2), below, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=400 if SOAK else 40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    records=st.lists(
        st.fixed_dictionaries(
            {"id": st.integers(1, 9)},
            optional={
                "price": st.one_of(
                    st.none(),
                    st.decimals(-1000, 1000, places=2).map(str),
                    st.integers(-99, 99),
                    st.sampled_from([0.5, "x", True]),
                ),
                "extra": _ANY,
            },
        ),
        max_size=4,
    )
)
def test_any_json_and_exact_decimals_are_read_at_once_as_one_by_one(records: list[dict[str, Any]]) -> None:
    """Columns of JSON text and of decimals, put in quotes for Arrow, are what the strict way makes of the same records."""
    plan = plan_for(stream(Exact), contract(Exact))
    body = json.dumps(records).encode()
    quickly = JsonReader(plan, "data")._quickly([body])
    strictly = strict_page(plan, msgspec.json.decode(body, type=list[msgspec.Raw]))
    if quickly is None:
        assert strictly[0].rejects
        return
    assert quickly[0].table.equals(strictly[0].table)
    assert list(quickly[0].raw) == list(strictly[0].raw)
    assert (quickly[0].rejects, quickly[1]) == (strictly[0].rejects, strictly[1])


@settings(max_examples=600 if SOAK else 50, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=st.lists(st.fixed_dictionaries({}, optional=_FIELDS), max_size=4))
def test_quick_and_strict_agree(records: list[dict[str, Any]]) -> None:
    """Whatever a page holds, the quick way gives what the strict way gives, or leaves the page to it."""
    chosen = stream(Item, tombstone=Tombstone(path="gone"), ignore=("ignored",))
    plan = plan_for(chosen, contract(Item))
    assert arrow_shape(plan) is not None
    body = json.dumps(records).encode()
    quickly = JsonReader(plan, "data")._quickly([body])
    strictly = strict_page(plan, msgspec.json.decode(body, type=list[msgspec.Raw]))
    assert strictly[0].fetched == len(records) == strictly[0].table.num_rows + len(strictly[0].rejects)
    if quickly is None:
        return
    assert quickly[0].table.equals(strictly[0].table)
    assert list(quickly[0].raw) == list(strictly[0].raw)
    assert quickly[0].rejects == strictly[0].rejects
    assert quickly[1] == strictly[1]


@settings(max_examples=400 if SOAK else 40, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=st.lists(st.fixed_dictionaries({}, optional=_CLEAN), max_size=6))
def test_quick_way_takes_good_pages(records: list[dict[str, Any]]) -> None:
    """Pages without a bad value go the quick way, and agree with the strict one."""
    plan = plan_for(stream(Item, tombstone=Tombstone(path="gone")), contract(Item))
    body = json.dumps(records).encode()
    quickly = JsonReader(plan, "data")._quickly([body])
    strictly = strict_page(plan, msgspec.json.decode(body, type=list[msgspec.Raw]))
    assert quickly is not None
    assert quickly[0].table.equals(strictly[0].table)
    assert (quickly[0].rejects, quickly[1]) == (strictly[0].rejects, strictly[1])
