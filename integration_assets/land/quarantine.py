"""Records that could not become rows, kept whole until the contract or the data is mended.

One Delta table per stream at `<uri>/_quarantine/<source>__<stream>`: streams that fail at the same time do not race on one
log, and each can be compacted, vacuumed or erased by itself. Its rows are only added, never changed: see `quarantine_rows`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError

from integration_assets.errors import LakeError, SpecError
from integration_assets.land.entries import Entry, State, Where, count_states, fold
from integration_assets.land.lake import Lake, LakeTable
from integration_assets.land.quarantine_rows import (
    PULL_COLUMNS,
    SCHEMA,
    Action,
    Pull,
    action_row,
    ends,
    identity,
    is_of,
    is_rejection,
    named,
    rejection,
)
from integration_assets.land.turns import turn
from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Reject

__all__ = ["Action", "Entry", "Pull", "Quarantine", "Rejected", "Where", "identity"]

_BATCH = 1_000
_FILES = 50
"""Files of a quarantine before they are joined."""
_WITHOUT_PAYLOAD = [name for name in SCHEMA.names if name not in {"payload", "preview", "source", "stream"}]


@dataclass(frozen=True)
class Rejected:
    """A record in quarantine. `payload` is what the API sent, byte by byte; `identity` names whose record it is, and it."""

    identity: str
    payload: bytes
    reasons: tuple[str, ...]
    key: str | None
    slice: Slice
    partition: str | None
    run_id: str
    contract_hash: str
    rejected_at: datetime


class Quarantine:
    """The quarantine of a lake. `storage_options` as for the lake."""

    def __init__(self, lake_uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        self._lake = Lake(lake_uri, storage_options)

    def table(self, source: str, stream: str) -> LakeTable:
        """The stream's quarantine as a table, for compaction, vacuum and reading."""
        return self._lake.table("_quarantine", f"{source}__{stream}")

    def add(
        self,
        source: str,
        stream: str,
        rejects: Iterable[Reject],
        slice_: Slice,
        run_id: str,
        contract_hash: str,
        partition: str | None = None,
        pulled_at: datetime | None = None,
    ) -> int:
        """Note in one commit that `rejects` were turned away; returns how many rejections are new.

        A record is kept whole once; what is noted when it comes again is that it did. What the same run noted of the same
        slice and contract before, or twice now, is noted once, so a run can be repeated.

        pulled_at : when the pull began.
        """
        arriving = list(rejects)
        if not arriving:
            return 0
        names = pa.array([identity(source, stream, one.payload, slice_.tenant, one.owner) for one in arriving], pa.string())
        table = self.table(source, stream)
        with turn(table.uri):
            table.prepare(SCHEMA)
            stored, noted = _stored(table, names, slice_, run_id, contract_hash)
            added = 0
            with table.writer(SCHEMA) as writer:
                for batch in (arriving[begin : begin + _BATCH] for begin in range(0, len(arriving), _BATCH)):
                    rows = [rejection(source, stream, one, slice_, run_id, contract_hash, partition, pulled_at) for one in batch]
                    fresh = {str(row["identity"]): row for row in rows if row["identity"] not in noted}
                    for name in fresh.keys() & stored:
                        fresh[name] |= {"payload": None, "preview": None}
                    noted.update(fresh)
                    writer.write(pa.Table.from_pylist(list(fresh.values()), schema=SCHEMA))
                    added += len(fresh)
                table.append(writer)
            _tidy(table)
        return added

    def note(self, source: str, stream: str, actions: Iterable[Action]) -> None:
        """Add actions to the log in one commit; nothing for none."""
        rows = [action_row(source, stream, action) for action in actions]
        if not rows:
            return
        table = self.table(source, stream)
        table.prepare(SCHEMA)
        with table.writer(SCHEMA) as writer:
            writer.write(pa.Table.from_pylist(rows, schema=SCHEMA))
            table.append(writer)
        _tidy(table)

    def entries(self, source: str, stream: str, where: Where | None = None, limit: int | None = None) -> list[Entry]:
        """The records that are meant, the one that something happened to last first.

        Raises `SpecError` for an identity that is cut too short, or of no record.
        """
        table = self.table(source, stream)
        if not table.exists():
            _check(source, stream, where.identities if where else (), ())
            return []
        names: Sequence[str] | None = None
        if where is not None and where.identities:
            names = _check(source, stream, where.identities, _names(table))
        elif where is None and limit is not None:
            names = _newest(table, limit)
        found = fold(row for batch in _scan(table, _WITHOUT_PAYLOAD, names) for row in batch.to_pylist())
        chosen = found if where is None else [entry for entry in found if where.holds(entry)]
        return chosen if limit is None else chosen[:limit]

    def met_before(self, source: str, stream: str, pull: Pull, committed: Collection[Pull]) -> int:
        """How many of the records that a pull rejected had come before, in another one, of those that were `committed`.

        Memory holds the identities of the pull's own rejects.
        """
        table = self.table(source, stream)
        if not table.exists():
            return 0
        columns = ["identity", "kind", *PULL_COLUMNS]
        mine, others = named([pull]), named(committed)
        found = [batch.column("identity").filter(is_of(batch, mine)) for batch in _scan(table, columns)]
        names = pc.unique(pa.chunked_array(found, pa.string()))
        met = pa.repeat(pa.scalar(value=False), len(names))
        for batch in _scan(table, columns, names):
            before = pc.and_not(is_of(batch, others), is_of(batch, mine))
            met = pc.or_(met, pc.is_in(names, value_set=batch.column("identity").filter(before)))
        return pc.sum(met).as_py() or 0

    def payloads(self, source: str, stream: str, identities: Collection[str]) -> dict[str, bytes]:
        """What the API sent, by identity."""
        found: dict[str, bytes] = {}
        if not identities:
            return found
        for batch in _scan(self.table(source, stream), ["identity", "payload", "kind"], identities):
            mine = batch.filter(pc.and_(pc.is_valid(batch.column("payload")), is_rejection(batch.column("kind"))))
            found |= dict(zip(mine.column("identity").to_pylist(), mine.column("payload").to_pylist(), strict=True))
        return found

    def list(self, source: str, stream: str, limit: int = 100) -> list[Rejected]:
        """The records that something happened to last, newest first, each once with its newest reasons."""
        entries = self.entries(source, stream, limit=limit)
        payloads = self.payloads(source, stream, [entry.identity for entry in entries])
        return [
            Rejected(
                identity=entry.identity,
                payload=payloads[entry.identity],
                reasons=entry.reasons,
                key=entry.key,
                slice=entry.slice,
                partition=entry.partition,
                run_id=entry.run_id,
                contract_hash=entry.contract_hash,
                rejected_at=entry.last_seen,
            )
            for entry in entries
        ]

    def count(self, source: str, stream: str) -> int:
        """How many different records are in quarantine, whatever became of them."""
        return sum(self.counts(source, stream).values())

    def counts(self, source: str, stream: str) -> dict[State, int]:
        """How many records are open, replayed, edited and discarded."""
        table = self.table(source, stream)
        if not table.exists():
            return count_states(())
        columns = ["identity", "kind", "rejected_at"]
        rows = (
            row
            for batch in _scan(table, columns)
            for row in zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
        )
        return count_states(rows)


