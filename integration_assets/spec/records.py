"""What travels between the stages: rows in flight, records turned away, and what the API changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

DELETED = "_deleted"
"""Boolean column of a batch: the row is a tombstone, of which only key and cursor are to be trusted."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that cannot become a row, kept whole.

    payload : the record as received, UTF-8 bytes (JSON, or the CSV line or XML element it was).
    reasons : every reason, each `field: what is wrong`.
    key     : the record's key as text where it could be read.
    """

    payload: bytes
    reasons: tuple[str, ...]
    key: str | None = None


@dataclass(frozen=True)
class Batch:
    """Rows that decoded, those that did not, and a way back to each row's bytes.

    table   : contract columns plus `_deleted`, one row per decoded record.
    raw     : the record each row came from, aligned with the table; may be computed on access.
    rejects : the records that did not decode.
    fetched : records received = table.num_rows + len(rejects).
    """

    table: pyarrow.Table
    raw: Sequence[bytes]
    rejects: tuple[Reject, ...]
    fetched: int


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
