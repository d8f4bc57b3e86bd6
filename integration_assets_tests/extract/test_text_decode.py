"""CSV and XML to rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from integration_assets.errors import ResponseError
from integration_assets.extract.decode import BrokenBodyError, DecodedPage, decoder_for
from integration_assets.spec import Csv, Tombstone, Xml
from integration_assets.spec.records import DELETED
from integration_assets_tests.extract.models import Reading, Row, contract, source, stream

HEADER = "id,name,temp,ok,at,day\n"


def csv_page(text: str | bytes, content_type: str = "text/csv", **settings: Any) -> DecodedPage:  # noqa: ANN401
    """One page of `Row`s."""
    chosen = stream(Row, **{"format": Csv(), **settings})
    body = text if isinstance(text, bytes) else text.encode()
    return decoder_for(source("http://127.0.0.1", chosen), chosen, contract(Row)).page(body, content_type)


def xml_page(text: str, **settings: Any) -> DecodedPage:  # noqa: ANN401
    """One page of `Reading`s."""
    chosen = stream(Reading, format=Xml(record="reading"), **settings)
    return decoder_for(source("http://127.0.0.1", chosen), chosen, contract(Reading)).page(text.encode())


def test_csv_cells_become_their_types() -> None:
    """Every type is read from text, in any column order, with a byte order mark, quoted line breaks and blank lines."""
    page = csv_page(
        '\ufeffday,id,name,temp,ok,at\r\n2024-02-29,+1,"a ""b"",\nc",1.5e1,true,2024-01-01T00:00:00Z\r\n\r\n,2,,,0,\r\n'
    )
    assert page.batch.table.to_pylist() == [
        {
            "id": 1,
            "name": 'a "b",\nc',
            "temp": 15.0,
            "ok": True,
            "at": datetime(2024, 1, 1, tzinfo=UTC),
            "day": date(2024, 2, 29),
            DELETED: False,
        },
        {"id": 2, "name": None, "temp": None, "ok": False, "at": None, "day": None, DELETED: False},
    ]
    assert page.batch.raw[0].decode() == '2024-02-29,+1,"a ""b"",\nc",1.5e1,true,2024-01-01T00:00:00Z'
    assert page.batch.raw[1] == b",2,,,0,"
    assert not page.drift


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,a,1,1,,", 'id: expected int64, got "x"'),
        ("1.0,a,1,1,,", 'id: expected int64, got "1.0"'),
        ("0x10,a,1,1,,", 'id: expected int64, got "0x10"'),
        ("9223372036854775808,a,1,1,,", 'id: expected int64, got "9223372036854775808"'),
        ("2,a,nan,1,,", 'temp: expected double, got "nan"'),
        ("2,a,1e999,1,,", 'temp: expected double, got "1e999"'),
        ("2,a,1,yes,,", 'ok: expected bool, got "yes"'),
        ("2,a,1,1,noon,", 'at: expected timestamp[us, tz=UTC], got "noon"'),
        ("2,a,1,1,,29.2.2024", 'day: expected date, got "29.2.2024"'),
        ("2,a,1,1,", "row: expected 6 cells, got 5 cells"),
        ("2,a,1,1,,,", "row: expected 6 cells, got 7 cells"),
    ],
)
def test_csv_row_that_does_not_fit_is_rejected_alone(row: str, reason: str) -> None:
    """A bad cell or a wrong number of them costs that row, kept as it was; its neighbours stay in order."""
    page = csv_page(f"{HEADER}1,a,1,1,,\n{row}\n3,c,3,0,,\n")
    assert page.batch.table["id"].to_pylist() == [1, 3]
    assert list(page.batch.raw) == [b"1,a,1,1,,", b"3,c,3,0,,"]
    assert page.batch.rejects[0].reasons == (reason,)
    assert page.batch.rejects[0].payload == row.encode()
    assert page.batch.fetched == 3


def test_csv_cut_off_in_a_quote_rejects_its_last_row() -> None:
    """A quote that never closes is no row, and those before it stay."""
    page = csv_page(f'{HEADER}1,a,1,1,,\n2,"b')
    assert page.batch.table["id"].to_pylist() == [1]
    assert page.batch.rejects[0].payload == b'2,"b'


def test_csv_stray_quote_costs_its_own_line() -> None:
    """A quote that never closes, or closes far below, takes no line but its own; rows of several lines after it stay whole."""
    for rest in ("", '4,"d",4,1,,\n', '4,"d\ne",4,1,,\n5,e,5,1,,\n'):
        page = csv_page(f'{HEADER}1,a,1,1,,\n2,"b,2,1,,\n3,"",3,1,,\n\n{rest}')
        assert page.batch.table["id"].to_pylist() == [1, 3, *range(4, 4 + rest.count(",,\n"))]
        assert [reject.payload for reject in page.batch.rejects] == [b'2,"b,2,1,,']
        assert page.batch.rejects[0].reasons == ("row: expected 6 cells, got an open quote or an endless cell",)
        assert not page.counted
    assert csv_page(f'{HEADER}4,"d\ne",4,1,,\n5,e,5\n').counted


def test_csv_row_of_several_lines_with_too_many_cells_is_turned_away_by_line() -> None:
    """Lines that two stray quotes made one row are read alone, so that good ones among them are rows."""
    page = csv_page(f'{HEADER}1,"a,1,1,,\n2,b,2,1,,\n3,c",3,1,,,\n4,d,4,1,,\n')
    assert page.batch.table["id"].to_pylist() == [2, 4]
    assert [reject.payload for reject in page.batch.rejects] == [b'1,"a,1,1,,', b'3,c",3,1,,,']
    assert not page.counted


def test_csv_drift() -> None:
    """New and missing columns are counted; ignored ones are not."""
    page = csv_page("id,name,temp,ok,at,new,noise\n1,a,1,1,,x,y\n2,b,2,0,,,y\n", ignore=("noise",))
    assert page.drift.new == {"new": 1}
    assert page.drift.missing == {"day": 2}


def test_csv_nulls_and_delimiter_are_the_streams() -> None:
    """Spellings of nothing and the delimiter are as described; a text column keeps everything else."""
    page = csv_page(HEADER.replace(",", ";") + "1;NA;NA;;;\n", format=Csv(delimiter=";", nulls=("", "NA")))
    assert page.batch.table.to_pylist()[0]["name"] is None
    assert csv_page(HEADER + "1,NA,1,1,,\n").batch.table["name"].to_pylist() == ["NA"]


def test_csv_in_another_charset() -> None:
    """The charset that the answer names is used; text that is not in it is an error that says so."""
    body = (HEADER + "1,é,1,1,,\n").encode("latin-1")
    assert csv_page(body, "text/csv; charset=ISO-8859-1").batch.table["name"].to_pylist() == ["é"]
    with pytest.raises(ResponseError, match="not text in utf-8"):
        csv_page((HEADER.replace("name", "näme") + "1,é,1,1,,\n").encode("latin-1"))


def test_csv_line_that_is_no_utf_8_goes_alone() -> None:
    """One such cell rejects its line, byte by byte, and its neighbours land; a byte order mark is none of the header."""
    lines = (HEADER + "1,a,1,1,,\n").encode(), b"2,\xe9,1,1,,\n", "3,é,1,1,,\n".encode()
    for charset in ("", "; charset=utf8"):
        page = csv_page(b"\xef\xbb\xbf" + b"".join(lines), f"text/csv{charset}")
        assert page.batch.table["name"].to_pylist() == ["a", "é"]
        assert [(one.payload, one.reasons) for one in page.batch.rejects] == [
            (b"2,\xe9,1,1,,", ("row: bytes that are no UTF-8",))
        ]
    half = csv_page(HEADER.encode() + b"1,+2AA-,1,1,,\n", "text/csv; charset=utf-7").batch
    assert (half.table.num_rows, len(half.rejects)) == (0, 1)


def test_csv_tombstone() -> None:
    """A row whose mark is set is a tombstone, however true is spelled."""
    page = csv_page("id,name,temp,ok,at,day,gone\n1,,,,,,1\n2,b,,,,,false\n3,c,,,,,TRUE\n", tombstone=Tombstone(path="gone"))
    assert page.batch.table[DELETED].to_pylist() == [True, False, True]
    assert not page.drift.new


@pytest.mark.parametrize(("header", "what"), [("a,b\n1,2\n", "none of the columns"), ("id,id\n1,2\n", "'id' twice")])
def test_csv_without_its_header_is_an_error(header: str, what: str) -> None:
    """A file without the header that was described is not read as rows of nothing."""
    with pytest.raises(ResponseError, match=what):
        csv_page(header)


def test_xml_elements_become_rows() -> None:
    """Attributes, children and nested children are read by path, texts stripped, namespaces left out, empty is null."""
    page = xml_page(
        '<?xml version="1.0"?><list xmlns="urn:x"><reading id="a"><temp unit="F"> 1.5 </temp><inner><count>7</count></inner>'
        '</reading><reading id="b"><temp/><new>1</new></reading></list>',
    )
    assert page.batch.table.to_pylist() == [
        {"id": "a", "temp": 1.5, "count": 7, DELETED: False},
        {"id": "b", "temp": None, "count": None, DELETED: False},
    ]
    assert page.drift.new == {"new": 1}
    assert b'id="b"' in page.batch.raw[1]
    assert not xml_page("<list/>").batch.fetched


def test_xml_element_that_does_not_fit_is_rejected_alone() -> None:
    """A bad text costs its own element."""
    page = xml_page('<l><reading id="a"><temp>hot</temp></reading><reading id="b"><temp>2</temp></reading></l>')
    assert page.batch.table["id"].to_pylist() == ["b"]
    assert page.batch.rejects[0].reasons == ('temp: expected double, got "hot"',)
    assert page.batch.rejects[0].payload == b'<reading id="a"><temp>hot</temp></reading>'
    assert page.batch.rejects[0].key is None or page.batch.rejects[0].key == "a"


def test_xml_nested_beyond_reason_is_an_error() -> None:
    """Depth that would end the process's stack is an error that says so; what a document may need is read."""
    deep = '<l><reading id="a"><temp>1</temp>{}</reading></l>'
    assert xml_page(deep.format("<z>" * 190 + "</z>" * 190)).batch.fetched == 1
    with pytest.raises(ResponseError, match="nested more than 200 deep"):
        xml_page(deep.format("<z>" * 3000 + "</z>" * 3000))


def test_xml_record_inside_a_record_is_a_part_of_it() -> None:
    """A record's element within another is no record of its own, so that nesting does not multiply what is kept."""
    inner = '<reading id="x"><temp>9</temp></reading>'
    page = xml_page(f'<l><reading id="a"><temp>1</temp>{inner}</reading><reading id="b"><temp>2</temp></reading></l>')
    assert page.batch.table["id"].to_pylist() == ["a", "b"]
    assert inner.encode() in page.batch.raw[0]


def test_xml_cut_off_is_broken_and_entities_are_refused() -> None:
    """A cut-off document never becomes rows; one that declares entities, which may grow without end, is an error."""
    with pytest.raises(BrokenBodyError, match="not valid XML"):
        xml_page('<l><reading id="a"/>')
    with pytest.raises(ResponseError, match="declares entities"):
        xml_page('<!DOCTYPE l [<!ENTITY a "aaaa">]><l><reading id="a"><temp>&a;</temp></reading></l>')
