"""Which tenants there are, asked of the API."""

from __future__ import annotations

from copy import copy
from typing import Any

import msgspec
import pyarrow as pa

from integration_assets.errors import ResponseError
from integration_assets.extract.client import SourceClient
from integration_assets.extract.reading import Reading
from integration_assets.spec.contract_data import Column, Contract
from integration_assets.spec.cursor import Slice
from integration_assets.spec.formats import Json
from integration_assets.spec.paths import parse_path
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.tenants import Listing, wrong_key


def list_tenants(client: SourceClient, source: Source, listing: Listing) -> tuple[str, ...]:
    """The keys of the tenants that the API names now, each once, in its order.

    Raises what reading a stream raises, and `ResponseError` when it names none, or one whose key is no key: a tenant that is
    passed over would be missing without anybody's notice.
    """
    stream = Stream(
        name=listing.name,
        path=listing.path,
        contract="listing:Tenant",
        format=Json(records=listing.records),
        paging=listing.paging,
        params=listing.params,
        headers=listing.headers,
        disposition="append",
    )
    # As JSON text, for an API may give numbers or text.
    column = Column("key", pa.string(), parse_path(listing.field), "json", nullable=False, description="")
    contract = Contract("Tenant", "", (column,))
    found: dict[str, None] = {}
    for batch in Reading(client, source, stream, contract, Slice()):
        if batch.rejects:
            raise _wrong(source, listing, f"a record cannot be read: {'; '.join(batch.rejects[0].reasons)}")
        for text in batch.table.column("key").to_pylist():
            found[_key(source, listing, text)] = None
    if not found:
        raise _wrong(source, listing, "the API names no tenant")
    return tuple(found)


def hurried(client: SourceClient) -> SourceClient:
    """The same open client, its connections, credential and counts shared, that tries nothing a second time."""
    other = copy(client)
    other.source = client.source.changed(limits=client.source.limits.changed(attempts=1))
    return other


def _key(source: Source, listing: Listing, text: str | None) -> str:
    value: Any = None if text is None else msgspec.json.decode(text)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(source, listing, f"a record has no text or whole number as its {listing.field}")
    key = str(value)
    if wrong := wrong_key(key):
        raise _wrong(source, listing, f"the key {key!r} {wrong}")
    return key


def _wrong(source: Source, listing: Listing, what: str) -> ResponseError:
    return ResponseError(
        f"the tenants that {listing.path} lists cannot be told: {what}",
        source=source.name,
        field=f"listing.{listing.name}",
        remedy="See the listing's records and field, what the credential may see, and the API's answer.",
    )
