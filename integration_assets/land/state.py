"""What the lake's commits remember of a stream: finished ranges, watermark, sequence and receipt.

Where it lives, and why it survives:

- Every commit of ours carries it as commit metadata, together with the data (law 3).
- Our maintenance commits (schema, compaction, vacuum, deletion) carry the newest state along, so that it is still there
  when older log entries are cleaned. The sequence number tells the true state from one that a maintenance commit carried
  past a newer commit: only metadata whose sequence equals the table's application transaction counts.
- Application transactions survive checkpoints and log cleaning. They hold the sequence, each tenant's watermark and whether
  ranges are finished at all; from them the state is rebuilt when every commit with metadata is gone.

Tenants whose finished ranges are equal are written together: after a sync of all of them that is most, so that a commit
stays small however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from deltalake import CommitProperties, DeltaTable, Transaction

from integration_assets.errors import LakeError
from integration_assets.land.store import Store
from integration_assets.spec.cursor import CursorValue, Slice, of
from integration_assets.spec.receipt import Receipt

META = "integration_assets"
META_RECEIPT = "integration_assets_receipt"
SEQUENCE = "integration_assets.sequence"
RANGES = "integration_assets.ranges"
ONCE = "integration_assets.once/"
WATERMARK = {"timestamp": "integration_assets.watermark.timestamp", "integer": "integration_assets.watermark.integer"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LakeState:
    """What a stream's table knows about its own progress.

    version  : the table's version this was read at; None if there is no table yet.
    sequence : how many commits of ours there were; 0 for none.
    finished : disjoint finished ranges in ascending order, tenant by tenant.
    receipt  : the newest one, None if there is none or its log entry is gone.
    latest   : the greatest time of extraction of any row, however wrong the clock was that gave it; None if that is not known.
    """

    version: int | None
    sequence: int
    finished: tuple[Slice, ...]
    etag: str | None
    content_hash: str | None
    receipt: Receipt | None
    latest: datetime | None = None


EMPTY = LakeState(None, 0, (), None, None, None)


@dataclass(frozen=True)
class Entry:
    """A commit's metadata of ours. `ticket` is unique per commit; `carried` marks a maintenance commit's copy."""

    version: int
    state: LakeState
    ticket: str
    carried: bool


def properties(
    state: LakeState, ticket: str, watermark: CursorValue | None, tenant: str | None = None, once: Iterable[str] = ()
) -> CommitProperties:
    """The commit properties that make `state` the table's own; a racing commit with the same sequence is refused.

    watermark : the one that the commit may have moved: the tenant's, or the stream's.
    once      : names of what the commit lands once and for good; each is a transaction, which outlives the log's entries.
    """
    transactions = [Transaction(SEQUENCE, state.sequence), Transaction(RANGES, len(state.finished))]
    transactions += [Transaction(f"{ONCE}{name}", 1) for name in once]
    if watermark is not None:
        kind, number = _to_number(watermark)
        transactions.append(Transaction(WATERMARK[kind] + ("" if tenant is None else f"/{tenant}"), number))
    return CommitProperties(custom_metadata=_dump(state, ticket), app_transactions=transactions)


def carry(state: LakeState) -> CommitProperties:
    """The commit properties with which a maintenance commit carries `state` along."""
    if not state.sequence:
        return CommitProperties()
    return CommitProperties(custom_metadata=_dump(state, ""))


def read_state(store: Store, table: DeltaTable | None) -> LakeState:
    """The state of an opened table. Raises `LakeError` if it has one but nothing to rebuild it from is left."""
    if table is None:
        return EMPTY
    version, sequence = table.version(), table.transaction_version(SEQUENCE) or 0
    if not sequence:
        return replace(EMPTY, version=version)
    for entry in entries(store, version):
        if entry.state.sequence == sequence:
            return replace(entry.state, version=version)
    return _rebuilt(store, table, version, sequence)


def entries(store: Store, version: int, down_to: int = 0) -> Iterator[Entry]:
    """Our commits from `version` downwards, as far as the log still goes."""
    for number in range(version, down_to - 1, -1):
        actions = store.log_entry(number)
        if actions is None:
            return
        yield from entries_in(number, actions)


def newer(store: Store, version: int) -> Iterator[Entry]:
    """Our commits after `version` upwards, up to the newest."""
    while (actions := store.log_entry(version := version + 1)) is not None:
        yield from entries_in(version, actions)


def _dump(state: LakeState, ticket: str) -> dict[str, str]:
    body = {
        "sequence": state.sequence,
        **_dump_finished(state.finished),
        "etag": state.etag,
        "content_hash": state.content_hash,
        "ticket": ticket,
    }
    if state.latest is not None:
        body["latest"] = state.latest.isoformat()
    metadata = {META: json.dumps(body, separators=(",", ":"))}
    if state.receipt:
        metadata[META_RECEIPT] = state.receipt.to_json()
    return metadata


def _dump_finished(finished: Sequence[Slice]) -> dict[str, Any]:
    """`{"finished": [[start, end], …]}`, and with tenants `"tenants": [[[tenant, …], [[start, end], …]], …]` beside it."""
    by_tenant: dict[str, list[Slice]] = {}
    for done in finished:
        if done.tenant is not None:
            by_tenant.setdefault(done.tenant, []).append(done)
    alike: dict[str, tuple[list[str], Any]] = {}
    for tenant, ranges in by_tenant.items():
        pairs = [done.to_json() for done in ranges]
        alike.setdefault(json.dumps(pairs), ([], pairs))[0].append(tenant)
    body: dict[str, Any] = {"finished": [done.to_json() for done in of(finished, None)]}
    return body | ({"tenants": list(alike.values())} if alike else {})


def _load_finished(body: Mapping[str, Any]) -> tuple[Slice, ...]:
    finished = [Slice.from_json(pair) for pair in body["finished"]]
    listed = [
        (tenant, [Slice.from_json(pair, tenant) for pair in pairs])
        for tenants, pairs in body.get("tenants", ())
        for tenant in tenants
    ]
    return (*finished, *(done for _, ranges in sorted(listed, key=itemgetter(0)) for done in ranges))


def entries_in(version: int, actions: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    """The commit of ours, if it is one, that wrote a version's `actions`."""
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    if META in info:
        yield _parse(version, info)


