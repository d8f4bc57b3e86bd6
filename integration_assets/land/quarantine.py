"""Records that could not become rows, kept whole until the contract or the data is mended.

One Delta table per stream at `<uri>/_quarantine/<source>__<stream>`: streams that fail at the same time do not race on one
log, and each can be compacted, vacuumed or erased by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.land.lake import Lake, LakeTable
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
    ]
)
_PREVIEW = 500
_BATCH = 1_000


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


def identity(source: str, stream: str, payload: bytes, tenant: str | None = None) -> str:
    """The SHA-256 of source, stream, tenant if there is one, and payload, in hex."""
    whose = () if tenant is None else (tenant.encode(),)
    return hashlib.sha256(b"\0".join((source.encode(), stream.encode(), *whose, payload))).hexdigest()


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
    ) -> int:
        """Keep `rejects` in one commit; returns how many are new.

        A record that the same slice and contract put here before, or twice now, is kept once, so a run can be repeated.
        """
        arriving = iter(rejects)
        first = list(islice(arriving, _BATCH))
        if not first:
            return 0
        table = self.table(source, stream)
        table.prepare(SCHEMA)
        seen = _stored(table, slice_, contract_hash)
        added = 0
        with table.writer(SCHEMA) as writer:
            batch = first
            while batch:
                rows = [_row(source, stream, reject, slice_, run_id, contract_hash, partition) for reject in batch]
                fresh = {str(row["identity"]): row for row in rows if row["identity"] not in seen}
                seen.update(fresh)
                writer.write(pa.Table.from_pylist(list(fresh.values()), schema=SCHEMA))
                added += len(fresh)
                batch = list(islice(arriving, _BATCH))
            table.append(writer)
        return added

    def list(self, source: str, stream: str, limit: int = 100) -> list[Rejected]:
        """The records rejected last, newest first, each once with its newest reasons."""
        found: dict[str, Rejected] = {}
        for row in self._newest_first(source, stream):
            if row.identity not in found:
                if len(found) == limit:
                    break
                found[row.identity] = row
        return [*found.values()]

    def count(self, source: str, stream: str) -> int:
        """How many different records are in quarantine."""
        table = self.table(source, stream)
        if not table.exists():
            return 0
        names = [pc.unique(batch.column(0)) for batch in table.scan(table.snapshot_files(), ["identity"])]
        return int(pc.count_distinct(pa.chunked_array(names, pa.string())).as_py())

    def _newest_first(self, source: str, stream: str) -> Iterator[Rejected]:
        table = self.table(source, stream)
        for file in reversed(table.snapshot_files()):
            batches = list(table.scan([file]))
            for batch in reversed(batches):
                yield from (_rejected(row) for row in reversed(batch.to_pylist()))


def _row(
    source: str,
    stream: str,
    reject: Reject,
    slice_: Slice,
    run_id: str,
    contract_hash: str,
    partition: str | None,
) -> dict[str, object]:
    start, end = _ends(slice_)
    return {
        "identity": identity(source, stream, reject.payload, slice_.tenant),
        "source": source,
        "stream": stream,
        "payload": reject.payload,
        "preview": reject.payload[:_PREVIEW].decode(errors="backslashreplace"),
        "reasons": list(reject.reasons),
        "key": reject.key,
        "slice_start": start,
        "slice_end": end,
        "partition": partition,
        "tenant": slice_.tenant,
        "run_id": run_id,
        "contract_hash": contract_hash,
        "rejected_at": datetime.now(UTC),
    }


def _ends(slice_: Slice) -> tuple[str | None, str | None]:
    start, end = slice_.to_json()
    return None if start is None else str(start), None if end is None else str(end)


def _end(text: str | None) -> str | int | None:
    """A boundary as JSON has it: integers are kept as text here, like timestamps."""
    return int(text) if text is not None and text.lstrip("-").isdigit() else text


def _stored(table: LakeTable, slice_: Slice, contract_hash: str) -> set[str]:
    """The identities that the same slice and contract put here before."""
    start, end = _ends(slice_)
    wanted = (("slice_start", start), ("slice_end", end), ("contract_hash", contract_hash), ("tenant", slice_.tenant))
    found: set[str] = set()
    for batch in table.scan(table.snapshot_files(), ["identity", *(column for column, _ in wanted)]):
        masks = [
            pc.is_null(batch.column(column)) if value is None else pc.fill_null(pc.equal(batch.column(column), value), False)  # noqa: FBT003
            for column, value in wanted
        ]
        found.update(batch.column("identity").filter(reduce(pc.and_, masks)).to_pylist())
    return found


def _rejected(row: dict[str, Any]) -> Rejected:
    return Rejected(
        identity=str(row["identity"]),
        payload=bytes(row["payload"]),
        reasons=tuple(row["reasons"]),
        key=row["key"],
        slice=Slice.from_json((_end(row["slice_start"]), _end(row["slice_end"])), row["tenant"]),
        partition=row["partition"],
        run_id=str(row["run_id"]),
        contract_hash=str(row["contract_hash"]),
        rejected_at=row["rejected_at"],
    )
