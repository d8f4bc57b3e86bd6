"""Errors that an API tells of in a body with status 200, as GraphQL does: never an empty list, and never a whole one."""

from __future__ import annotations

from typing import Any

import pytest

from integration_assets.errors import IntegrationError, RescheduleError, ResponseError
from integration_assets.spec import Json
from integration_assets_tests.extract.models import stream
from integration_assets_tests.extract.serving import in_turn, page
from integration_assets_tests.extract.test_reading import reading

TIRED = [{"message": "the backend is\ntired", "path": ["items"]}]
NO_FIELD = [{"message": "no field 'item'"}]
THING = {"id": 1, "name": "x", "at": None}


def _read(body: object, records: str = "data.items") -> list[Any]:
    with reading(in_turn([page(body)]), stream(format=Json(records=records))) as (read, _):
        return [number for batch in read for number in batch.table["id"].to_pylist()]


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (
            {"data": {"items": None}, "errors": TIRED},
            RescheduleError,
            "in place of the records: the backend is tired. A later run",
        ),
        ({"data": None, "errors": TIRED}, RescheduleError, "in place of"),
        ({"data": {"items": [THING]}, "errors": TIRED}, RescheduleError, "beside the records: the backend is tired"),
        ({"errors": NO_FIELD}, ResponseError, "no field 'item'. Check the stream's path, params and body"),
        ({"errors": {"key": "s3cr3t"}}, ResponseError, "in place of"),
    ],
)
def test_errors_in_a_body_are_errors(body: object, kind: type[IntegrationError], said: str) -> None:
    """The API's own words are told; what may pass waits for a later run, and a wrong request for somebody."""
    with pytest.raises(kind, match=said):
        _read(body)


def test_no_errors_are_no_errors() -> None:
    """An empty list of errors says nothing, and elsewhere a list of records may have errors beside it."""
    assert _read({"data": {"items": [THING]}, "errors": []}) == [1]
    assert _read({"data": {"items": None}, "errors": None}) == []
    assert _read({"items": [THING], "errors": ["2 others were left out"]}, "items") == [1]
