"""Records that were kept as received, decoded again: each goes through the stream's own decoder as a page of one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from integration_assets.extract.decode import BrokenBodyError, Decoder, OpenedPage, decoder_for
from integration_assets.extract.plan import ABSENT, look_up, plan_for
from integration_assets.extract.values import RECORD, Mismatch
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.files import ROOT
from integration_assets.spec.formats import Csv, Json, Xml
from integration_assets.spec.records import Batch, Reject
from integration_assets.spec.source import Source, Stream


def undecodable(stream: Stream, contract: Contract) -> str | None:
    """Why a record of this stream cannot be decoded alone; None when it can."""
    if isinstance(stream.format, Csv):
        return "a CSV line means nothing without its header, which is not kept"
    if any(column.path[0] == ROOT for column in contract.columns):
        return "a record alone does not tell which file it was in, and the contract wants to know"
    if stream.parent is not None:
        return "a record alone does not tell which parent it came from"
    return None


def decode_stored(
    source: Source, stream: Stream, contract: Contract, tenant: str | None, records: Mapping[str, bytes]
) -> tuple[Batch, dict[str, Reject]]:
    """The rows of records that are named, and those that do not decode.

    The batch's `raw` has the names of its rows' records in place of their bytes.
    """
    decoder = decoder_for(source, _alone(stream), contract, tenant)
    pages: dict[str, OpenedPage] = {}
    broken: dict[str, Reject] = {}
    for name, payload in records.items():
        page = _open(decoder, stream, payload)
        if isinstance(page, Reject):
            broken[name] = page
        else:
            pages[name] = page
    together = decoder.decode(list(pages.values()))[0] if pages else _no_rows(decoder)
    if together.table.num_rows == len(pages):
        return _named(together, list(pages)), broken
    # Some do not decode: each alone, to tell which.
    good: list[str] = []
    for name, page in pages.items():
        batch, _ = decoder.decode([page])
        if batch.rejects:
            broken[name] = batch.rejects[0]
        else:
            good.append(name)
    rest = decoder.decode([pages[name] for name in good])[0] if good else _no_rows(decoder)
    return _named(rest, good), broken


def values_of(source: Source, stream: Stream, contract: Contract, tenant: str | None, payload: bytes) -> dict[str, Any]:
    """A stored record's values by column, as far as they can be read: one of a wrong type is as it came. Empty for none."""
    if undecodable(stream, contract):
        return {}
    if isinstance(stream.format, Xml):
        batch, _ = decode_stored(source, stream, contract, tenant, {"one": payload})
        rows = batch.table.select(contract.arrow_schema.names).to_pylist()
        return dict(rows[0]) if rows else {}
    try:
        record = RECORD.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    found: dict[str, Any] = {}
    for column in plan_for(_alone(stream), contract, tenant).columns:
        value = look_up(record, column.path)
        try:
            found[column.name] = None if value is ABSENT else column.convert(value)
        except Mismatch:
            found[column.name] = value
    return found


def _alone(stream: Stream) -> Stream:
    """The stream with bodies that are a list of records and nothing else."""
    return stream if isinstance(stream.format, Xml) else stream.model_copy(update={"format": Json(records="")})


def _open(decoder: Decoder, stream: Stream, payload: bytes) -> OpenedPage | Reject:
    """A page of one record, or why it is none."""
    xml = isinstance(stream.format, Xml)
    try:
        page = decoder.open(b"".join((b"<records>", payload, b"</records>") if xml else (b"[", payload, b"]")))
    except BrokenBodyError as error:
        return Reject(payload, (f"record: not valid {'XML' if xml else 'JSON'}: {error.what}",))
    if page.fetched != 1:
        return Reject(payload, (f"record: expected one record, got {page.fetched}",))
    return page


def _named(batch: Batch, names: Sequence[str]) -> Batch:
    return Batch(batch.table, [name.encode() for name in names], (), batch.table.num_rows)


def _no_rows(decoder: Decoder) -> Batch:
    return Batch(decoder.schema.empty_table(), (), (), 0)
