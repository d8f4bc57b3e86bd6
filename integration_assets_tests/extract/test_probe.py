"""One look at an API tells whether something changed, costs one request, and gives up soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from integration_assets.errors import AccessDeniedError, IntegrationError, ResponseError, SpecError, UpstreamUnavailableError
from integration_assets.extract.client import SourceClient
from integration_assets.extract.probe import PATIENCE, brief, look
from integration_assets.spec import ApiKeyQuery, ConditionalProbe, Limits, NoAuth, ValueProbe
from integration_assets_tests.extract.models import source
from integration_assets_tests.extract.serving import Answer, Asked, Script, Serving, in_turn, page, serve

KEY = "s3cr3t-of-a-probe"


@contextmanager
def opened(script: Script, **settings: Any) -> Iterator[tuple[SourceClient, Serving]]:  # noqa: ANN401 - any setting of a source
    """A client for looks at a server that answers by the script."""
    with serve(script) as server, SourceClient(brief(source(server.url, **settings)), lambda _name: KEY) as client:
        yield client, server


def tagged(etag: str) -> Script:
    """An API that knows its ETag, and sends a large body to whoever does not."""

    def answer(asked: Asked) -> Answer:
        if asked.headers.get("if-none-match") == etag:
            return Answer(304, headers={"ETag": etag})
        return Answer(200, b"x" * 5_000_000, {"ETag": etag})

    return answer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_etag_is_asked_with_and_its_body_is_left_unread(method: Any) -> None:  # noqa: ANN401 - a literal of the spec
    """The second look asks with the ETag of the first, hears 304 and sees the same; not even a changed body is read."""
    probe = ConditionalProbe(method=method)
    with opened(tagged('"v1"')) as (client, server):
        first = look(client, probe, "/things")
        assert look(client, probe, "/things", first) == first
        assert [asked.headers.get("if-none-match") for asked in server.asked] == [None, '"v1"']
        assert client.usage.bytes == 0
    with opened(tagged('"v2"')) as (client, server):
        assert look(client, probe, "/things", first) != first
        assert len(server.asked) == 1


def test_a_weakened_etag_is_the_same_etag() -> None:
    """A proxy that compresses weakens the tag: the data behind it did not change."""
    with opened(in_turn([page({}, ETag='W/"v1"')])) as (client, _):
        assert look(client, ConditionalProbe(), "/things", 'etag:"v1"') == 'etag:"v1"'


def test_without_an_etag_the_date_is_asked_with() -> None:
    """An API that knows only Last-Modified is asked with If-Modified-Since."""
    date = "Tue, 05 Mar 2024 10:00:00 GMT"
    with opened(in_turn([page({}, Last_Modified=date), Answer(304)])) as (client, server):
        first = look(client, ConditionalProbe(), "/things")
        assert look(client, ConditionalProbe(), "/things", first) == first
        assert server.asked[1].headers["if-modified-since"] == date


def test_neither_is_an_error_that_says_what_to_use() -> None:
    """An API with no validators cannot be probed by them; the remedy names the other probe."""
    with opened(in_turn([page({})])) as (client, _), pytest.raises(ResponseError, match="ValueProbe"):
        look(client, ConditionalProbe(), "/things")


@pytest.mark.parametrize(
    ("body", "value", "seen"),
    [
        ({"meta": {"total": 12}}, "meta.total", "12"),
        ({"data": [{"updated_at": "2024-03-05T10:00:00Z"}]}, "data[0].updated_at", "2024-03-05T10:00:00Z"),
        ({"data": []}, "data[0].updated_at", "null"),
        ({"data": [{"b": 1, "a": 2}]}, "data[0]", '{"a":2,"b":1}'),
        ([1, 2], "", "[1,2]"),
    ],
)
def test_a_value_is_found_in_the_body(body: object, value: str, seen: str) -> None:
    """A count, the newest record's cursor, no record yet, a whole object: each is a text that changes when it does."""
    probe = ValueProbe(value=value, params={"sort": "-updated_at", "limit": 1})
    with opened(in_turn([page(body)])) as (client, server):
        assert look(client, probe, "/things") == seen
        assert server.asked[0].query == {"sort": "-updated_at", "limit": "1"}


