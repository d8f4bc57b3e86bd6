"""A stream whose table keeps every version, from the API to the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from integration_assets.errors import SpecError
from integration_assets.spec import Cursor, Partitions, Stream
from integration_assets_tests.flow.mini import Mini

COLUMNS = "id, value, _valid_from, _valid_to, _is_current, _deleted_at is not null"


@pytest.fixture
def mini(tmp_path: Path) -> Iterator[Mini]:
    """The API of one endpoint."""
    with Mini(tmp_path).served() as served:
        yield served


def test_what_a_record_was_can_be_asked_for_any_moment(mini: Mini) -> None:
    """Changes, a correction, a version that comes late and a deletion are one row a version, each from when until when."""
    stream = mini.stream(disposition="history")
    mini.records = [{"id": 1, "seq": 10, "value": 1}, {"id": 2, "seq": 11, "value": 2}]
    mini.pull(stream)
    mini.records = [{"id": 1, "seq": 15, "value": 5}, {"id": 1, "seq": 12, "value": 3}, {"id": 2, "seq": 11, "value": 20}]
    mini.pull(stream)
    mini.records = [{"id": 1, "seq": 17, "value": 5, "gone": True}]
    mini.pull(stream)
    mini.pull(stream)
    assert sorted(mini.rows(COLUMNS, stream)) == [
        (1, 1, 10, 12, False, False),
        (1, 3, 12, 15, False, False),
        (1, 5, 15, 17, False, True),
        (2, 20, 11, None, True, False),
    ]
    with mini.feed(stream) as (_, stores):
        asked = "select id, value from mini.items where _valid_from <= 13 and (_valid_to > 13 or _valid_to is null) order by id"
        assert stores.warehouse.query(asked).to_pylist() == [{"id": 1, "value": 3}, {"id": 2, "value": 20}]
        assert stores.warehouse.query("select * from mini.items_current").to_pylist() == [{"id": 2, "seq": 11, "value": 20}]


@pytest.mark.parametrize(
    ("changes", "field"), [({"key": ()}, "key"), ({"cursor": None}, "version"), ({"cursor": None, "version": "at"}, None)]
)
def test_a_history_needs_a_key_and_a_version(changes: dict[str, Any], field: str | None) -> None:
    """What is missing is named when the stream is described; a version is enough without a cursor."""
    given = {"name": "orders", "path": "/orders", "contract": "shop.contracts:Order", "key": ("id",), "disposition": "history"}
    given["cursor"] = Cursor(field="at", start_param="since")
    if field is None:
        assert Stream(**{**given, **changes}).version_column == "at"
        return
    with pytest.raises(SpecError, match="history needs a") as caught:
        Stream(**{**given, **changes})
    assert caught.value.field == field


def test_a_history_may_be_partitioned() -> None:
    """Partitions are pulled in any order, which a history does not mind."""
    cursor = Cursor(field="at", start_param="since")
    partitions = Partitions(start=date(2024, 1, 1))
    given = {"name": "orders", "path": "/orders", "contract": "shop.contracts:Order", "key": ("id",), "cursor": cursor}
    assert Stream(**given, partitions=partitions, disposition="history").partitions == partitions
