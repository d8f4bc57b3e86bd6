"""A slice read page by page from a real server, whatever the API does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any

import pytest

from integration_assets.errors import (
    CrossHostError,
    LimitExceededError,
    PageTokenExpiredError,
    PagingError,
    ResponseError,
)
from integration_assets.extract.client import SourceClient
from integration_assets.extract.reading import AHEAD_PAGES, Reading
from integration_assets.spec import (
    ApiKeyQuery,
    Bearer,
    Csv,
    Cursor,
    Limits,
    NextLink,
    NoAuth,
    Offset,
    PageNumber,
    Single,
    Slice,
    Stream,
    Token,
)
from integration_assets.spec.auth import Auth
from integration_assets_tests.extract.models import Thing, contract, source, stream
from integration_assets_tests.extract.serving import Answer, Asked, Script, Serving, in_turn, page, serve

QUICK = Limits(attempts=2, wait_initial=0.001, wait_max=0.002, max_pages=50)
TOKEN = Token(path="meta.next", param="token")


@contextmanager
def reading(
    script: Script,
    stream_: Stream,
    slice_: Slice | None = None,
    auth: Auth | None = None,
    limits: Limits = QUICK,
    **settings: Any,  # noqa: ANN401 - the reading's own
) -> Iterator[tuple[Reading, Serving]]:
    """A reading of a slice from a server that answers by `script`."""
    with serve(script) as server:
        where = source(f"{server.url}/v1", stream_, limits, auth=auth or NoAuth())
        with SourceClient(where, lambda _name: "s3cr3t") as client:
            yield Reading(client, where, stream_, contract(Thing), slice_ or Slice(), **settings), server


def things(*numbers: int, **meta: object) -> dict[str, object]:
    """A body with these things."""
    return {"data": [{"id": number, "name": "x", "at": "2024-01-01T00:00:00Z"} for number in numbers], "meta": meta}


def ids(reading_: Reading) -> list[int]:
    """Every id, in order."""
    return [number for batch in reading_ for number in batch.table["id"].to_pylist()]


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; fails after twenty seconds."""
    deadline = monotonic() + 20
    while not condition():
        assert monotonic() < deadline
        sleep(0.005)


def offset_script(numbers: list[int], cap: int = 1000, **headers: str) -> Script:
    """An API that pages by offset and limit, and gives no more than `cap` at once."""

    def script(asked: Asked) -> Answer:
        start, size = int(asked.query["offset"]), min(int(asked.query["limit"]), cap)
        return page(things(*numbers[start : start + size]), 200, **headers)

    return script


