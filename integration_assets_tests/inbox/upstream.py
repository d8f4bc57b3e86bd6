"""The shop whose events the tests receive: its orders by day and without days, its countries whole."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from integration_assets.spec import Cursor, Events, Partitions, Source, Stripe, Webhook
from integration_assets_tests.orchestrate.shop import source as plain

FIRST = datetime(2024, 3, 1, tzinfo=UTC)


def source(**changes: Any) -> Source:  # noqa: ANN401 - any setting of a Source
    """The shop of the orchestrate tests, with Stripe's webhooks."""
    events = Events(
        via=Webhook(signature=Stripe(secret="SHOP_HOOK", previous_secret="SHOP_HOOK_OLD"), max_bytes=20_000),
        streams={"order.*": "orders", "return.*": "returns", "country.*": "countries", "all.*": ("orders", "returns")},
    )
    shop = plain(os.environ.get("SHOP_URL", "http://127.0.0.1:1"))
    orders, returns, countries = shop.streams
    since = FIRST.date() if "SHOP_SINCE" not in os.environ else datetime.fromisoformat(os.environ["SHOP_SINCE"]).date()
    cursor = Cursor(
        field="updated_at",
        start_param="since",
        end_param="before",
        lookback=timedelta(minutes=15),
        start=datetime.combine(since, datetime.min.time(), UTC),
    )
    streams = (
        orders.changed(cursor=cursor, partitions=Partitions(every="day", start=since)),
        returns.changed(cursor=cursor, disposition="merge"),
        countries,
    )
    return plain(shop.base_url, events=events, streams=streams).changed(**changes)
