"""What is in quarantine: one entry a record, however often it came, with its state and all that happened to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from integration_assets.errors import SpecError
from integration_assets.land.quarantine_rows import REJECTED, slice_of
from integration_assets.spec.cursor import Slice

State = Literal["open", "replayed", "edited", "discarded"]
STATES: tuple[State, ...] = ("open", "replayed", "edited", "discarded")
_BECOMES: Mapping[str, State] = {
    "replayed": "replayed",
    "refetched": "replayed",
    "edited": "edited",
    "discarded": "discarded",
}


@dataclass(frozen=True)
class Event:
    """One thing that happened to a record: a rejection, or an action as of `quarantine_rows.Action`."""

    kind: str
    at: datetime
    run_id: str
    contract_hash: str
    reasons: tuple[str, ...] = ()
    actor: str | None = None
    note: str | None = None
    old_hash: str | None = None
    new_hash: str | None = None
    lake_version: int | None = None


@dataclass(frozen=True)
class Entry:
    """A record in quarantine.

    identity : the same for the same record of the same stream and tenant, whenever it comes.
    state    : `open` waits for someone; `replayed` landed, or its slice did; `edited` landed otherwise; `discarded` is kept and
               no longer counted. One that was replayed and is rejected again later is open again.
    reasons  : why it was turned away the last time, by a pull or a replay.
    times    : how many runs the API showed it to, `first_seen` to `last_seen`.
    pulled_at : when the last pull that saw it began; an older quarantine does not know.
    slice, partition : of the last pull that saw it.
    history  : the oldest first.
    """

    identity: str
    state: State
    reasons: tuple[str, ...]
    key: str | None
    slice: Slice
    partition: str | None
    times: int
    first_seen: datetime
    last_seen: datetime
    pulled_at: datetime | None
    run_id: str
    contract_hash: str
    history: tuple[Event, ...]


@dataclass(frozen=True)
class Where:
    """Which entries are meant; what is empty or None selects all.

    identities : each may be cut short, as long as it is told from the others.
    key        : the record's key as text, whole.
    reason     : a part of a reason, whatever its case.
    since, until : `[since, until)`, of the last time that the API showed it.
    states     : the states wanted.
    """

    identities: tuple[str, ...] = ()
    key: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    states: tuple[str, ...] = field(default=())

    @property
    def everything(self) -> bool:
        """Whether nothing but states was named."""
        return not (self.identities or self.key is not None or self.reason or self.since or self.until)

    def holds(self, entry: Entry) -> bool:
        """Whether the entry is meant."""
        reason = (self.reason or "").casefold()
        return (
            (not self.identities or any(entry.identity.startswith(one) for one in self.identities))
            and (self.key is None or entry.key == self.key)
            and (not reason or any(reason in one.casefold() for one in entry.reasons))
            and (self.since is None or entry.last_seen >= self.since)
            and (self.until is None or entry.last_seen < self.until)
            and (not self.states or entry.state in self.states)
        )


def where(
    source: str,
    stream: str,
    *,
    identities: Sequence[str] = (),
    key: str | None = None,
    reason: str | None = None,
    since: str | None = None,
    until: str | None = None,
    states: Sequence[str] = (),
) -> Where:
    """A `Where` as people write it; a moment without a zone is in UTC. Raises `SpecError` naming what is no moment or state."""

    def moment(field: str, text: str | None) -> datetime | None:
        try:
            found = None if text is None else datetime.fromisoformat(text)
        except ValueError:
            remedy = "Write 2024-01-31 or 2024-01-31T12:00:00Z."
            raise SpecError(f"{text!r} is no moment", source=source, stream=stream, field=field, remedy=remedy) from None
        return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)

    unknown = [state for state in states if state not in STATES]
    if unknown:
        remedy = f"The states are: {', '.join(STATES)}."
        raise SpecError(f"there is no state {unknown[0]!r}", source=source, stream=stream, field="state", remedy=remedy)
    return Where(tuple(identities), key, reason, moment("since", since), moment("until", until), tuple(states))


def fold(rows: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The entries of a quarantine's rows, the one that something happened to last first.

    rows : in the order in which they were written, without payloads.
    """
    by_record: dict[str, list[tuple[datetime, int, Mapping[str, Any]]]] = {}
    for number, row in enumerate(rows):
        by_record.setdefault(str(row["identity"]), []).append((row["rejected_at"], number, row))
    found: list[tuple[datetime, int, Entry]] = []
    for name, mine in by_record.items():
        ordered = sorted(mine, key=lambda one: one[:2])
        entry = _entry(name, [row for _, _, row in ordered])
        if entry is not None:
            found.append((ordered[-1][0], ordered[-1][1], entry))
    return [entry for _, _, entry in sorted(found, key=lambda one: one[:2], reverse=True)]


def count_states(rows: Iterable[tuple[str, str | None, datetime]]) -> dict[State, int]:
    """How many records are in each state; `rows` are identity, kind and time, in the order in which they were written."""
    by_record: dict[str, list[tuple[datetime, int, str | None]]] = {}
    for number, (name, kind, at) in enumerate(rows):
        by_record.setdefault(name, []).append((at, number, kind))
    states = Counter(_state([kind for _, _, kind in sorted(mine, key=lambda one: one[:2])]) for mine in by_record.values())
    return {state: states[state] for state in STATES}


def _state(kinds: Sequence[str | None]) -> State:
    state: State = "open"
    for kind in kinds:
        again = kind in {None, REJECTED} and state == "replayed"
        state = "open" if again else _BECOMES.get(kind or REJECTED, state)
    return state


def _entry(name: str, rows: Sequence[Mapping[str, Any]]) -> Entry | None:
    """The entry of one record's rows; None where only actions are left of it."""
    seen = [row for row in rows if row["kind"] in {None, REJECTED}]
    if not seen:
        return None
    last = dict(seen[-1])
    history = tuple(_events(rows))
    turned_away = [event for event in history if event.kind in {REJECTED, "replay rejected"}]
    return Entry(
        identity=name,
        state=_state([row["kind"] for row in rows]),
        reasons=turned_away[-1].reasons,
        key=next((row["key"] for row in reversed(seen) if row["key"] is not None), None),
        slice=slice_of(last),
        partition=last["partition"],
        times=len({row["run_id"] for row in seen}),
        first_seen=seen[0]["rejected_at"],
        last_seen=last["rejected_at"],
        pulled_at=last["pulled_at"],
        run_id=str(last["run_id"]),
        contract_hash=str(last["contract_hash"]),
        history=history,
    )


def _events(rows: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    for row in rows:
        yield Event(
            kind=row["kind"] or REJECTED,
            at=row["rejected_at"],
            run_id=str(row["run_id"]),
            contract_hash=str(row["contract_hash"]),
            reasons=tuple(row["reasons"] or ()),
            **{name: row[name] for name in ("actor", "note", "old_hash", "new_hash", "lake_version")},
        )
