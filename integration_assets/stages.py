"""The stages between pages and a commit, as a stream needs them: batches, sieve, gate, masks, and the table's columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pyarrow as pa

from integration_assets.errors import IntegrationError
from integration_assets.extract.opening import Client
from integration_assets.feed import Feed
from integration_assets.land.hashing import row_hashes
from integration_assets.spec.cursor import Slice
from integration_assets.spec.parent import owner_columns
from integration_assets.spec.records import DELETED, Batch, Reject, combine
from integration_assets.spec.source import Stream
from integration_assets.transform.technical import lake_schema
from integration_assets.validate.gate import Gate
from integration_assets.validate.sieve import Seen

# What pages free goes back to the system and does not wait for the next ones: 30 MB less at the peak, and as quick.
pa.set_memory_pool(pa.system_memory_pool())

BATCH_ROWS = 20_000
"""Rows that go through gate and writer at once: pandera's fixed cost is spread, memory stays bounded (law 4)."""
BATCH_BYTES = 16 * 2**20
"""Or so many bytes of rows, when records are large."""


def batches(
    pages: Iterable[Batch], rows: int = BATCH_ROWS, size: int = BATCH_BYTES, due: Callable[[], bool] = lambda: False
) -> Iterator[Batch]:
    """Pages joined into batches of at least `rows` records or `size` bytes, the last one as it comes; earlier when it is `due`.

    When the pages end with an error, those that came before it are given first.
    """
    waiting: list[Batch] = []
    records = weight = 0
    try:
        for page in pages:
            waiting.append(page)
            records += page.fetched
            weight += page.table.nbytes + sum(len(reject.payload) for reject in page.rejects)
            if records >= rows or weight >= size or due():
                yield combine(waiting)
                waiting, records, weight = [], 0, 0
    except IntegrationError:
        if waiting:
            yield combine(waiting)
        raise
    if waiting:
        yield combine(waiting)


def seen_before(feed: Feed, known: Slice | None, earlier: Callable[[], Iterable[pa.Table]] = tuple) -> Seen:
    """What counts as seen to begin with: what the lake has of the slice `known`, if it is given, and then `earlier` rows."""
    columns = [*feed.contract.arrow_schema.names, DELETED]
    cursor = feed.stream.cursor

    def landed() -> Iterator[pa.Table]:
        if known and cursor:
            yield from feed.table.known(columns, cursor.field, known, _tenant_column(feed.stream))
        yield from earlier()

    identity = _identity(feed.stream)
    return Seen(identity, columns, row_hashes, as_stored=feed.mask, landed=landed if identity else None)


def schema_of(feed: Feed) -> pa.Schema:
    """The columns of the stream's lake table."""
    return lake_schema(feed.contract, _tenant_column(feed.stream))


def gate_of(feed: Feed) -> Gate:
    """The stream's gate."""
    return Gate(feed.contract, required_columns(feed.stream), feed.stream.key, owner_columns(feed.stream))


def judge(feed: Feed, gate: Gate, batch: Batch) -> tuple[pa.Table, pa.Table, list[Reject]]:
    """A batch's good rows, the same as they are stored, and the records that are turned away, without a credential in them."""
    accepted, found = gate.check(batch)
    return accepted, feed.mask(accepted), [_clean(reject, feed.client) for reject in found]


def required_columns(stream: Stream) -> tuple[str, ...]:
    """Columns without which a row cannot be merged or placed: null there rejects the record, tombstones included."""
    names = [*stream.key, stream.version_column, stream.cursor.field if stream.cursor else None]
    return tuple(dict.fromkeys(name for name in names if name))


def _tenant_column(stream: Stream) -> str | None:
    return stream.tenants.column if stream.tenants else None


def _identity(stream: Stream) -> tuple[str, ...]:
    """What makes two records the same version of one record; empty when the stream has no key."""
    return required_columns(stream) if stream.key else ()


def _clean(reject: Reject, client: Client) -> Reject:
    """The reject without the credential, should the API echo it (law 7)."""
    reasons = tuple(client.redact(reason) for reason in reject.reasons)
    return replace(reject, payload=client.redact(reject.payload), reasons=reasons)
