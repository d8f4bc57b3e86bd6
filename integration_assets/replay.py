"""What becomes of records in quarantine: replayed, edited, refetched or discarded, each noted in the quarantine's log.

A stored record goes the way of a pulled one: the stream's decoder, its gate, its masks, one commit to the lake. That commit
carries the names of the records it lands, and no commit that has one of them again is accepted: whatever is killed,
repeated or raced, a record lands once. The note that it landed follows the commit; where it is missing, the next replay finds
the names in the lake and only writes the note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.errors import IntegrationError, ReplanError, SpecError
from integration_assets.extract.stored import decode_stored, undecodable
from integration_assets.feed import Feed
from integration_assets.land.quarantine import Action, Entry, Quarantine, identity
from integration_assets.land.quarantine_rows import REJECTED, payload_hash
from integration_assets.land.state import LakeState
from integration_assets.masks import check_key
from integration_assets.parents import around, left_out
from integration_assets.receipts import new_receipt
from integration_assets.spec.cursor import Slice
from integration_assets.spec.receipt import REPLAYED, Receipt
from integration_assets.spec.records import DELETED, note_reasons
from integration_assets.spec.source import Source, Stream
from integration_assets.stages import gate_of, judge, schema_of, seen_before
from integration_assets.sync import sync
from integration_assets.transform.technical import stamp

AT_ONCE = 1_000
"""Records of one commit."""
_NAME = 32
_TRIES = 3
_THERE = "the lake has it already"
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Stored:
    """A record to land. `seen_at`: when the API showed it; among equal versions the one that was seen last stands."""

    identity: str
    payload: bytes
    seen_at: datetime


@dataclass(frozen=True)
class Landed:
    """What became of some records: one receipt, who was there already, and who was turned away and why."""

    receipt: Receipt
    there: frozenset[str]
    rejected: Mapping[str, tuple[str, ...]]


def check_replayable(source: Source, stream: Stream, feed: Feed | None = None) -> None:
    """Raises `SpecError` for a stream whose records cannot be landed one by one, saying to refetch them."""
    why = undecodable(stream, feed.contract) if feed else None
    if stream.disposition == "replace":
        why = "a full snapshot takes the table's place, so no record of an earlier one is added to it"
    if why:
        raise SpecError(why, source=source.name, stream=stream.name, remedy="Use refetch: it pulls the record's slice again.")


def replay(feed: Feed, run_id: str, entries: Sequence[Entry], actor: str, *, dry_run: bool = False) -> Iterator[Receipt]:
    """Run stored records again, in commits of a thousand; yields a receipt for each, whether or not anything landed.

    What is turned away again stays open, with the new reasons. The watermark stays where it is.
    dry_run : say what would happen and write nothing.
    Raises the errors of `integration_assets.errors` with source and stream filled in; what was committed before stays.
    """
    source, stream = feed.source.name, feed.stream.name
    check_replayable(feed.source, feed.stream, feed)
    for tenant, mine in _by_tenant(entries).items():
        for start in range(0, len(mine), AT_ONCE):
            some = {entry.identity: entry for entry in mine[start : start + AT_ONCE]}
            payloads = feed.quarantine.payloads(source, stream, some)
            records = [Stored(name, payloads[name], _seen_at(entry)) for name, entry in some.items() if name in payloads]
            landed = land(feed, run_id, records, tenant, dry_run=dry_run)
            if not dry_run:
                feed.quarantine.note(source, stream, _noted(feed, landed, some.values(), actor, run_id))
            yield landed.receipt


def edit(feed: Feed, run_id: str, entry: Entry, payload: bytes, reason: str, actor: str) -> Landed:
    """Land a mended record in place of one in quarantine, which is kept as it came; both are in the log with who and why.

    payload : the whole record. When the gate turns it away nothing lands, and the entry stays as it was.
    Raises `SpecError` where there is nothing to edit, or no reason.
    """
    source, stream = feed.source, feed.stream
    check_replayable(source, stream, feed)
    _need(source, stream, reason)
    if entry.state == "replayed":
        raise SpecError(
            f"the record {entry.identity[:12]} landed as it is",
            source=source.name,
            stream=stream.name,
            remedy="What landed is corrected at the API, and pulled again.",
        )
    old = feed.quarantine.payloads(source.name, stream.name, [entry.identity])[entry.identity]
    new = feed.client.redact(payload).strip()
    if new == old:
        raise SpecError("the record is as it was", source=source.name, stream=stream.name, remedy="Change it, or replay it.")
    edits = [event for event in entry.history if event.kind == "edited"]
    if edits and not stream.key:
        raise SpecError(
            f"the record {entry.identity[:12]} landed as it was edited, and has no key by which another edit would replace it",
            source=source.name,
            stream=stream.name,
            field="key",
            remedy="Correct it where the table is read.",
        )
    # Which edit it is, so that one that goes back to an earlier text lands as well, and one that is repeated does not.
    name = identity(source.name, stream.name, new, entry.slice.tenant, f"{entry.identity} {len(edits)}")
    landed = land(feed, run_id, [Stored(name, new, _seen_at(entry))], entry.slice.tenant)
    before = edits[-1].new_hash if edits else None
    action = Action(
        identity=entry.identity,
        kind="edit rejected" if landed.rejected else "edited",
        actor=actor,
        run_id=run_id,
        contract_hash=feed.contract.hash,
        note=reason,
        reasons=landed.rejected.get(name, ()),
        payload=new,
        old_hash=before or payload_hash(old),
        new_hash=payload_hash(new),
        lake_version=landed.receipt.version,
    )
    feed.quarantine.note(source.name, stream.name, [action])
    return landed


def refetch(feed: Feed, run_id: str, entries: Sequence[Entry], actor: str) -> Iterator[Receipt]:
    """Pull the slices of some entries again, as `sync` pulls a range; yields a receipt for each slice.

    A record that the API does not show any more as it was, or that now holds, is settled; one that is turned away again stays
    open.
    Raises what `sync` raises, and `SpecError` for rows that would land twice; the slices pulled before stay.
    """
    source, stream = feed.source.name, feed.stream.name
    _check_refetchable(feed.source, feed.stream)
    for slice_ in _widest([entry.slice for entry in entries]):
        span = replace(slice_, tenant=None) if feed.stream.cursor else None
        tenants = None if slice_.tenant is None else [slice_.tenant]
        for receipt in sync(feed, run_id, span=span, tenants=tenants, afresh=True):
            late = left_out(feed.source, feed.stream, slice_) if receipt.version is not None else ()
            yield replace(receipt, warnings=(*receipt.warnings, *late))
        mine = [entry.identity for entry in entries if slice_.covers(entry.slice)]
        again = {
            entry.identity
            for entry in feed.quarantine.entries(source, stream)
            if any(event.run_id == run_id and event.kind == REJECTED for event in entry.history)
        }
        feed.quarantine.note(
            source,
            stream,
            [
                Action(
                    identity=name,
                    kind="refetch rejected" if name in again else "refetched",
                    actor=actor,
                    run_id=run_id,
                    contract_hash=feed.contract.hash,
                    note=f"{slice_} was pulled again",
                )
                for name in mine
            ],
        )


def _check_refetchable(source: Source, stream: Stream) -> None:
    if stream.disposition == "append" and not stream.key:
        raise SpecError(
            "the good records of the slice have no key, and would land once more beside what the lake has",
            source=source.name,
            stream=stream.name,
            field="key",
            remedy="Replay or edit the record; where its format does not allow that, discard it.",
        )


def discard(
    quarantine: Quarantine, source: Source, stream: Stream, entries: Iterable[Entry], reason: str, actor: str, run_id: str
) -> int:
    """Set open entries aside for good: they are kept, and no longer counted as open. Returns how many.

    Raises `SpecError` without a reason.
    """
    _need(source, stream, reason)
    actions = [
        Action(entry.identity, "discarded", actor, run_id, entry.contract_hash, reason)
        for entry in entries
        if entry.state == "open"
    ]
    quarantine.note(source.name, stream.name, actions)
    return len(actions)


def land(feed: Feed, run_id: str, records: Sequence[Stored], tenant: str | None, *, dry_run: bool = False) -> Landed:
    """Land the records that the contract holds, in one commit; those that the lake has are passed over.

    Another run that lands one of them at the same moment makes this one look again.
    """
    try:
        for _ in range(_TRIES - 1):
            try:
                return _land(feed, run_id, records, tenant, dry_run=dry_run)
            except ReplanError:
                continue
        return _land(feed, run_id, records, tenant, dry_run=dry_run)
    except IntegrationError as error:
        raise error.at(feed.source.name, feed.stream.name) from error.__cause__


def _land(feed: Feed, run_id: str, records: Sequence[Stored], tenant: str | None, *, dry_run: bool) -> Landed:
    began, started = datetime.now(UTC), monotonic()
    schema = schema_of(feed)
    if not dry_run:
        feed.table.prepare(schema)
    base, before = feed.table.state(), feed.table.once()
    check_key(feed.mask, base)
    wanted = {one.identity: one for one in records if one.identity[:_NAME] not in before}
    decoded, broken = decode_stored(
        feed.source, feed.stream, feed.contract, tenant, {name: one.payload for name, one in wanted.items()}
    )
    fresh = seen_before(feed, around(feed.stream, decoded.table, tenant)).fresh(decoded)
    accepted, stored, turned_away = judge(feed, gate_of(feed), fresh)
    rejected = {reject.payload.decode(): reject.reasons for reject in turned_away}
    rejected |= {name: tuple(map(feed.client.redact, reject.reasons)) for name, reject in broken.items()}
    landing = [name for name in map(bytes.decode, fresh.raw) if name not in rejected]
    there = frozenset(one.identity for one in records) - rejected.keys() - set(landing)
    receipt = _receipt(feed, base, tenant, run_id, began, len(records), accepted, rejected)
    receipt = replace(receipt, outcome="dry-run" if dry_run else receipt.outcome, seconds=round(monotonic() - started, 3))
    if landing:
        receipt = replace(receipt, warnings=left_out(feed.source, feed.stream, around(feed.stream, accepted, tenant)))
    if dry_run or not landing:
        return Landed(receipt, there, rejected)
    with feed.table.writer(schema) as writer:
        # What the API showed in the same pull and what landed stands against what is replayed.
        moments = pa.array([wanted[name].seen_at - _TICK for name in landing], pa.timestamp("us", "UTC"))
        rows = stamp(stored, began, run_id)
        writer.write(rows.set_column(rows.schema.get_field_index("_extracted_at"), "_extracted_at", moments))
        names = [name[:_NAME] for name in landing]
        return Landed(feed.table.commit(writer, receipt, None, base, feed.stream.origin, once=names), there, rejected)


def _receipt(
    feed: Feed,
    base: LakeState,
    tenant: str | None,
    run_id: str,
    began: datetime,
    records: int,
    accepted: pa.Table,
    rejected: Mapping[str, tuple[str, ...]],
) -> Receipt:
    """The account of a replay."""
    reasons: list[str] = []
    note_reasons(reasons, (reason for some in rejected.values() for reason in some))
    return replace(
        new_receipt(feed, base, tenant, run_id, REPLAYED, began.isoformat()),
        fetched=records,
        accepted=accepted.num_rows,
        rejected=len(rejected),
        duplicate=records - accepted.num_rows - len(rejected),
        tombstones=pc.sum(accepted.column(DELETED)).as_py() or 0,
        reasons=tuple(reasons),
    )


def _noted(feed: Feed, landed: Landed, entries: Iterable[Entry], actor: str, run_id: str) -> Iterator[Action]:
    """The log's rows of a replay; none for a record that is turned away as it was before, by the same contract."""
    for entry in entries:
        reasons = landed.rejected.get(entry.identity)
        if reasons is None:
            there = entry.identity in landed.there
            yield Action(
                identity=entry.identity,
                kind="replayed",
                actor=actor,
                run_id=run_id,
                contract_hash=feed.contract.hash,
                note=_THERE if there else None,
                lake_version=None if there else landed.receipt.version,
            )
        elif (entry.reasons, entry.history[-1].contract_hash) != (reasons, feed.contract.hash):
            yield Action(entry.identity, "replay rejected", actor, run_id, feed.contract.hash, reasons=reasons)


def _by_tenant(entries: Iterable[Entry]) -> dict[str | None, list[Entry]]:
    found: dict[str | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.slice.tenant].append(entry)
    return found


def _seen_at(entry: Entry) -> datetime:
    return entry.pulled_at or entry.last_seen


def _widest(slices: Iterable[Slice]) -> list[Slice]:
    """The slices that no other one covers, each once."""
    distinct = list(dict.fromkeys(slices))
    return [one for one in distinct if not any(other != one and other.covers(one) for other in distinct)]


def _need(source: Source, stream: Stream, reason: str) -> None:
    if not reason.strip():
        raise SpecError(
            "a reason is needed: whoever looks at it later should know why",
            source=source.name,
            stream=stream.name,
            field="reason",
            remedy="Give one.",
        )


__all__ = ["AT_ONCE", "Landed", "Stored", "check_replayable", "discard", "edit", "land", "refetch", "replay"]
