"""Lists by page number whose API has no page after the last: Django REST framework answers 404 there."""

from __future__ import annotations

import pytest

from integration_assets.errors import ResponseError
from integration_assets.spec import Json, PageNumber
from integration_assets_tests.extract.models import stream
from integration_assets_tests.extract.serving import Answer, Asked, in_turn, page
from integration_assets_tests.extract.test_reading import reading

GONE = Answer(404, b'{"detail": "Invalid page."}')


def _list(records: int, count: int) -> list[Answer]:
    listed = [{"id": number, "name": "n", "at": None} for number in range(records)]
    return [page({"count": count, "results": listed[at : at + 2]}) for at in range(0, records, 2)]


@pytest.mark.parametrize("records", [1, 2, 3, 4])
def test_a_full_page_is_the_last_where_all_that_is_counted_was_read(records: int) -> None:
    """A list whose length is a multiple of the page's ends as any other does."""
    pages = _list(records, records)

    def script(asked: Asked) -> Answer:
        number = int(asked.query["page"]) - 1
        return pages[number] if number < len(pages) else GONE

    described = stream(format=Json(records="results"), paging=PageNumber(size=2, total_path="count"))
    with reading(script, described) as (read, _):
        assert [number for batch in read for number in batch.table["id"].to_pylist()] == list(range(records))


def test_a_page_that_is_not_found_while_records_are_missing_is_an_error() -> None:
    """The API counts more than it gave: what is not found then may be anything but the end."""
    described = stream(format=Json(records="results"), paging=PageNumber(size=2, total_path="count"))
    with reading(in_turn([*_list(4, 6), GONE]), described) as (read, _), pytest.raises(ResponseError, match="404"):
        list(read)
