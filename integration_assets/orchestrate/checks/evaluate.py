"""Which checks a step evaluates: after a pull, after a merge, or alone on what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.orchestrate.checks.account import adds_up, held, no_drift, nothing_yet, reject_ratio
from integration_assets.orchestrate.checks.moving import nothing_skipped
from integration_assets.orchestrate.checks.names import (
    ADDS_UP,
    EQUALS_LAKE,
    HELD,
    KEYS_UNIQUE,
    NO_DRIFT,
    NOTHING_SKIPPED,
    REJECT_RATIO,
    VOLUME,
)
from integration_assets.orchestrate.checks.tables import compared, equals_lake, has_key, keys_unique
from integration_assets.orchestrate.checks.volume import PAST, volume
from integration_assets.orchestrate.metadata import Metadata
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.errors import RejectThresholdError
    from integration_assets.land.lake import LakeTable
    from integration_assets.stores import Stores

_LAKE = (ADDS_UP, HELD, REJECT_RATIO, NO_DRIFT, VOLUME, NOTHING_SKIPPED)


def after_pull(
    context: dg.AssetExecutionContext,
    source: Source,
    stream: Stream,
    table: LakeTable,
    receipts: Sequence[Receipt],
    refusals: Sequence[RejectThresholdError] = (),
    rejects: Metadata | None = None,
) -> Iterator[dg.AssetCheckResult]:
    """The lake's checks over all receipts of a run; none when nothing was committed.

    refusals : slices that were refused whole. Where nothing was committed beside them, only what they tell of is evaluated.
    rejects  : a few of the records that were turned away, as people may see them.
    """
    key, wanted = lake_key(source, stream), _wanted(context, lake_key(source, stream))
    past: list[Receipt] = []
    if VOLUME in wanted and receipts:
        mine = {receipt.run_id for receipt in receipts}
        past = [receipt for receipt in table.receipts(PAST + len(receipts)) if receipt.run_id not in mine]
    evaluate: dict[str, Callable[[], dg.AssetCheckResult]] = {
        ADDS_UP: lambda: adds_up(key, receipts),
        HELD: lambda: held(key, receipts, refusals, rejects or {}),
        REJECT_RATIO: lambda: reject_ratio(key, stream, receipts, refusals),
        NO_DRIFT: lambda: no_drift(key, receipts),
        VOLUME: lambda: volume(key, source, stream, receipts, past),
        NOTHING_SKIPPED: lambda: nothing_skipped(source, stream, receipts),
    }
    told = _LAKE if receipts else (HELD, REJECT_RATIO) if refusals else ()
    yield from (evaluate[name]() for name in told if name in wanted)


def lake_alone(
    context: dg.AssetExecutionContext, source: Source, stream: Stream, table: LakeTable
) -> Iterator[dg.AssetCheckResult]:
    """The lake's checks over the last run that committed anything: what "Execute" in the catalogue asks for."""
    wanted = _wanted(context, lake_key(source, stream))
    if not wanted:
        return
    receipts = table.receipts(PAST)
    mine = [receipt for receipt in reversed(receipts) if receipt.run_id == receipts[0].run_id]
    if mine:
        yield from after_pull(context, source, stream, table, mine)
    else:
        yield from (nothing_yet(source, stream, name) for name in _LAKE if name in wanted)


def table_checks(
    context: dg.AssetExecutionContext, source: Source, stream: Stream, stores: Stores, *, whole: bool
) -> Iterator[dg.AssetCheckResult]:
    """The warehouse's checks on its table as it is.

    whole : compare all of the table with the lake, instead of what changed lately.
    """
    from integration_assets.land.warehouse import Target
    from integration_assets.spec.contract_loading import check_stream

    wanted = _wanted(context, warehouse_key(source, stream))
    if not wanted:
        return
    aim = Target.of(source, stream, check_stream(source, stream))
    if KEYS_UNIQUE in wanted:
        yield keys_unique(source, stream, stores.warehouse.doubled_keys(aim) if has_key(stream) else None)
    if EQUALS_LAKE in wanted:
        yield equals_lake(source, stream, compared(aim, stores.warehouse, stores.table(source, stream), whole=whole))


def _wanted(context: dg.AssetExecutionContext, key: dg.AssetKey) -> set[str]:
    """The names of the checks of an asset that the run was asked to evaluate."""
    return {check.name for check in context.selected_asset_check_keys if check.asset_key == key}
