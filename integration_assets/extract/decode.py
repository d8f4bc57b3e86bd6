"""A page's body to a batch of rows. Bodies of each format are read by its own module; what comes out is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from integration_assets.errors import SpecError
from integration_assets.extract.page import BrokenBodyError, DecodedPage
from integration_assets.extract.plan import Plan, plan_for
from integration_assets.spec.contract import Contract
from integration_assets.spec.formats import Csv, Json, Ndjson, Xml
from integration_assets.spec.records import Batch, Drift
from integration_assets.spec.source import Source, Stream

__all__ = ["BrokenBodyError", "DecodedPage", "Decoder", "decoder_for"]


class Decoder(Protocol):
    """Made once a stream, used for each of its pages."""

    def page(self, body: bytes, content_type: str | None = None) -> DecodedPage:
        """The rows and rejects of one page.

        Raises `BrokenBodyError` when the body is cut off or malformed as a whole, `ResponseError` when it is whole but
        not what the stream describes.
        """
        ...


@dataclass(frozen=True)
class _Decoder:
    plan: Plan
    read: Callable[[bytes, str | None], DecodedPage]

    def page(self, body: bytes, content_type: str | None = None) -> DecodedPage:
        if not body.strip():
            return DecodedPage(empty_batch(self.plan.schema), Drift())
        return self.read(body, content_type)


def decoder_for(source: Source, stream: Stream, contract: Contract) -> Decoder:
    """The decoder of a stream's pages. Raises `SpecError` naming a column whose type cannot be read."""
    try:
        plan = plan_for(stream, contract)
    except SpecError as error:
        error.at(source.name, stream.name)
        raise
    return _Decoder(plan, _reader(plan, stream))


def empty_batch(schema: pa.Schema) -> Batch:
    """A batch of no record."""
    return Batch(schema.empty_table(), (), (), 0)


def _reader(plan: Plan, stream: Stream) -> Callable[[bytes, str | None], DecodedPage]:
    from integration_assets.extract import json_decode, text_decode

    made: Any
    match stream.format:
        case Json(records=records):
            made = json_decode.JsonReader(plan, records)
        case Ndjson():
            made = json_decode.NdjsonReader(plan)
        case Csv() as form:
            made = text_decode.CsvReader(plan, form)
        case Xml() as form:
            made = text_decode.XmlReader(plan, form)
    read: Callable[[bytes, str | None], DecodedPage] = made.read
    return read
