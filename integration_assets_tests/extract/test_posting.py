"""Streams of an API that is searched by POST."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from integration_assets.errors import SpecError
from integration_assets.extract.paging import posted
from integration_assets.spec import Cursor, Json, Limits, NoAuth, Offset, Slice, Token
from integration_assets_tests.extract.models import stream
from integration_assets_tests.extract.serving import Answer, Asked, page
from integration_assets_tests.extract.test_reading import ids, reading, things


def test_a_query_language_is_paged_by_its_variables() -> None:
    """A GraphQL search: the query stays, slice and page token go into its variables, errors in a 200 are asked again."""
    answers = [
        page({"errors": [{"type": "RATE_LIMITED"}]}),
        page({"data": {"found": things(1, 2)["data"], "page": {"end": "abc"}}}),
        page({"data": {"found": things(3)["data"], "page": {"end": None}}}),
    ]
    bodies: list[dict[str, Any]] = []

    def script(asked: Asked) -> Answer:
        bodies.append(json.loads(asked.body))
        return answers[len(bodies) - 1]

    chosen = stream(
        method="POST",
        body={"query": "query Found($since: String) { … }", "variables": {"first": 2}},
        format=Json(records="data.found"),
        cursor=Cursor(field="at", start_param="variables.since"),
        paging=Token(path="data.page.end", param="variables.after"),
    )
    limits = Limits(attempts=2, wait_initial=0.001, wait_max=0.002, retry_on_body=('"type": "RATE_LIMITED"',))
    slice_ = Slice(datetime(2023, 1, 1, tzinfo=UTC))
    with reading(script, chosen, slice_, NoAuth(), limits) as (read, server):
        assert ids(read) == [1, 2, 3]
    since = {"first": 2, "since": "2023-01-01T00:00:00Z"}
    assert [body["variables"] for body in bodies] == [since, since, {**since, "after": "abc"}]
    assert {body["query"] for body in bodies} == {"query Found($since: String) { … }"}
    assert {(asked.method, asked.path, asked.target) for asked in server.asked} == {("POST", "/v1/things", "/v1/things")}
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert keys[0] == keys[1] != keys[2]


def test_pages_by_number_are_asked_for_in_the_body() -> None:
    """Offset and limit are numbers of the body, beside the parameters of the stream."""
    numbers = list(range(5))

    def script(asked: Asked) -> Answer:
        body = json.loads(asked.body)
        assert body["kind"] == "all"
        return page(things(*numbers[body["offset"] : body["offset"] + body["limit"]]))

    chosen = stream(method="POST", params={"kind": "all"}, paging=Offset(limit=2))
    with reading(script, chosen) as (read, _):
        assert ids(read) == numbers


def test_a_body_is_never_changed_by_a_page() -> None:
    """Each page starts from the stream's own body, and a name below one that is no object makes it one."""
    body = {"a": {"b": 1}, "c": 2}
    assert posted(body, {"a.d": 3, "c.e": 4, "f": 5}) == {"a": {"b": 1, "d": 3}, "c": {"e": 4}, "f": 5}
    assert body == {"a": {"b": 1}, "c": 2}


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"body": {"a": 1}}, "a GET has no body"), ({"method": "POST", "conditional": True}, "an ETag answers a GET")],
)
def test_what_only_one_method_has_is_refused_with_the_other(settings: dict[str, Any], what: str) -> None:
    """A body with a GET and an ETag with a POST are named when the spec is made."""
    with pytest.raises(SpecError, match=what):
        stream(**settings)