def test_a_long_value_is_kept_as_its_hash() -> None:
    """What is remembered of a whole body stays short, and differs when the body does."""
    with opened(in_turn([page(["a" * 1000]), page(["b" * 1000])])) as (client, _):
        found = [look(client, ValueProbe(value=""), "/things") for _ in range(2)]
    assert found[0] != found[1]
    assert all(text.startswith("sha256:") and len(text) < 100 for text in found)


def test_a_header_is_read_without_the_body() -> None:
    """A count in a header costs no body; an answer without the header is an error."""
    with opened(in_turn([page(["x" * 100_000], X_Total_Count="42"), page([])])) as (client, _):
        probe = ValueProbe(path="/count", header="X-Total-Count")
        assert look(client, probe, "/things") == "42"
        assert client.usage.bytes == 0
        with pytest.raises(ResponseError, match="no header X-Total-Count"):
            look(client, probe, "/things")


def test_a_value_that_is_not_there_is_an_error() -> None:
    """A renamed field is no "nothing changed": the look fails and says which path is wrong."""
    with opened(in_turn([page({"meta": {"count": 12}})])) as (client, _), pytest.raises(ResponseError, match=r"meta\.total"):
        look(client, ValueProbe(value="meta.total"), "/things")


@pytest.mark.parametrize(
    ("status", "error"), [(503, UpstreamUnavailableError), (429, UpstreamUnavailableError), (401, AccessDeniedError)]
)
def test_a_look_is_one_request_whatever_comes(status: int, error: type[IntegrationError]) -> None:
    """However many tries the source allows a page, a look that fails is not repeated."""
    with opened(in_turn([Answer(status)]), limits=Limits(attempts=9)) as (client, server):
        with pytest.raises(error):
            look(client, ValueProbe(value=""), "/things")
        assert len(server.asked) == 1


def test_how_long_the_api_wants_to_be_left_alone_is_told() -> None:
    """A Retry-After that is longer than a look may take is handed on with the error."""
    with opened(in_turn([Answer(429, headers={"Retry-After": "120"})])) as (client, _):
        with pytest.raises(UpstreamUnavailableError) as caught:
            look(client, ValueProbe(value=""), "/things")
        assert caught.value.retry_after == 120


def test_a_silent_api_is_given_up_soon() -> None:
    """The limits of a look stay within seconds, and one that gets no answer ends with an error."""
    limits = brief(source("http://127.0.0.1:1", limits=Limits(read_timeout=600, retry_timeout=3600))).limits
    assert limits.connect_timeout + limits.read_timeout <= PATIENCE
    assert limits.retry_timeout <= PATIENCE
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()
        where = source(f"http://127.0.0.1:{silent.getsockname()[1]}", limits=Limits(read_timeout=0.2))
        with SourceClient(brief(where), lambda _name: "") as client, pytest.raises(UpstreamUnavailableError):
            look(client, ValueProbe(value=""), "/things")


def test_the_credential_is_in_no_value() -> None:
    """An API that echoes the key does not get it into a cursor that everyone may read."""
    with opened(in_turn([page({"you": KEY})]), auth=ApiKeyQuery(secret="PROBE_KEY")) as (client, _):
        assert look(client, ValueProbe(value="you"), "/things") == "***"


@pytest.mark.parametrize("wrong", [{}, {"value": "a", "header": "b"}, {"value": "a..b"}])
def test_a_probe_without_one_place_to_look_at_is_refused(wrong: dict[str, str]) -> None:
    """A probe names one value or one header."""
    with pytest.raises(SpecError):
        ValueProbe(**wrong)


def test_a_source_s_probe_names_its_path() -> None:
    """A source has no path of its own that its probe could ask."""
    with pytest.raises(SpecError, match="needs a path"):
        source("http://127.0.0.1:1", auth=NoAuth(), probe=ConditionalProbe())
