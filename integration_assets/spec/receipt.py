"""The account of one slice. It travels in the lake's commit; Dagster's metadata is a copy of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

REPLAYED = "replayed"
SWEPT = "swept"
NO_SLICE = frozenset({REPLAYED, SWEPT})
"""Outcomes of commits that pulled no slice, finish none and clash with none that is pulled."""
OUTCOMES = ("committed", "unchanged", "empty", "taken", "dry-run", REPLAYED, SWEPT)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one slice asked for, got and did with it.

    outcome   : `committed` (rows landed), `empty` (nothing new, the frontier may have moved), `unchanged` (the API said
                304, or the same snapshot again), `taken` (another run committed the slice first), `dry-run`, or `replayed`
                (records from quarantine landed, which finishes no slice), or `swept` (a sweep's findings landed).
    slice     : `[start, end]` as JSON; timestamps as ISO 8601 text, None is open.
    tenant    : whose slice it is, where the stream has tenants; the watermarks are then that tenant's.
    watermark_before, watermark_after : the stream's contiguous frontier around this commit.
    resumed_pages : how many of the pages an earlier run had pulled, which could not finish the slice. Counts, seconds and
                `started_at` are then of all the runs that had a part in it; what each was asked to do twice is in `requests`.
    fetched   : records received = accepted + rejected + duplicate + filtered.
    filtered  : records outside the slice, which belong to another one.
    reasons   : the first ten different reasons of rejects, without the records' values.
    tombstones: how many of the accepted records said that a record is gone.
    bytes     : body bytes after decompression; wire_bytes as transferred.
    latency   : answers by their duration: upper edge in milliseconds, as text -> how many.
    clock_offset : seconds by which the API's clock was ahead of this machine's; 0 where it was not asked.
    seconds   : wall time; throttled: seconds of it spent waiting as the API asked.
    queued    : seconds that requests waited for a turn under our own limits (rate, slots, quota) before they were sent, summed
                over the connections that waited at once. The rest of `seconds` is the API's, the wire's and our own work.
    moved     : pages at which records may have been passed over, because the list was read by number and moved meanwhile; 0
                where a second reading of it held still.
    sweep     : the account of the sweep, a `SweepReceipt` as JSON; empty for any other commit.
    mask_key  : the name of the key that masked columns were hashed with; empty where none were.
    version   : the lake's version this receipt is in; None when nothing was committed.
    """

    source: str
    stream: str
    run_id: str
    outcome: str
    slice: tuple[str | int | None, str | int | None]
    partition: str | None = None
    tenant: str | None = None
    watermark_before: str | int | None = None
    watermark_after: str | int | None = None
    pages: int = 0
    resumed_pages: int = 0
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    fetched: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicate: int = 0
    filtered: int = 0
    tombstones: int = 0
    moved: int = 0
    seconds: float = 0.0
    throttled: float = 0.0
    queued: float = 0.0
    latency: Mapping[str, int] = field(default_factory=dict)
    clock_offset: float = 0.0
    contract: str = ""
    contract_hash: str = ""
    code_version: str = ""
    started_at: str = ""
    finished_at: str = ""
    drift: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    endpoint: str = ""
    etag: str | None = None
    content_hash: str | None = None
    sweep: Mapping[str, Any] = field(default_factory=dict)
    mask_key: str = ""
    version: int | None = None

    @property
    def adds_up(self) -> bool:
        """Law 1: every record fetched is accounted for."""
        return self.fetched == self.accepted + self.rejected + self.duplicate + self.filtered

    def latency_ms(self, share: float) -> int | None:
        """The duration, in milliseconds, within which that share of the answers came, to a fifth; None without an answer."""
        total, counted = sum(self.latency.values()), 0
        for edge, count in sorted((int(edge), count) for edge, count in self.latency.items()):
            counted += count
            if counted >= share * total:
                return edge
        return None

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """The inverse of `to_json`; unknown fields of a later version are left out."""
        values: dict[str, Any] = json.loads(text)
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known["slice"] = tuple(known["slice"])
        known |= {name: tuple(known.get(name, ())) for name in ("reasons", "warnings", "files")}
        return cls(**known)