def _parse(version: int, info: dict[str, Any]) -> Entry:
    body = json.loads(info[META])
    text = info.get(META_RECEIPT)
    receipt = Receipt.from_json(text) if text else None
    carried = not body["ticket"]
    # A commit cannot know its own number beforehand; a carried receipt has that of its own commit.
    if receipt and not carried:
        receipt = replace(receipt, version=version)
    latest = datetime.fromisoformat(body["latest"]) if "latest" in body else None
    state = LakeState(version, body["sequence"], _load_finished(body), body["etag"], body["content_hash"], receipt, latest)
    return Entry(version, state, body["ticket"], carried)


def _rebuilt(store: Store, table: DeltaTable, version: int, sequence: int) -> LakeState:
    """The state from application transactions alone: one range up to each watermark. Ranges beyond a gap are read again."""
    finished: list[Slice] = []
    for app, number in sorted(store.transactions(version).items()):
        name, _, tenant = app.partition("/")
        for kind, mark in WATERMARK.items():
            if name == mark:
                finished.append(Slice(None, _from_number(kind, number), tenant or None))
    if not finished and table.transaction_version(RANGES) != 0:
        raise LakeError(
            f"the table at {store.uri} has had {sequence} commits, and no log entry or transaction tells its finished slices",
            remedy="Restore its _delta_log from a backup, or move the table away and sync again.",
        )
    return LakeState(version, sequence, tuple(finished), None, None, None)


def _to_number(value: CursorValue) -> tuple[str, int]:
    if isinstance(value, datetime):
        return "timestamp", (value - _EPOCH) // timedelta(microseconds=1)
    return "integer", value


def _from_number(kind: str, number: int) -> CursorValue:
    return _EPOCH + timedelta(microseconds=number) if kind == "timestamp" else number
