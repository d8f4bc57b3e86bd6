"""What travels between the stages: rows in flight, records turned away, and what the API changed."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, overload

from integration_assets.errors import LimitExceededError

if TYPE_CHECKING:
    import pyarrow as pa

DELETED = "_deleted"
"""Boolean column of a batch: the row is a tombstone, of which only key and cursor are to be trusted."""

TENANT = b"tenant"
"""Metadata of the lake's column that says whose a row is."""


MOST_REJECTS = 200_000
"""Records of a page, or of pages that go together, that may be turned away."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that cannot become a row, kept whole.

    payload : the record as received, UTF-8 bytes (JSON, or the CSV line or XML element it was).
    reasons : every reason, each `field: what is wrong`.
    key     : the record's key as text where it could be read.
    owner   : whose child it is, where the record alone does not say so: two parents may have the same one.
    """

    payload: bytes
    reasons: tuple[str, ...]
    key: str | None = None
    owner: str | None = None


def valueless(reason: str) -> str:
    """A reason without the record's value: receipts are kept for years, and a record may have to be forgotten."""
    return reason.partition(", got ")[0]


def note_reasons(known: list[str], reasons: Iterable[str], most: int = 10) -> None:
    """Add to `known` the reasons that it lacks, without the records' values, until there are so many."""
    for reason in map(valueless, reasons):
        if len(known) < most and reason not in known:
            known.append(reason)


def check_rejects(count: int, reason: str) -> None:
    """Raise `LimitExceededError` for more rejects than memory should hold; `reason` is one of theirs.

    A reject takes a thousand bytes where its record may be one: a page of 64 MiB could hold thirty million.
    """
    if count > MOST_REJECTS:
        raise LimitExceededError(
            f"more than {MOST_REJECTS:,} records that came together are turned away, one for this reason: " + valueless(reason),
            field="limits.max_page_bytes",
            remedy="Check that the stream's path, format and contract describe what the API sends, or ask for smaller pages.",
        )


@dataclass(frozen=True)
class Batch:
    """Rows that decoded, those that did not, and a way back to each row's bytes.

    table   : contract columns plus `_deleted`, one row per decoded record.
    raw     : the record each row came from, aligned with the table; may be computed on access.
    rejects : the records that did not decode.
    fetched : records received = table.num_rows + len(rejects).
    """

    table: pa.Table
    raw: Sequence[bytes]
    rejects: tuple[Reject, ...]
    fetched: int

    def filter(self, mask: pa.BooleanArray | pa.ChunkedArray) -> Batch:
        """The rows where `mask` is true, still aligned with their raw records."""
        import pyarrow.compute as pc

        kept = pc.indices_nonzero(mask)
        return Batch(self.table.take(kept), _Chosen(self.raw, kept.to_pylist()), self.rejects, self.fetched)


def combine(batches: Sequence[Batch]) -> Batch:
    """Several batches as one, in order. A single batch is returned as it is."""
    if len(batches) == 1:
        return batches[0]
    import pyarrow as pa

    return Batch(
        pa.concat_tables([batch.table for batch in batches]),
        _Chain([batch.raw for batch in batches]),
        tuple(reject for batch in batches for reject in batch.rejects),
        sum(batch.fetched for batch in batches),
    )


def chain(parts: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """Several sequences one after the other, looked up only when asked; a single one as it is."""
    return parts[0] if len(parts) == 1 else _Chain(parts)


@dataclass(frozen=True)
class _Chosen(Sequence[bytes]):
    """Some of a sequence, by position, looked up only when asked."""

    of: Sequence[bytes]
    positions: Sequence[int]

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return _Chosen(self.of, self.positions[index])
        return self.of[self.positions[index]]


class _Chain(Sequence[bytes]):
    """Several sequences one after the other, looked up only when asked."""

    def __init__(self, parts: Sequence[Sequence[bytes]]) -> None:
        self._parts = parts
        self._ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return _Chosen(self, range(len(self))[index])
        position = range(len(self))[index]
        part = bisect_right(self._ends, position)
        return self._parts[part][position - (self._ends[part - 1] if part else 0)]


@dataclass
class Drift:
    """How the API's records differ from the contract, as counts of records per field path.

    new     : fields that the contract does not know and the stream does not ignore.
    missing : contract columns that no record of a page had at all, as counts of pages' records.
    retyped : fields whose value did not fit the contract's type, keyed `path: expected X, got Y`.
    """

    new: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    retyped: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        """Whether anything drifted."""
        return bool(self.new or self.missing or self.retyped)

    def add(self, other: Drift) -> None:
        """Count `other` in."""
        self.new.update(other.new)
        self.missing.update(other.missing)
        self.retyped.update(other.retyped)

    def to_json(self) -> dict[str, dict[str, int]]:
        """`{"new": {path: records}, "missing": …, "retyped": …}`."""
        return {"new": dict(self.new), "missing": dict(self.missing), "retyped": dict(self.retyped)}

    @classmethod
    def from_json(cls, body: Mapping[str, Mapping[str, int]]) -> Drift:
        """The inverse of `to_json`."""
        return cls(Counter(body["new"]), Counter(body["missing"]), Counter(body["retyped"]))
