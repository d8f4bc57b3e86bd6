"""A file comes in pieces that hold whole records, whatever is between their quotes, and never more than the limit at once."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO, StringIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration_assets.errors import LimitExceededError, TransientError
from integration_assets.extract import pieces as module
from integration_assets.extract.page import BrokenBodyError
from integration_assets.spec import Csv, Json, Ndjson, Parquet, Xml
from integration_assets.spec.formats import Format


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of some bytes instead of megabytes."""
    monkeypatch.setattr(module, "PIECE", 64)
    monkeypatch.setattr(module, "_CHUNK", 16)


def cut(data: bytes, form: Format, limit: int = 10**6) -> list[bytes]:
    """The pieces of a file with these bytes."""
    return list(module.pieces(BytesIO(data), form, limit, lambda _: None))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_are_cut_between_records(pack: type[bytes]) -> None:
    """The pieces together are the file, each ends with a line, and gzip makes no difference."""
    lines = [json.dumps({"id": number}).encode() + b"\n" for number in range(100)]
    found = cut(pack(b"".join(lines)), Ndjson())
    assert b"".join(found) == b"".join(lines)
    assert len(found) > 5
    assert all(piece.endswith(b"\n") for piece in found)


@pytest.mark.usefixtures("small")
def test_the_last_line_needs_no_end() -> None:
    """A file that does not end with a line break has a last record all the same."""
    assert cut(b'{"id": 1}\n{"id": 2}', Ndjson())[-1].endswith(b'{"id": 2}')


@pytest.mark.usefixtures("small")
def test_csv_has_its_header_in_each_piece_and_no_record_is_torn() -> None:
    """A line break between quotes ends no record, and a quote within a cell opens none."""
    rows = [[str(number), 'two\nlines, and "quotes"', '5" pipe' if number % 3 else "x"] for number in range(50)]
    text = "id,note,size\n" + "".join(f'{a},"{b.replace(chr(34), chr(34) * 2)}",{c}\n' for a, b, c in rows)
    found = cut(text.encode(), Csv())
    assert len(found) > 5
    assert all(piece.startswith(b"id,note,size\n") for piece in found)
    read = [row for piece in found for row in list(csv.reader(StringIO(piece.decode(), newline="")))[1:]]
    assert read == rows


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("lead", ["\n", "\r\n\r\n", "\ufeff\n", "\n" * 200])
@pytest.mark.parametrize("cell", ["x", '"x"'])
def test_blank_lines_before_the_header_are_not_taken_for_it(lead: str, cell: str) -> None:
    """Each piece of a CSV file that begins with blank lines has the header, with its mark of UTF-8 or without."""
    text = lead + "id,note\n" + "".join(f"{number},{cell}\n\n" for number in range(50))
    found = cut(text.encode(), Csv())
    assert len(found) > 3
    mark = "\ufeff" if lead.startswith("\ufeff") else ""
    assert all(piece.decode().startswith(f"{mark}id,note\n") for piece in found)
    read = [row for piece in found for row in list(csv.reader(StringIO(piece.decode(), newline="")))[1:] if row]
    assert read == [[str(number), "x"] for number in range(50)]


@given(
    st.lists(st.lists(st.text(alphabet='a",;\n\r é', max_size=6), min_size=2, max_size=2), min_size=1, max_size=30),
    st.sampled_from([",", ";"]),
)
def test_whatever_is_in_the_cells_the_pieces_hold_the_same_records(rows: list[list[str]], delimiter: str) -> None:
    """A file as any program writes it has the same records in pieces as it has whole."""
    sink = StringIO(newline="")
    writer = csv.writer(sink, delimiter=delimiter, lineterminator="\n")
    writer.writerows([["one", "two"], *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", 24)
        patch.setattr(module, "_CHUNK", 7)
        found = cut(sink.getvalue().encode(), Csv(delimiter=delimiter))

    def records(text: str) -> list[list[str]]:
        return [row for row in csv.reader(StringIO(text, newline=""), delimiter=delimiter) if row][1:]

    assert [row for piece in found for row in records(piece.decode())] == records(sink.getvalue())


@pytest.mark.usefixtures("small")
def test_a_line_without_end_is_refused() -> None:
    """What cannot be cut within the limit is an error that names the limit, and not memory without bound."""
    with pytest.raises(LimitExceededError, match="longer than 500 bytes"):
        cut(b"x" * 1000, Ndjson(), limit=500)
    with pytest.raises(LimitExceededError):
        cut(b'id\n"' + b"x\n" * 1000, Csv(), limit=500)


@pytest.mark.parametrize("form", [Json(), Xml(record="r")])
def test_a_document_is_one_piece_and_has_a_limit(form: Format) -> None:
    """JSON and XML are read whole; a small gzip of a large document is as large as the document."""
    assert cut(b"<r/>", form) == [b"<r/>"]
    with pytest.raises(LimitExceededError, match="larger than 100 bytes"):
        cut(gzip.compress(b" " * 1000), form, limit=100)


@pytest.mark.parametrize("form", [Json(), Ndjson(), Csv()])
def test_an_empty_file_has_no_piece(form: Format) -> None:
    """A file without a byte, or with blanks alone, says that there is nothing."""
    assert cut(b"", form) == []
    assert cut(b" \n", form) == []


def test_gzip_that_was_cut_off_is_an_error() -> None:
    """An upload that broke off is noticed."""
    with pytest.raises(TransientError, match="cut off"):
        cut(gzip.compress(b"a\n" * 1000)[:-10], Ndjson())


def test_parquet_comes_as_json_lines() -> None:
    """Each type has the JSON that the contract's types are made of; a time without a zone is UTC, NaN is null."""
    moment = datetime(2024, 3, 5, 10, tzinfo=UTC)
    table = pa.table(
        {
            "id": pa.array([1], pa.int32()),
            "at": pa.array([moment.replace(tzinfo=None)], pa.timestamp("us")),
            "amount": pa.array([Decimal("1.10")], pa.decimal128(9, 2)),
            "share": pa.array([float("nan")]),
            "parts": pa.array([[{"name": "a"}]]),
        }
    )
    sink = BytesIO()
    pq.write_table(table, sink)
    (line,) = cut(sink.getvalue(), Parquet())
    assert json.loads(line) == {"id": 1, "at": "2024-03-05T10:00:00Z", "amount": 1.1, "share": None, "parts": [{"name": "a"}]}
    with pytest.raises(LimitExceededError, match="row group"):
        cut(sink.getvalue(), Parquet(), limit=10)
    with pytest.raises(BrokenBodyError, match="not valid Parquet"):
        cut(b"PAR1 and then nothing", Parquet())
