"""A clock that ran ahead once gives no old value a place above the new ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from integration_assets import progress
from integration_assets.spec.source import Stream
from integration_assets_tests.flow.mini import Mini


@pytest.fixture
def mini(tmp_path: Path) -> Iterator[Mini]:
    """The small API."""
    with Mini(tmp_path).served() as api:
        yield api


class _Ahead(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=365)


def _pulled_ahead(mini: Mini, stream: Stream, record: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    mini.records = [record]
    with patch.context() as while_ahead:
        while_ahead.setattr(progress, "datetime", _Ahead)
        mini.pull(stream)


def test_a_table_without_a_version_follows_the_api_again(mini: Mini, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pull came later is told by the lake where the clock tells otherwise."""
    stream = mini.codes(
        disposition="merge", conditional=False, contract="integration_assets_tests.flow.mini:WiderCode", reject_threshold=0.05
    )
    _pulled_ahead(mini, stream, {"code": "a", "name": "old"}, monkeypatch)
    for name in ("new", "newer"):
        mini.records = [{"code": "a", "name": name}]
        mini.pull(stream)
        assert mini.rows("code, name", stream) == [("a", name)]


def test_a_record_that_is_corrected_without_a_new_version_is_corrected(mini: Mini, monkeypatch: pytest.MonkeyPatch) -> None:
    """The correction lands once, and stands."""
    _pulled_ahead(mini, mini.stream(), {"id": 1, "seq": 1, "value": 1}, monkeypatch)
    mini.records = [{"id": 1, "seq": 1, "value": 2}]
    assert [mini.pull()[0].accepted for _ in range(2)] == [1, 0]
    assert mini.rows() == [(1, 2)]


def test_a_snapshot_takes_the_place_of_one_from_the_future(mini: Mini, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of full snapshots the one that was committed last counts."""
    stream = mini.codes(conditional=False)
    _pulled_ahead(mini, stream, {"code": "old"}, monkeypatch)
    mini.records = [{"code": "new"}]
    mini.pull(stream)
    assert mini.rows("code", stream) == [("new",)]