def test_single_page_asks_for_the_slice() -> None:
    """Params of the stream, its headers and the slice's boundaries are asked for, under the base's own path."""
    cursor = Cursor(field="at", start_param="since", end_param="until")
    chosen = stream(params={"all": True, "n": 3}, headers={"X-Version": "2"}, cursor=cursor)
    slice_ = Slice(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    with reading(in_turn([page(things(1, 2))]), chosen, slice_) as (read, server):
        assert ids(read) == [1, 2]
        assert read.pages == 1
    asked = server.asked[0]
    assert asked.path == "/v1/things"
    assert asked.query == {"all": "true", "n": "3", "since": "2024-01-01T00:00:00Z", "until": "2024-01-02T00:00:00Z"}
    assert asked.headers["x-version"] == "2"


def test_offset_reads_to_the_page_without_records() -> None:
    """Offsets advance by what came, to an empty page; where the API counts its records, a short page is enough."""
    chosen = stream(paging=Offset(limit=2))
    for numbers, uncounted, counted in (([1, 2, 3, 4, 5], 4, 3), ([1, 2, 3, 4], 3, 3), ([1], 2, 1), ([], 1, 1)):
        for requests, headers in ((uncounted, {}), (counted, {"X_Total_Count": str(len(numbers))})):
            with reading(offset_script(numbers, 1000, **headers), chosen) as (read, server):
                assert ids(read) == numbers
            assert len(server.asked) == requests
            assert read.warnings == []


def test_page_numbers_count_from_their_first() -> None:
    """Page numbers begin where the API begins and carry the size."""
    chosen = stream(paging=PageNumber(param="p", size_param="n", size=2, first=0))
    with reading(in_turn([page(things(1, 2)), page(things(3)), page(things())]), chosen) as (read, server):
        assert ids(read) == [1, 2, 3]
    assert [asked.query for asked in server.asked] == [{"p": str(number), "n": "2"} for number in range(3)]


def test_no_such_page_after_a_short_one_is_the_end() -> None:
    """Where the API answers 404 past its last page number, the short page before it was the last; after a full one it is not."""
    gone = Answer(404, b'{"detail": "Invalid page."}')
    with reading(in_turn([page(things(1, 2)), page(things(3)), gone]), stream(paging=PageNumber(size=2))) as (read, _):
        assert ids(read) == [1, 2, 3]
    full = in_turn([page(things(1, 2)), gone])
    with reading(full, stream(paging=PageNumber(size=2))) as (read, _), pytest.raises(ResponseError, match="404"):
        ids(read)


@pytest.mark.parametrize("paging", [PageNumber(size=2), Offset(limit=2)])
def test_paging_that_the_api_ignores_is_an_error(paging: PageNumber | Offset) -> None:
    """The same records again are a named error, not a loop, also where each answer has a number of its own."""
    for numbers in ((1, 2), (1,)):
        count = iter(range(100))
        with reading(lambda _asked: page(things(*numbers, request=next(count))), stream(paging=paging)) as (read, server):  # noqa: B023
            with pytest.raises(PagingError, match="is the one before it again") as caught:
                ids(read)
            assert (caught.value.source, caught.value.stream) == ("shop", "things")
        assert len(server.asked) == 2


@pytest.mark.parametrize("headers", [{}, {"X_Total_Count": "90"}])
def test_pages_smaller_than_asked_for_lose_nothing(headers: dict[str, str]) -> None:
    """An API that caps the page size below what was asked is read to its end, whether it counts its records or not."""
    numbers = list(range(90))
    with reading(offset_script(numbers, 20, **headers), stream(paging=Offset(limit=50))) as (read, server):
        assert ids(read) == numbers
    assert sorted({int(asked.query["offset"]) for asked in server.asked})[:5] == [0, 20, 40, 60, 80]
    pages = [page(things(*numbers[at : at + 20]), 200, **headers) for at in (0, 20, 40, 60, 80)]
    pages.append(page(things()))
    with reading(lambda asked: pages[min(int(asked.query["page"]), 6) - 1], stream(paging=PageNumber(size=50))) as (read, _):
        assert ids(read) == numbers


def test_short_page_in_the_middle_is_no_end() -> None:
    """A page that lacks a record the API withholds does not end the slice."""
    pages = [page(things(1, 2)), page(things(3)), page(things(5, 6)), page(things())]
    with reading(in_turn(pages), stream(paging=PageNumber(size=2))) as (read, _):
        assert ids(read) == [1, 2, 3, 5, 6]


@pytest.mark.parametrize("last", [{"X_Total_Count": "9"}, {"X_Total_Count": "0"}, {}])
def test_fewer_records_than_the_api_counts_are_an_error(last: dict[str, str]) -> None:
    """What the API counts and does not give is a named error at the end of any page, also where the last counts nothing."""
    pages = [page(things(1, 2), X_Total_Count="9"), page(things(3, 4), X_Total_Count="9"), page(things(), 200, **last)]
    for paging in (Offset(limit=2), Offset(limit=3)):
        with reading(lambda asked: pages[min(int(asked.query["offset"]) // 2, 2)], stream(paging=paging)) as (read, _):
            with pytest.raises(PagingError, match="counts 9 records and gave 4 until a page without any"):
                ids(read)
            assert read.warnings == []


def test_csv_page_with_a_stray_quote_is_not_the_last() -> None:
    """One stray quote among rows costs its own line: no other row, and no page after it."""
    lines = [f"{number},n{number}," for number in range(25)]
    lines[7] = '7,"n7,'
    lines[24] = '24,"n\n24",'

    def script(asked: Asked) -> Answer:
        start = int(asked.query["offset"])
        body = "\n".join(["id,name,at", *lines[start : start + 10], ""])
        return Answer(200, body.encode(), {"Content-Type": "text/csv", **counted})

    for counted in ({}, {"X-Total-Count": "25"}):  # noqa: B007 - the script's
        for limit in (10, 30):
            with reading(script, stream(format=Csv(), paging=Offset(limit=limit))) as (read, _):
                batches = list(read)
            found = [number for batch in batches for number in batch.table["id"].to_pylist()]
            assert sorted(set(found)) == [*range(7), *range(8, 25)]
            assert {reject.payload for batch in batches for reject in batch.rejects} == {b'7,"n7,'}
            assert limit != 10 or len(found) == 24


def test_moving_feed_is_warned_about_once() -> None:
    """Records that repeat across offset pages, or a falling total, are said on the receipt, once, and the list is read again."""
    pages = [page(things(1, 2)), page(things(2, 3)), page(things(3, 4)), page(things())]
    with reading(in_turn(pages), stream(paging=Offset(limit=2))) as (read, _):
        assert ids(read) == [1, 2, 2, 3, 3, 4]
    assert len(read.warnings) == 1
    assert read.warnings[0].startswith("feed moved while it was read by offset: 1 records of one page came again")
    counted = [page(things(1, 2), X_Total_Count="4"), page(things(4), X_Total_Count="3")]
    settled = [page(things(2, 3), X_Total_Count="3"), page(things(4), X_Total_Count="3")]
    with reading(in_turn([*counted, *settled]), stream(paging=Offset(limit=2))) as (read, _):
        assert set(ids(read)) == {1, 2, 3, 4}
    assert "from 4 to 3" in read.warnings[0]
    assert read.moved == 0


def test_tokens_are_followed_to_the_end() -> None:
    """A token is sent with the slice's own params until the API names none; empty pages on the way are allowed."""
    pages = [page(things(1, next="a b")), page(things(next=7)), page(things(2, next=""))]
    with reading(in_turn(pages), stream(paging=TOKEN, params={"k": "v"})) as (read, server):
        assert ids(read) == [1, 2]
        assert read.pages == 3
    assert [asked.query for asked in server.asked] == [{"k": "v"}, {"k": "v", "token": "a b"}, {"k": "v", "token": "7"}]


def test_token_that_comes_again_is_an_error() -> None:
    """Endless paging in a circle is a named error."""
    circle = [page(things(number, next="ab"[number % 2])) for number in range(3)]
    with reading(in_turn(circle), stream(paging=TOKEN)) as (read, server), pytest.raises(PagingError, match="named before"):
        ids(read)
    assert len(server.asked) == 3


def test_endless_new_tokens_stop_at_the_limit() -> None:
    """Paging that never ends stops at the source's limit of pages."""
    count = iter(range(10_000))
    with reading(lambda _asked: page(things(1, next=next(count))), stream(paging=TOKEN)) as (read, server):
        with pytest.raises(LimitExceededError, match="more than 50 pages"):
            ids(read)
        assert len(server.asked) == 50


def test_endless_empty_pages_are_an_error() -> None:
    """A thousand empty pages in a row, each with a next one, are taken for a fault."""
    count = iter(range(10_000))
    limits = Limits(max_pages=100_000)
    with (
        reading(lambda _asked: page(things(next=next(count))), stream(paging=TOKEN), limits=limits) as (read, _),
        pytest.raises(PagingError, match="1,000 pages in a row"),
    ):
        ids(read)


def test_token_refused_midway_is_a_reason_to_start_again() -> None:
    """A token that aged out is its own error, so that the slice is read from its start."""
    pages = [page(things(1, next="a")), page({"error": "cursor has expired"}, 400)]
    with reading(in_turn(pages), stream(paging=TOKEN)) as (read, _), pytest.raises(PageTokenExpiredError):
        ids(read)


@pytest.mark.parametrize("path", [None, "meta.next"])
def test_next_link_is_used_as_it_is(path: str | None) -> None:
    """A next link, relative or whole, in body or header, is asked as it is: nothing is added but the key."""
    chosen = stream(paging=NextLink(path=path, size_param="n", size=9), params={"k": "v"})

    def script(asked: Asked) -> Answer:
        here = f"http://{asked.headers['host']}"
        target = {"n=9": "things?after=1%2C2", "after=1%2C2": f"{here}/v1/more?x=1", "x=1": ""}
        link = target[asked.target.partition("?")[2].removeprefix("k=v&").removesuffix("&api_key=s3cr3t")]
        if path:
            return page(things(1, next=link or None))
        header = f'<{here}/first>; rel="first", <{link}>; title="a, b"; rel="NEXT last"' if link else ""
        return page(things(1), Link=header)

    with reading(script, chosen, auth=ApiKeyQuery(secret="KEY")) as (read, server):
        assert ids(read) == [1, 1, 1]
    assert [asked.target for asked in server.asked] == [
        "/v1/things?k=v&n=9&api_key=s3cr3t",
        "/v1/things?after=1%2C2&api_key=s3cr3t",
        "/v1/more?x=1&api_key=s3cr3t",
    ]


def test_next_link_to_another_host_gets_no_credential() -> None:
    """A next link elsewhere is an error with both hosts, and the other host hears nothing."""
    with serve(in_turn([page(things(2))])) as other:
        script = in_turn([page(things(1, next=f"{other.url}/v1/things"))])
        with reading(script, stream(paging=NextLink(path="meta.next")), auth=Bearer(secret="KEY")) as (read, server):
            with pytest.raises(CrossHostError) as caught:
                ids(read)
            assert server.url in str(caught.value)
        assert other.asked == []


def test_pages_are_fetched_a_bounded_way_ahead() -> None:
    """While a batch is worked on the next pages come, but no more than a few; a dry run asks for one."""
    pages = [page(things(number, next=str(number))) for number in range(3 * AHEAD_PAGES)] + [page(things(99))]
    with reading(in_turn(pages), stream(paging=TOKEN), limits=Limits()) as (read, server):
        batches = iter(read)
        first = next(batches).fetched
        wait_for(lambda: len(server.asked) == first + AHEAD_PAGES)
        assert read.pages == first
        rest = sum(batch.fetched for batch in batches)
        assert (first + rest, read.pages) == (len(pages), len(pages))


def test_small_pages_are_decoded_together() -> None:
    """What pages have in common is read once: rows, rejects and drift are those of the pages one by one."""
    bodies = [things(number, next=str(number)) for number in range(6)] + [things(6)]
    for body in bodies:
        body["data"].append({"id": "no number", "name": "x", "at": "2024-01-01T00:00:00Z", "extra": 1})  # type: ignore[attr-defined]
    with reading(in_turn([page(body) for body in bodies]), stream(paging=TOKEN)) as (read, server):
        batches = iter(read)
        found = [next(batches)]
        wait_for(lambda: len(server.asked) == len(bodies))
        found += batches
    assert [number for batch in found for number in batch.table["id"].to_pylist()] == list(range(7))
    assert sum(len(batch.rejects) for batch in found) == read.drift.new["extra"] == read.pages == 7
    assert len(found) < 7


def test_counted_pages_are_asked_for_on_several_connections() -> None:
    """Where the API counts its records, pages by offset are asked for at once, each once, and come in order."""
    numbers = list(range(200))
    together = threading.Barrier(4, timeout=20)

    def answer(asked: Asked) -> Answer:
        offset = int(asked.query["offset"])
        if 10 <= offset < 170:
            together.wait()  # nobody goes on alone
        return page({**things(*numbers[offset : offset + 10]), "total": 200})

    with reading(answer, stream(paging=Offset(limit=10, total_path="total")), limits=Limits(max_connections=4)) as (read, server):
        assert ids(read) == numbers
    assert sorted(int(asked.query["offset"]) for asked in server.asked) == list(range(0, 201, 10))


def test_a_dry_run_asks_for_one_page() -> None:
    """However many there are."""
    pages = [page(things(1, next="a")), page(things(2))]
    with reading(in_turn(pages), stream(paging=TOKEN), max_pages=1) as (read, server):
        assert ids(read) == [1]
    assert len(server.asked) == 1


def test_snapshot_that_is_unchanged() -> None:
    """With the ETag of last time a 304 is no page and no record; a new one comes with its ETag."""
    chosen = stream(paging=Single(), conditional=True, disposition="replace")

    def script(asked: Asked) -> Answer:
        known = asked.headers.get("if-none-match") == '"v1"'
        return Answer(304, b"", {"ETag": '"v1"'}) if known else page(things(1), ETag='"v1"')

    with reading(script, chosen) as (read, _):
        assert ids(read) == [1]
        assert (read.etag, read.unchanged) == ('"v1"', False)
    with reading(script, chosen, etag='"v1"') as (read, _):
        assert ids(read) == []
        assert (read.etag, read.unchanged, read.pages) == ('"v1"', True, 0)
    with reading(in_turn([Answer(304)]), chosen) as (read, _), pytest.raises(ResponseError, match="304"):
        ids(read)
    plain = stream(disposition="replace")
    with reading(in_turn([Answer(304)]), plain, etag='"v1"') as (read, _), pytest.raises(ResponseError, match="304"):
        ids(read)


def test_304_to_the_second_asking_is_no_empty_page() -> None:
    """After a broken body, a 304 says that the snapshot is unchanged; to a request without an ETag it is an error."""
    half = Answer(200, b'{"data": [{"id": 1}', {"Content-Type": "application/json", "ETag": '"v2"'})
    chosen = stream(conditional=True, disposition="replace")
    with reading(in_turn([half, Answer(304)]), chosen, etag='"v1"') as (read, server):
        assert list(read) == []
        assert (read.unchanged, read.etag, read.pages) == (True, '"v1"', 0)
    assert len(server.asked) == 2
    with reading(in_turn([half, Answer(304)]), chosen) as (read, _), pytest.raises(ResponseError, match="304"):
        ids(read)


def test_empty_body_is_fetched_once_more() -> None:
    """A 200 without a body is asked for again, and is an error the second time; never a page without records."""
    empty = Answer(200, b"", {"Content-Type": "application/json"})
    with reading(in_turn([empty, page(things(1))]), stream()) as (read, _):
        assert ids(read) == [1]
    with reading(in_turn([empty]), stream()) as (read, server), pytest.raises(ResponseError, match="body is empty, twice"):
        ids(read)
    assert len(server.asked) == 2


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/plain"])
def test_page_for_people_is_no_page(content_type: str) -> None:
    """A login page with status 200 is an error that shows its type and its start, without the key."""
    html = Answer(200, b"<html>Please log in, s3cr3t" + b"!" * 200, {"Content-Type": content_type})
    with reading(in_turn([html]), stream(), auth=Bearer(secret="KEY")) as (read, _):
        with pytest.raises(ResponseError, match=r"content type text/.*<html>Please log in, \*\*\*!") as caught:
            ids(read)
        assert len(caught.value.what) < 200


def test_content_types_by_suffix_and_absence() -> None:
    """`+json` types are JSON; an answer without a type is taken if it decodes; an empty 204 has no record."""
    body = json.dumps(things(1)).encode()
    for answer in (Answer(200, body, {"Content-Type": "application/vnd.api+json"}), Answer(200, body)):
        with reading(in_turn([answer]), stream()) as (read, _):
            assert ids(read) == [1]
    with reading(in_turn([Answer(204)]), stream()) as (read, _):
        assert ids(read) == []


def test_broken_body_is_fetched_once_more() -> None:
    """A whole answer that is half a document is asked for again, and is an error the second time; never rows."""
    half = Answer(200, b'{"data": [{"id": 1}', {"Content-Type": "application/json"})
    with reading(in_turn([half, page(things(1))]), stream()) as (read, server):
        assert ids(read) == [1]
    assert len(server.asked) == 2
    with reading(in_turn([half]), stream()) as (read, server), pytest.raises(ResponseError, match=r"not valid JSON.*twice"):
        ids(read)
    assert len(server.asked) == 2


def test_drift_and_rejects_add_up_over_pages() -> None:
    """What was received is rows plus rejects on every page, and drift is counted over all of them."""
    bad = {"data": [{"id": "n/a", "name": "x", "at": None}, {"id": 9, "name": "y", "at": None, "new": 1}], "meta": {"next": "a"}}
    with reading(in_turn([page(bad), page(things(1))]), stream(paging=TOKEN)) as (read, _):
        batches = list(read)
    assert (sum(batch.fetched for batch in batches), read.pages) == (3, 2)
    assert all(batch.fetched == batch.table.num_rows + len(batch.rejects) for batch in batches)
    assert read.drift.retyped == {"id: expected int64, got string": 1}
    assert read.drift.new == {"new": 1}


def test_csv_by_link_header() -> None:
    """Any format pages by the Link header."""
    first = Answer(200, b"id,name,at\n1,a,\n", {"Content-Type": "text/csv", "Link": "<?page=2>; rel=next"})
    last = Answer(200, b"id,name,at\n2,b,\n", {"Content-Type": "text/csv"})
    with reading(in_turn([first, last]), stream(format=Csv(), paging=NextLink())) as (read, server):
        assert ids(read) == [1, 2]
    assert server.asked[1].target == "/v1/things?page=2"


def test_objects_keyed_by_data_do_not_grow_the_drift() -> None:
    """Fields whose names are data are counted without end, and named up to a bound."""
    body = {"data": [{"id": 1, "name": "x", "at": None, f"key_{number}": 1} for number in range(300)], "meta": {}}
    with reading(in_turn([page(body)]), stream()) as (read, _):
        assert len(ids(read)) == 300
    assert len(read.drift.new) == 200
    assert sum(read.drift.new.values()) == 300


def test_threads_share_a_client() -> None:
    """Several slices may be read at once through one client, and the usage adds up."""
    with serve(offset_script(list(range(20)))) as server:
        chosen = stream(paging=Offset(limit=5))
        where = source(server.url, chosen, QUICK)
        with SourceClient(where, lambda _name: "") as client, ThreadPoolExecutor(8) as pool:
            readings = [Reading(client, where, chosen, contract(Thing), Slice()) for _ in range(16)]
            assert list(pool.map(ids, readings)) == [list(range(20))] * 16
            assert client.usage.requests == len(server.asked) == 16 * 5
