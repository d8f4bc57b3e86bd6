"""Whether a list that was read by number moved while it was read: what an API's form cannot rule out, seen when it happens."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from integration_assets.orchestrate.checks.names import NOTHING_SKIPPED
from integration_assets.orchestrate.metadata import bullets
from integration_assets.orchestrate.specs import lake_key
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

_SHOWN = 10


def nothing_skipped(source: Source, stream: Stream, receipts: Sequence[Receipt]) -> dg.AssetCheckResult:
    """A warning when records may be missing from a slice; green again after a pull that saw the list hold still."""
    moved = [receipt for receipt in receipts if receipt.moved]
    pages = sum(receipt.moved for receipt in moved)
    said = [f"[{receipt.slice[0] or '…'}, {receipt.slice[1] or '…'})" for receipt in moved]
    many = f"{len(moved)} slices" if len(moved) > 1 else "1 slice"
    return dg.AssetCheckResult(
        asset_key=lake_key(source, stream),
        check_name=NOTHING_SKIPPED,
        passed=not moved,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"The list moved at {pages} {'pages' if pages > 1 else 'page'} of {many} while it was read by"
            f" {stream.paging.kind.replace('_', ' ')}, the first {said[0]}: records may be missing. Pull it again when the API is"
            " quiet; for good, read by a page token, in smaller slices or with an overlap."
            if moved
            else "The list showed no sign of moving while it was read, or held still when it was read a second time."
        ),
        metadata={
            "pages that moved": pages,
            "slices": len(receipts),
            **({"slices that moved": dg.MetadataValue.md(bullets(said[:_SHOWN]))} if moved else {}),
        },
    )
