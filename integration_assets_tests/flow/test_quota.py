"""A quota that ends in the middle of a sync: what was committed stays, and a later run goes on from there."""

from __future__ import annotations

from itertools import pairwise

from integration_assets.errors import QuotaSpentError
from integration_assets.feed import open_feeds
from integration_assets.settings import Settings
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Limits
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets_tests.flow.world import World


def pull(world: World, quota: int) -> tuple[list[Receipt], QuotaSpentError | None]:
    """Sync the flights under a quota and merge what landed; the receipts, and the error that ended it."""
    settings = Settings.from_environ(world.environ)
    stores = Stores.from_settings(settings)
    source = world.source.changed(limits=Limits(daily_quota=quota, quota_reserve=0))
    receipts: list[Receipt] = []
    ended = None
    with open_feeds(source, stores, settings, [source.stream("flights")]) as (feed,):
        try:
            for receipt in sync(feed, "run"):
                receipts.append(receipt)  # noqa: PERF402 - those before an error count
        except QuotaSpentError as error:
            ended = error
        merge(feed, stores, "run")
    return receipts, ended


def asked_of(world: World) -> int:
    """How many requests the upstream has seen."""
    return sum(sum(counts.values()) for counts in world.upstream.requests().values())


def test_a_spent_quota_keeps_what_was_committed(world: World) -> None:
    """A run commits what the day's quota allows and says when the next day is; one with more quota goes on from there."""
    first, ended = pull(world, quota=5)
    assert ended is not None
    assert (ended.source, ended.stream) == ("nyc_ops", "flights")
    assert 0 < (ended.retry_after or 0) <= 86_400
    assert 0 < len(world.rows("flights")) <= sum(receipt.accepted for receipt in first)
    asked = asked_of(world)
    assert asked <= 5

    again, ended = pull(world, quota=5)
    assert (again, type(ended)) == ([], QuotaSpentError)
    assert asked_of(world) == asked

    rest, ended = pull(world, quota=1000)
    assert ended is None
    assert rest[0].slice[0] is not None
    landed = sorted((one for one in [*first, *rest] if one.version is not None), key=lambda one: one.version or 0)
    assert all(later.watermark_before == earlier.watermark_after for earlier, later in pairwise(landed))
    assert world.rows("flights") == world.truth("flights")
