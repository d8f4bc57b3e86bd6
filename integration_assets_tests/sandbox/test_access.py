"""Keys, limits, headers, counts and the API's own description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import jsonschema  # type: ignore[import-untyped, unused-ignore]  # it ships no types
import pytest

if TYPE_CHECKING:
    from integration_assets.sandbox.process import SandboxProcess


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic sandbox-key", "Bearer"])
def test_without_the_key_it_is_401(sandbox: SandboxProcess, header: str | None) -> None:
    """A missing, wrong or differently schemed key is refused with a challenge and a JSON error."""
    headers = {"Authorization": header} if header else {}
    answer = httpx.get(f"{sandbox.url}/v1/flights", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_rate_limit_answers_429_with_how_long_to_wait(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """The bucket holds its rate, then refuses with Retry-After in whole seconds; headers count down."""
    sandbox.rate_limit(0.5)
    first, second = client.get("/v1/airlines"), client.get("/v1/airlines")
    assert (first.status_code, first.headers["X-RateLimit-Limit"]) == (200, "1")
    assert (first.headers["X-RateLimit-Remaining"], first.headers["X-RateLimit-Reset"]) == ("0", "2")
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limited")
    assert second.headers["Retry-After"] in {"1", "2"}


def test_every_answer_has_its_own_request_id(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """Good, bad and unknown requests are all numbered, and no number comes twice."""
    paths = ["/v1/airlines", "/v1/nothing", "/healthz", "/nowhere", "/admin/clock", "/openapi.json"]
    answers = [client.get(path) for path in paths]
    answers.append(httpx.get(f"{sandbox.url}/v1/airlines", trust_env=False))
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)
    assert [answer.status_code for answer in answers] == [200, 404, 200, 404, 200, 200, 401]


def test_gzip_only_when_accepted(client: httpx.Client) -> None:
    """A client that accepts gzip gets it, one that does not gets the same content plain."""
    packed = client.get("/v1/planes", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/v1/planes", headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content


def test_only_get(client: httpx.Client) -> None:
    """A write is refused."""
    answer = client.post("/v1/flights")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_requests_are_counted(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """Counts are kept per path and status, admin requests not among them."""
    for _ in range(3):
        client.get("/v1/airlines")
    client.get("/v1/flights", params={"limit": "0"})
    assert sandbox.requests() == {"/v1/airlines": {"200": 3}, "/v1/flights": {"400": 1}}


def test_health(client: httpx.Client) -> None:
    """The health check needs no key."""
    assert client.get("/healthz", headers={"Authorization": ""}).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/clock", '{"now": "noon"}'),
        ("/admin/clock", '{"speed": -1}'),
        ("/admin/clock", '{"sped": 1}'),
        ("/admin/faults", '[{"path": "/v1", "kind": "gremlin"}]'),
        ("/admin/faults", '[{"path": "/v1", "kind": "bad_rows"}]'),
        ("/admin/faults", '[{"path": "/v1", "kind": "empty", "rate": 2}]'),
    ],
)
def test_admin_refuses_nonsense(client: httpx.Client, path: str, body: str) -> None:
    """A malformed admin request is a 400 that says why."""
    answer = client.put(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_openapi_describes_what_is_served(sandbox: SandboxProcess, client: httpx.Client) -> None:
    """Real answers validate against the served OpenAPI 3.1 document, and every record has exactly its fields."""
    document: dict[str, Any] = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert document["security"] == [{"bearer": []}]
    assert set(document["paths"]) == {f"/v1/{name}" for name in ("flights", "weather", "airports", "airlines", "planes")}
    for name in ("flights", "airlines", "planes"):
        operation = document["paths"][f"/v1/{name}"]["get"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator(document | schema).validate(client.get(f"/v1/{name}").json())
    schemas = document["components"]["schemas"]
    for stream, schema_name in (("flights", "Flight"), ("weather", "Observation"), ("airports", "Airport")):
        validator = jsonschema.Draft202012Validator(document | schemas[schema_name])
        rows = sandbox.truth(stream)
        assert {tuple(row) for row in rows} == {tuple(rows[0])}
        assert set(rows[0]) == set(schemas[schema_name]["required"])
        for row in rows[::37]:
            validator.validate(row)


def test_openapi_declares_every_parameter(client: httpx.Client) -> None:
    """Every declared parameter is accepted by its endpoint."""
    document: dict[str, Any] = client.get("/openapi.json").json()
    sample = {"string": "2013-01-05T00:00:00Z", "integer": "1"}
    for path, methods in document["paths"].items():
        declared = [one for one in methods["get"]["parameters"] if one["in"] == "query" and one["name"] != "cursor"]
        params = {one["name"]: sample[one["schema"]["type"]] for one in declared}
        assert client.get(path, params=params).status_code == 200, path
