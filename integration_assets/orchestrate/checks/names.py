"""The checks of a stream's two assets: what each holds, in the words that the catalogue shows. docs/checks.md says what to do."""

from __future__ import annotations

import dagster as dg

from integration_assets.orchestrate.freshness import frontier_limits, pull_limits
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.paging import Offset, PageNumber
from integration_assets.spec.source import Source, Stream

ADDS_UP = "accounting_adds_up"
HELD = "contract_held"
REJECT_RATIO = "reject_ratio"
NO_DRIFT = "no_drift"
VOLUME = "volume"
NOTHING_SKIPPED = "nothing_skipped"
KEYS_UNIQUE = "keys_unique"
EQUALS_LAKE = "equals_lake"
FRESHNESS = "freshness"
FRONTIER_LAG = "frontier_lag"


def check_specs(source: Source, stream: Stream) -> list[dg.AssetCheckSpec]:
    """The checks of a run that has pulled and merged. None blocks: what must not pass is refused before the commit."""
    lake, warehouse = lake_key(source, stream), warehouse_key(source, stream)
    return [
        dg.AssetCheckSpec(ADDS_UP, asset=lake, description="Each record fetched is accepted, rejected, duplicate or filtered."),
        dg.AssetCheckSpec(HELD, asset=lake, description="No record was turned away by the contract. Those that were are kept."),
        dg.AssetCheckSpec(
            REJECT_RATIO,
            asset=lake,
            description=f"The share of records turned away stays well under {stream.reject_threshold:.1%} of every slice, beyond"
            " which nothing of the slice is committed.",
        ),
        dg.AssetCheckSpec(
            NO_DRIFT, asset=lake, description="The API's records have the fields and types that the contract names."
        ),
        dg.AssetCheckSpec(
            VOLUME,
            asset=lake,
            description="As many records came as usual, as the stream's own past slices of the same kind tell.",
        ),
        *([_nothing_skipped(stream.paging.kind, lake)] if isinstance(stream.paging, PageNumber | Offset) else []),
        dg.AssetCheckSpec(KEYS_UNIQUE, asset=warehouse, description="No key is there twice in the warehouse's table."),
        dg.AssetCheckSpec(
            EQUALS_LAKE,
            asset=warehouse,
            description="The table has the rows that the lake says it must have, by their number and a hash of keys and versions:"
            " after a merge those of the newest two days of versions, executed alone all of them.",
        ),
    ]


def _nothing_skipped(kind: str, lake: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        NOTHING_SKIPPED,
        asset=lake,
        description=f"The list showed no sign of moving while it was read by {kind.replace('_', ' ')}, which could hide records.",
    )


def standing_specs(source: Source, stream: Stream) -> list[dg.AssetCheckSpec]:
    """The checks that time alone can fail, so they are evaluated when nothing runs too. Of what the warehouse shows."""
    asset, found = warehouse_key(source, stream), []
    if (pulled := pull_limits(source, stream)) is not None:
        found.append(
            dg.AssetCheckSpec(
                FRESHNESS, asset=asset, description=f"The stream was pulled and merged lately: warns after {pulled.warn_after}."
            )
        )
    if (frontier := frontier_limits(source, stream)) is not None:
        found.append(
            dg.AssetCheckSpec(
                FRONTIER_LAG,
                asset=asset,
                description="All that the API showed up to lately is in the table, without a gap: warns when the frontier is"
                f" {frontier.warn_after} behind. A backfill of an old day does not move it.",
            )
        )
    return found


def standing_keys(source: Source) -> list[dg.AssetCheckKey]:
    """The keys of a source's standing checks."""
    return [spec.key for stream in source.streams for spec in standing_specs(source, stream)]
