"""How a record in quarantine differs from the same one in the warehouse, and from what the API gives today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from integration_assets.errors import IntegrationError
from integration_assets.extract.opening import reading_of
from integration_assets.extract.stored import values_of
from integration_assets.feed import Feed
from integration_assets.land.quarantine import Entry
from integration_assets.land.warehouse import IS_CURRENT, Target
from integration_assets.spec.records import DELETED
from integration_assets.stores import Stores
from integration_assets.transform.showing import Showing

PAGES = 100
"""Pages of its slice that the API is asked for, at most."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """What was found of the record elsewhere.

    says    : in a sentence.
    columns : those that differ: name, as it is in quarantine, as it is there; None where that is null or absent.
    """

    says: str
    columns: tuple[tuple[str, str | None, str | None], ...] = ()


def from_warehouse(feed: Feed, stores: Stores, showing: Showing, entry: Entry, payload: bytes) -> Difference:
    """The record beside the row of the same key. Values are as people may see them. Raises the errors of the warehouse."""
    ours, aim = _values(feed, entry, payload), Target.of(feed.source, feed.stream, feed.contract)
    key = _key(feed, ours)
    if key is None:
        return Difference("not compared: its key cannot be read")
    if any(feed.contract.column(name).mask for name in key):
        return Difference("not compared: its key is stored masked")
    if stores.warehouse.version(feed.source.name, feed.stream.name) is None:
        return Difference("not there: nothing of the stream was merged yet")
    held = " AND ".join([*(f"t.{name} = ?" for name in key), *([f"t.{IS_CURRENT}"] if aim.disposition == "history" else [])])
    found = stores.warehouse.query(f"SELECT * FROM {stores.warehouse.table_name(aim)} AS t WHERE {held}", [*key.values()])
    if not found.num_rows:
        return Difference("not there: no row has its key")
    return _beside(feed, showing, ours, found.slice(found.num_rows - 1).to_pylist()[0], "there, with another version or values")


def from_api(feed: Feed, showing: Showing, entry: Entry, payload: bytes) -> Difference:
    """The record beside what the API gives today: its slice is read again, up to the record, and nothing is written.

    Raises what reading a slice raises.
    """
    ours = _values(feed, entry, payload)
    key = _key(feed, ours)
    try:
        for raw, theirs in _of_today(feed, entry):
            if raw == payload:
                return Difference("the API still gives it as it is here")
            if key is not None and _key(feed, theirs) == key:
                return _beside(feed, showing, ours, theirs, "the API gives it otherwise")
    except IntegrationError as error:
        raise error.at(feed.source.name, feed.stream.name) from error.__cause__
    return Difference(f"not found in the first {PAGES} pages of {entry.slice}")


def _of_today(feed: Feed, entry: Entry) -> Iterator[tuple[bytes, Row]]:
    """Each record of the entry's slice: its bytes, and its values by column. Those that do not decode come after their page."""
    names = feed.contract.arrow_schema.names
    above = feed.parents.rows(entry.slice) if feed.parents else None
    for batch in reading_of(feed.client, feed.source, feed.stream, feed.contract, entry.slice, max_pages=PAGES, parents=above):
        for raw, row in zip(batch.raw, batch.table.select(names).to_pylist(), strict=True):
            yield feed.client.redact(raw), row
        for reject in batch.rejects:
            yield feed.client.redact(reject.payload), _values(feed, entry, reject.payload)


def _values(feed: Feed, entry: Entry, payload: bytes) -> Row:
    return values_of(feed.source, feed.stream, feed.contract, entry.slice.tenant, payload)


def _key(feed: Feed, row: Row) -> dict[str, Any] | None:
    """The record's key by column; None where a part is missing or of another type than the contract's."""
    key = {name: row.get(name) for name in feed.stream.key}
    if not key:
        return None
    for name, value in key.items():
        try:
            pa.scalar(value, feed.contract.column(name).type)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return None
    return None if any(value is None for value in key.values()) else key


def _beside(feed: Feed, showing: Showing, ours: Row, theirs: Row, says: str) -> Difference:
    """The columns that differ; of one that is stored masked nothing can be told."""
    told = [column.name for column in feed.contract.columns if not column.mask]
    other = [name for name in told if ours.get(name) != theirs.get(name)]
    if not other:
        return Difference(f"there, {'gone' if theirs.get(DELETED) else 'with the same values'}")
    mine, shown = (showing.row({name: row.get(name) for name in other}) for row in (ours, theirs))
    return Difference(says, tuple((name, _text(mine[name]), _text(shown[name])) for name in other))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
