"""The shop whose events the tests receive."""

from __future__ import annotations

import os

from integration_assets.spec import Events, Source, Stripe, Webhook
from integration_assets_tests.orchestrate.shop import source as plain


def source() -> Source:
    """The shop of the orchestrate tests, with Stripe's webhooks for its orders and returns."""
    events = Events(
        via=Webhook(signature=Stripe(secret="SHOP_HOOK", previous_secret="SHOP_HOOK_OLD"), max_bytes=20_000),
        streams={"order.*": "orders", "return.*": "returns", "country.*": "countries"},
    )
    return plain(os.environ.get("SHOP_URL", "http://127.0.0.1:1"), events=events)
