"""Several slices' receipts as one account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from integration_assets.spec.receipt import Receipt


def outcome(receipts: Sequence[Receipt]) -> Receipt | None:
    """Several slices' receipts as one account: counts summed, first and last boundary; None for none.

    Its seconds are those in which any of them was under way; those of waiting are summed over all.
    An account of several tenants has no watermark, and its warnings say whose they are.
    """
    if not receipts:
        return None
    first, last = receipts[0], receipts[-1]
    # Slices of one run need not commit in their order.
    landed = sorted((receipt for receipt in receipts if receipt.version is not None), key=lambda receipt: receipt.version or 0)
    earliest, latest = (landed[0], landed[-1]) if landed else (first, last)
    mixed = len({receipt.tenant for receipt in receipts}) > 1
    summed = {
        name: sum(getattr(receipt, name) for receipt in receipts)
        for name in (
            "pages", "resumed_pages", "requests", "retries", "bytes", "fetched", "accepted", "rejected", "duplicate", "filtered",
            "tombstones", "moved", "throttled", "queued",
        )
    }  # fmt: skip
    drift: dict[str, Counter[str]] = {}
    for receipt in receipts:
        for kind, paths in receipt.drift.items():
            drift.setdefault(kind, Counter()).update(paths)
    said = [f"{one.tenant}: {warning}" if mixed else warning for one in receipts for warning in one.warnings]
    reasons = tuple(dict.fromkeys(reason for receipt in receipts for reason in receipt.reasons))[:10]
    return replace(
        last,
        outcome="committed" if any(receipt.outcome == "committed" for receipt in receipts) else last.outcome,
        slice=(first.slice[0], last.slice[1]),
        tenant=None if mixed else last.tenant,
        watermark_before=None if mixed else earliest.watermark_before,
        watermark_after=None if mixed else latest.watermark_after,
        version=latest.version,
        seconds=_elapsed(receipts),
        reasons=reasons,
        # Plain dicts: a Counter does not survive dataclasses.asdict.
        drift={kind: dict(paths) for kind, paths in drift.items()},
        latency=dict(sum((Counter(receipt.latency) for receipt in receipts), Counter())),
        warnings=tuple(dict.fromkeys(said)),
        files=(),
        **summed,
    )


def _elapsed(receipts: Sequence[Receipt]) -> float:
    """The seconds in which at least one of the slices was under way; of those without a moment, all."""
    timed = [receipt for receipt in receipts if receipt.started_at]
    total = sum(receipt.seconds for receipt in receipts if not receipt.started_at)
    until = 0.0
    for began, seconds in sorted((datetime.fromisoformat(one.started_at).timestamp(), one.seconds) for one in timed):
        total += max(0.0, began + seconds - max(began, until))
        until = max(until, began + seconds)
    return round(total, 3)
