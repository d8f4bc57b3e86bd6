"""The form of a recording: what a stream's API answered, and what must be in the warehouse afterwards.

    {
      "note":      where the answers come from,
      "page_size": records a page, where the spec's own would make one page of everything (optional),
      "now":       the API's clock while it was recorded, ISO 8601,
      "exchanges": [
        {"request":  {"path": "/query", "query": {"offset": "1"}},
         "response": {"status": 200, "headers": {"Content-Type": "application/json"}, "body": {…} or "text"}}, …],
      "expect":    {"rows": 90, "rejected": 1, "deleted": 0}
    }

- A request is answered by the exchange of its path that names the most of its parameters. Name only those that tell one
  page from another: never the cursor's, whose value moves with the watermark. `null` says that the parameter is absent.
- A stream with a parent has the parent's exchanges as well, as those that it begins with.
- `expect` counts rows that are live in the warehouse, records rejected by this phase's sync, and rows marked as deleted.
- `{base_url}` in a body or a header stands for the server's address, as in a next link.
- An `ETag` header makes the server answer 304 to the same `If-None-Match`.
- Changes over time are `"phases": [{"now", "exchanges", "expect"}, …]` in place of the three: one sync after the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from integration_assets.sources import source_folder
from integration_assets.spec.source import Source, Stream


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer; `query` holds only what tells it from the others."""

    path: str
    query: Mapping[str, str | None]
    status: int
    headers: Mapping[str, str]
    body: str

    def answers(self, path: str, query: Mapping[str, str]) -> bool:
        """Whether this is a recording of that request."""
        return path == self.path and all(query.get(name) == value for name, value in self.query.items())


@dataclass(frozen=True)
class Expect:
    """Live rows, rejected records and deleted rows after a phase's sync."""

    rows: int
    rejected: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Phase:
    """What the API answered at one time."""

    now: datetime
    exchanges: tuple[Exchange, ...]
    expect: Expect


@dataclass(frozen=True)
class Recording:
    """A stream's fixture file."""

    path: Path
    phases: tuple[Phase, ...]
    page_size: int | None = None
    note: str = field(default="", compare=False)


def fixture_path(source: Source, stream: Stream) -> Path:
    """Where the stream's recording is, or should be."""
    return source_folder(source.name) / "fixtures" / f"{stream.name}.json"


def load(source: Source, stream: Stream) -> Recording:
    """Read the stream's recording. AssertionError with what to add, and where, when there is none or it is malformed."""
    path = fixture_path(source, stream)
    where = f"integration_assets/sources/{source.name}/fixtures/{stream.name}.json"
    assert path.exists(), (
        f"{source.name}.{stream.name} has no recorded responses: add {where} with a few pages of real answers and the rows"
        " that must come of them, in the form that integration_assets_tests/conformance/fixtures.py describes."
    )
    content = json.loads(path.read_text(encoding="utf-8"))
    try:
        phases = tuple(_phase(part) for part in content.get("phases", [content]))
    except (KeyError, TypeError, ValueError) as error:
        message = f"{where} is malformed ({error!r}): see integration_assets_tests/conformance/fixtures.py for its form."
        raise AssertionError(message) from error
    assert phases, f"{where} has no phase: record at least one sync."
    return Recording(path, phases, content.get("page_size"), content.get("note", ""))


def _phase(part: dict[str, Any]) -> Phase:
    now = datetime.fromisoformat(part["now"])
    if now.tzinfo is None:
        message = f"now has no time zone: {part['now']}"
        raise ValueError(message)
    return Phase(now, tuple(_exchange(each) for each in part["exchanges"]), Expect(**part["expect"]))


def _exchange(part: dict[str, Any]) -> Exchange:
    request, response = part["request"], part["response"]
    body = response.get("body", "")
    query = {name: value if value is None else str(value) for name, value in request.get("query", {}).items()}
    return Exchange(
        path=request["path"],
        query=query,
        status=response.get("status", 200),
        headers=response.get("headers", {}),
        body=body if isinstance(body, str) else json.dumps(body),
    )
