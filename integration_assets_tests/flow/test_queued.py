"""A receipt tells waiting for a turn under our own limits from waiting because the API asked for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from integration_assets.feed import open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Bearer, Limits, PageNumber, Receipt, Source
from integration_assets.spec.summary import outcome
from integration_assets.stores import Stores
from integration_assets.sync import sync
from integration_assets_tests.flow.mini import KEY, Mini


class Paged(Mini):
    """The same in pages of one record, by number."""

    def answer(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: ANN401
        """One record a page."""
        at = int(query["page"]) - 1
        return 200, {}, json.dumps({"data": self.records[at : at + 1]}).encode()


def test_waiting_for_the_rate_is_told_apart(tmp_path: Path) -> None:
    """Pages that a rate of ours holds back are told as queued, in the lake's receipt too, and nothing as throttled."""
    with Paged(tmp_path, [{"id": one, "seq": one, "value": one} for one in range(4)]).served() as mini:
        stream = mini.stream(paging=PageNumber(size=1))
        limits = Limits(rate=20, burst=1, max_connections=1)
        source = Source(name="mini", base_url=mini.url, auth=Bearer(secret="MINI_KEY"), streams=(stream,), limits=limits)
        environ = {
            "INTEGRATION_LAKE_URI": str(tmp_path / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(tmp_path / "warehouse.duckdb"),
            "INTEGRATION_LIMITS_URI": str(tmp_path / "limits"),
            "MINI_KEY": KEY,
        }
        settings = Settings.from_environ(environ)
        with open_feeds(source, Stores.from_settings(settings), settings) as (feed,):
            (receipt,) = sync(feed, "run")
            (in_lake,) = feed.table.receipts()
    assert receipt.accepted == 4
    assert receipt.queued > 0
    assert receipt.throttled == 0
    assert in_lake.queued == receipt.queued
    total = outcome([receipt, receipt])
    assert total is not None
    assert total.queued == 2 * receipt.queued


def test_a_receipt_from_before_is_read() -> None:
    """A commit whose receipt does not know the field is read as one that did not wait."""
    text = Receipt("shop", "orders", "run", "committed", (None, None), seconds=3.0).to_json()
    before = {name: value for name, value in json.loads(text).items() if name != "queued"}
    assert Receipt.from_json(json.dumps(before)).queued == 0.0