def _tidy(table: LakeTable) -> None:
    """Join the table's files when they are many: each sync that sees a bad record again adds a small one."""
    if len(table.snapshot_files()) < _FILES:
        return
    try:
        table.compact()
    except LakeError as error:
        if not isinstance(error.__cause__, CommitFailedError):
            raise  # otherwise another run joins them at this moment


def _scan(
    table: LakeTable, columns: Sequence[str], identities: Collection[str] | pa.Array | None = None
) -> Iterator[pa.RecordBatch]:
    """Some of the table's columns, of all records or of some; those that an older table lacks are null."""
    there = set(table.schema().names)
    known = [name for name in columns if name in there]
    given = identities is not None and not isinstance(identities, pa.Array)
    wanted = pa.array(list(identities or ()), pa.string()) if given else identities
    for read in table.scan(table.snapshot_files(), known):
        batch = read if wanted is None else read.filter(pc.is_in(read.column("identity"), value_set=wanted))
        arrays = [batch.column(name) if name in there else pa.nulls(len(batch), SCHEMA.field(name).type) for name in columns]
        yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _names(table: LakeTable) -> list[str]:
    """The identities of all records."""
    found = [pc.unique(batch.column("identity")) for batch in _scan(table, ["identity"])]
    names: list[str] = pc.unique(pa.chunked_array(found, pa.string())).to_pylist()
    return names


def _newest(table: LakeTable, limit: int) -> list[str]:
    """The identities of the records that something happened to last."""
    rows = pa.Table.from_batches(
        list(_scan(table, ["identity", "rejected_at"])), pa.schema([SCHEMA.field("identity"), SCHEMA.field("rejected_at")])
    )
    rows = rows.append_column("place", pa.array(range(rows.num_rows), pa.int64()))
    last = rows.group_by("identity").aggregate([("rejected_at", "max"), ("place", "max")])
    ordered = last.sort_by([("rejected_at_max", "descending"), ("place_max", "descending")])
    names: list[str] = ordered.column("identity").slice(0, limit).to_pylist()
    return names


def _stored(table: LakeTable, names: pa.Array, slice_: Slice, run_id: str, contract_hash: str) -> tuple[set[str], set[str]]:
    """Of these identities those whose record is kept whole, and those that this run noted of the same slice and contract."""
    start, end = ends(slice_)
    wanted = (
        ("slice_start", start),
        ("slice_end", end),
        ("contract_hash", contract_hash),
        ("tenant", slice_.tenant),
        ("run_id", run_id),
    )
    stored: set[str] = set()
    noted: set[str] = set()
    for batch in _scan(table, ["identity", "kind", *(column for column, _ in wanted)], names):
        rejections = is_rejection(batch.column("kind"))
        stored.update(batch.column("identity").filter(rejections).to_pylist())
        masks = [
            pc.is_null(batch.column(column)) if value is None else pc.fill_null(pc.equal(batch.column(column), value), False)  # noqa: FBT003
            for column, value in wanted
        ]
        noted.update(batch.column("identity").filter(reduce(pc.and_, [rejections, *masks])).to_pylist())
    return stored, noted


def _check(source: str, stream: str, asked: Iterable[str], known: Sequence[str]) -> list[str]:
    """The whole identities of those asked for. Raises `SpecError` for one that is cut too short, or of no record."""
    whole: list[str] = []
    for name in asked:
        found = [one for one in known if one.startswith(name)]
        if len(found) != 1:
            raise SpecError(
                f"{len(found)} records have an identity that begins with {name!r}",
                source=source,
                stream=stream,
                field="identity",
                remedy=f"Write more of it; see: integration quarantine list {source}.{stream}.",
            )
        whole += found
    return whole
