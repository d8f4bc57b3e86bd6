"""One slice, one atomic commit: data files, finished ranges, watermark, sequence and receipt, or nothing."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from integration_assets.errors import LakeError, ReplanError, RescheduleError, SliceTakenError
from integration_assets.land.state import ONCE, Entry, LakeState, entries, newer, properties, read_state
from integration_assets.land.store import Store
from integration_assets.land.warehouse import EXTRACTED_AT
from integration_assets.land.writer import DataFile
from integration_assets.spec.cursor import CursorValue, Slice, finish, watermark
from integration_assets.spec.receipt import NO_SLICE, SWEPT, Receipt

_TRIES = 30
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True)
class Proposal:
    """What is to be committed. `ticket` names this one commit, so that it is recognised whatever the store answered.

    once : names of what the commit lands, no more than once for good: a commit that has one of them already refuses it.
    """

    files: Sequence[DataFile]
    receipt: Receipt
    slice: Slice | None
    origin: CursorValue | None
    etag: str | None
    content_hash: str | None
    ticket: str
    once: Collection[str] = ()


def ticket() -> str:
    """A name that no other commit has."""
    return uuid4().hex


def commit(store: Store, proposal: Proposal, base: LakeState) -> Receipt:
    """Commit `proposal` on top of whatever did not touch its slice since `base`; returns the receipt with its version.

    Raises `SliceTakenError` when another run committed an overlapping slice since `base`: nothing of ours was committed.
    """
    for attempt in range(_TRIES):
        table = store.open()
        if table is None:
            raise ReplanError(f"the lake's table at {store.uri} is gone", remedy="Sync again: the table is made anew.")
        state = read_state(store, table)
        mine = _settle(store, table.version(), state, base, proposal)
        if mine:
            return mine
        if proposal.once and landed_once(store, table.version()) & set(proposal.once):
            raise SliceTakenError(
                "another run landed some of these records meanwhile; nothing of this run was", remedy="Try again."
            )
        store.check_there([file.path for file in proposal.files])
        try:
            _write(table, state, proposal)
        except CommitFailedError:
            # Somebody committed in between: look at what, and try again on top of it.
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.01 * 2**attempt)))  # noqa: S311 - jitter
            continue
        except (OSError, DeltaError) as error:
            landed = _landed(store, table.version(), proposal.ticket)
            if landed:
                return landed
            raise store.explain(error, "commit to") from error
        landed = _landed(store, table.version(), proposal.ticket)
        if landed is None:
            raise LakeError(f"a commit to {store.uri} cannot be read back", remedy="See whether the lake's log was changed.")
        return landed
    raise RescheduleError(f"{_TRIES} commits to {store.uri} lost their race against other runs", remedy="Sync again later.")


def _write(table: DeltaTable, state: LakeState, proposal: Proposal) -> None:
    finished = finish(state.finished, proposal.slice) if proposal.slice is not None else state.finished
    tenant = proposal.receipt.tenant
    mark = watermark(finished, proposal.origin, tenant)
    # Records that are landed once more say nothing of what the API has now: its ETag stays as it is.
    apart = proposal.receipt.outcome in NO_SLICE
    etag, content = (state.etag, state.content_hash) if apart else (proposal.etag, proposal.content_hash)
    receipt = replace(
        proposal.receipt,
        watermark_before=Slice(watermark(state.finished, proposal.origin, tenant)).to_json()[0],
        watermark_after=Slice(mark).to_json()[0],
        files=tuple(file.path for file in proposal.files),
        etag=etag,
        content_hash=content,
    )
    after = LakeState(None, state.sequence + 1, finished, etag, content, receipt, _latest(state, proposal))
    table.create_write_transaction(
        [file.add() for file in proposal.files],
        mode="append",
        schema=table.schema(),
        commit_properties=properties(after, proposal.ticket, mark, tenant, proposal.once),
    )


def _latest(state: LakeState, proposal: Proposal) -> datetime | None:
    """The greatest time of extraction with that of what is proposed, rounded up to the millisecond.

    Not of full snapshots: of those the one that was committed last counts, whatever its time is.
    """
    bounds = [json.loads(file.stats).get("maxValues", {}).get(EXTRACTED_AT) for file in proposal.files]
    if proposal.content_hash is not None or not any(bounds):
        return state.latest
    newest = max(datetime.fromisoformat(bound) for bound in bounds if bound)
    return newest if state.latest is None else max(newest, state.latest)


def landed_once(store: Store, version: int) -> set[str]:
    """The names that commits up to `version` landed once and for good."""
    return {app.removeprefix(ONCE) for app in store.transactions(version) if app.startswith(ONCE)}


def _settle(store: Store, version: int, state: LakeState, base: LakeState, proposal: Proposal) -> Receipt | None:
    """Our own receipt if the commit is in already; `SliceTakenError` if another run's is in its place; None to go on."""
    if state.sequence == base.sequence:
        return None
    if state.sequence < base.sequence:
        raise ReplanError(f"the lake's table at {store.uri} is older than what this run was planned on", remedy="Sync again.")
    won = _since(store, version, base)
    for entry in won:
        if entry.ticket == proposal.ticket:
            return entry.state.receipt
    if len(won) < state.sequence - base.sequence:
        raise _taken(proposal, None)
    for entry in won:
        if entry.state.receipt is None or _clash(entry.state.receipt, proposal):
            raise _taken(proposal, entry.state.receipt)
    return None


def _since(store: Store, version: int, base: LakeState) -> list[Entry]:
    """The commits of ours after `base`, newest first."""
    down_to = 0 if base.version is None else base.version + 1
    return [entry for entry in entries(store, version, down_to) if not entry.carried and entry.state.sequence > base.sequence]


def _landed(store: Store, after: int, name: str) -> Receipt | None:
    """The receipt of the commit called `name` if it is in a version after `after`; cheaper than opening the table again."""
    return next((entry.state.receipt for entry in newer(store, after) if entry.ticket == name), None)


def _clash(winner: Receipt, proposal: Proposal) -> bool:
    """Whether another run's receipt covers some of our slice. Snapshots, which have no slice, clash with all of their tenant.

    Replayed records are of no slice: what keeps them from landing twice are their names. A sweep's findings are of no slice
    either, but they were made of what the lake had: whatever landed of their tenant since then may contradict them.
    """
    if proposal.receipt.outcome == SWEPT:
        return winner.tenant == proposal.receipt.tenant
    if NO_SLICE & {winner.outcome, proposal.receipt.outcome}:
        return False
    if winner.tenant != proposal.receipt.tenant:
        return False
    # What was asked for, not what it reached: that may be nothing, and a snapshot is the whole axis.
    mine = Slice.from_json(proposal.receipt.slice, proposal.receipt.tenant)
    return Slice.from_json(winner.slice, winner.tenant).overlaps(mine)


def _taken(proposal: Proposal, winner: Receipt | None) -> SliceTakenError:
    what = f"the slice {proposal.slice}" if proposal.slice is not None else "the snapshot"
    who = f"run {winner.run_id}" if winner else "another run"
    return SliceTakenError(f"{what} was committed by {who} meanwhile; nothing of this run was", remedy="Plan again.")
