"""Rows of a quarantine's table: what is kept of a rejection, and of each action that someone takes on a rejected record.

Rows are only ever added. The first rejection of a record has its payload, a later one of the same record has none, and an
action is a row as well; what a record's state is follows from its rows (`entries`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Reject

_TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("identity", pa.string()),
        ("source", pa.string()),
        ("stream", pa.string()),
        ("payload", pa.binary()),
        ("preview", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("key", pa.string()),
        ("slice_start", pa.string()),
        ("slice_end", pa.string()),
        ("partition", pa.string()),
        ("tenant", pa.string()),
        ("run_id", pa.string()),
        ("contract_hash", pa.string()),
        ("rejected_at", _TIME),
        ("pulled_at", _TIME),
        ("kind", pa.string()),
        ("actor", pa.string()),
        ("note", pa.string()),
        ("old_hash", pa.string()),
        ("new_hash", pa.string()),
        ("lake_version", pa.int64()),
    ]
)
REJECTED = "rejected"
_WHICH = ("slice_start", "slice_end", "tenant")
PULL_COLUMNS = (*_WHICH, "run_id", "pulled_at")
"""The columns that say of which pull a row is."""
Act = Literal["replayed", "replay rejected", "edited", "edit rejected", "refetched", "refetch rejected", "discarded"]
_PREVIEW = 500


class Pull(NamedTuple):
    """A slice as it was read: by which run, and since when. Runs that went on from one another all began when the first did."""

    slice: Slice
    run_id: str
    began: datetime | None


@dataclass(frozen=True)
class Action:
    """What was done with a rejected record.

    kind         : `replayed`, `edited` and `refetched` mended it, `discarded` set it aside; `… rejected` left it as it was.
    actor        : who did it.
    note         : why, or how it ended.
    reasons      : those of the new rejection.
    payload      : the edited record.
    old_hash, new_hash : SHA-256 of the record before and after an edit, in hex.
    lake_version : the lake's version that has the row; None where nothing landed.
    """

    identity: str
    kind: Act
    actor: str
    run_id: str
    contract_hash: str
    note: str | None = None
    reasons: tuple[str, ...] = ()
    payload: bytes | None = None
    old_hash: str | None = None
    new_hash: str | None = None
    lake_version: int | None = None


def identity(source: str, stream: str, payload: bytes, tenant: str | None = None, owner: str | None = None) -> str:
    """The SHA-256 of source, stream, tenant if there is one, owner if there is one, and payload, in hex."""
    whose = tuple(one.encode() for one in (tenant, owner) if one is not None)
    return hashlib.sha256(b"\0".join((source.encode(), stream.encode(), *whose, payload))).hexdigest()


def payload_hash(payload: bytes) -> str:
    """The SHA-256 of a record as it is, in hex."""
    return hashlib.sha256(payload).hexdigest()


def ends(slice_: Slice) -> tuple[str | None, str | None]:
    """A slice's boundaries as the table has them."""
    start, end = slice_.to_json()
    return None if start is None else str(start), None if end is None else str(end)


def slice_of(row: dict[str, Any]) -> Slice:
    """The slice that a row tells of: integers are kept as text there, like timestamps."""
    return Slice.from_json((_end(row["slice_start"]), _end(row["slice_end"])), row["tenant"])


def rejection(
    source: str,
    stream: str,
    reject: Reject,
    slice_: Slice,
    run_id: str,
    contract_hash: str,
    partition: str | None,
    pulled_at: datetime | None,
) -> dict[str, object]:
    """The row of a record that was turned away."""
    start, end = ends(slice_)
    return {
        "identity": identity(source, stream, reject.payload, slice_.tenant, reject.owner),
        "source": source,
        "stream": stream,
        "payload": reject.payload,
        "preview": preview(reject.payload),
        "reasons": list(reject.reasons),
        "key": reject.key,
        "slice_start": start,
        "slice_end": end,
        "partition": partition,
        "tenant": slice_.tenant,
        "run_id": run_id,
        "contract_hash": contract_hash,
        "rejected_at": datetime.now(UTC),
        "pulled_at": pulled_at,
        "kind": REJECTED,
    }


def action_row(source: str, stream: str, action: Action) -> dict[str, object]:
    """The row of an action; `rejected_at` is when it was taken."""
    return {
        "identity": action.identity,
        "source": source,
        "stream": stream,
        "payload": action.payload,
        "preview": None if action.payload is None else preview(action.payload),
        "reasons": list(action.reasons),
        "run_id": action.run_id,
        "contract_hash": action.contract_hash,
        "rejected_at": datetime.now(UTC),
        "kind": action.kind,
        "actor": action.actor,
        "note": action.note,
        "old_hash": action.old_hash,
        "new_hash": action.new_hash,
        "lake_version": action.lake_version,
    }


def named(pulls: Iterable[Pull]) -> pa.RecordBatch:
    """Pulls as rows of a quarantine name them."""
    rows = [
        {**dict(zip(_WHICH, (*ends(one.slice), one.slice.tenant), strict=True)), "run_id": one.run_id, "pulled_at": one.began}
        for one in pulls
    ]
    return pa.RecordBatch.from_pylist(rows, pa.schema([SCHEMA.field(name) for name in PULL_COLUMNS]))


def is_of(batch: pa.RecordBatch, pulls: pa.RecordBatch) -> pa.BooleanArray:
    """Which rows are rejections of one of the pulls: of its slice, and of its run or of one that it went on from."""
    same = [
        pc.and_(
            pc.is_valid(batch.column(name)),
            pc.is_in(_joined(batch, name), value_set=_joined(pulls.filter(pc.is_valid(pulls.column(name))), name)),
        )
        for name in ("run_id", "pulled_at")
    ]
    return pc.and_(is_rejection(batch.column("kind")), pc.or_(*same))


def _joined(rows: pa.RecordBatch, name: str) -> pa.Array:
    """Slice and one more column as one text a row; a null is told from every text."""
    texts = [pc.cast(rows.column(column), pa.string()) for column in (*_WHICH, name)]
    return pc.binary_join_element_wise(*texts, "\x1f", null_handling="replace", null_replacement="\x00")


def is_rejection(kinds: pa.Array) -> pa.BooleanArray:
    """Which rows are rejections and no actions, by their kind, which older tables lack."""
    return pc.or_(pc.is_null(kinds), pc.fill_null(pc.equal(kinds, REJECTED), False))  # noqa: FBT003


def preview(payload: bytes) -> str:
    """How a record begins, as text."""
    return payload[:_PREVIEW].decode(errors="backslashreplace")


def _end(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else text
