"""What a run would pull, said without pulling it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.orchestrate.metadata import bullets, receipt_metadata
from integration_assets.orchestrate.modes import Wanted
from integration_assets.orchestrate.parts import Part
from integration_assets.orchestrate.specs import lake_key
from integration_assets.spec.cursor import steps

if TYPE_CHECKING:
    from integration_assets.feed import Feed
    from integration_assets.spec.receipt import Receipt

_SHOWN = 20


def dry_run(feed: Feed, wanted: Wanted, parts: Sequence[Part], context: dg.AssetExecutionContext) -> dg.AssetObservation:
    """Ask for one page of the first part; an observation with the plan and that page's account. Nothing is written."""
    plan = [line for part in parts for line in planned(feed, part)]
    receipts = list(_one_page(feed, wanted, parts[0], context.run.run_id)) if parts else []
    shown = [*plan[:_SHOWN], *(["…"] if len(plan) > _SHOWN else [])]
    for line in [f"dry run: {len(plan):,} slices would be pulled", *shown]:
        context.log.info(line)
    return dg.AssetObservation(
        lake_key(feed.source, feed.stream),
        metadata={
            "dry run": dg.MetadataValue.md(bullets(shown) or "nothing would be pulled"),
            "slices": len(plan),
            **(receipt_metadata(receipts[0], partitioned=False) if receipts else {}),
        },
    )


def planned(feed: Feed, part: Part) -> list[str]:
    """The slices of a part: its partition, or the steps of its range."""
    from integration_assets.planning import plan_slice

    if part.key is not None:
        return [f"{part.label}, of it {part.span}" if part.span else str(part.label)]
    whole = plan_slice(feed, None, part.span, part.tenant)
    return [str(step) for step in steps(feed.stream.cursor, whole) if not step.empty]


def _one_page(feed: Feed, wanted: Wanted, part: Part, run_id: str) -> list[Receipt]:
    from integration_assets.sync import sync

    return list(
        sync(
            feed,
            run_id,
            partitions=None if part.key is None else [part.key],
            span=part.span,
            tenants=None if part.tenant is None else [part.tenant],
            afresh=wanted.afresh,
            dry_run=True,
        )
    )
