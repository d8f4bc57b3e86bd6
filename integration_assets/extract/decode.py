"""A page's body to a batch of rows. Bodies of each format are read by its own module; what comes out is the same.

An empty body is no JSON, no XML and no CSV, whose header line is always sent: it is broken, for it may be an answer that
was lost on its way. It is a page without records only as NDJSON; an API that has nothing to say in the others answers 204.
"""

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

__all__ = ["BrokenBodyError", "DecodedPage", "Decoder", "decoder_for", "no_records"]


class Decoder(Protocol):
    """Made once a stream, used for each of its pages, all of one `schema`."""

    @property
    def schema(self) -> pa.Schema:
        """The contract's columns and `_deleted`."""
        ...

    def page(self, body: bytes, content_type: str | None = None) -> DecodedPage:
        """The rows and rejects of one page.

        Raises `BrokenBodyError` when the body is cut off, malformed as a whole or, but for NDJSON, empty; `ResponseError`
        when it is whole but not what the stream describes.
        """
        ...


@dataclass(frozen=True)
class _Decoder:
    plan: Plan
    read: Callable[[bytes, str | None], DecodedPage]
    may_be_empty: bool

    @property
    def schema(self) -> pa.Schema:
        return self.plan.schema

    def page(self, body: bytes, content_type: str | None = None) -> DecodedPage:
        if not (self.may_be_empty or body.strip()):
            raise BrokenBodyError("the body is empty")
        return self.read(body, content_type)


def decoder_for(source: Source, stream: Stream, contract: Contract) -> Decoder:
    """The decoder of a stream's pages. Raises `SpecError` naming a column whose type cannot be read."""
    try:
        plan = plan_for(stream, contract)
    except SpecError as error:
        error.at(source.name, stream.name)
        raise
    return _Decoder(plan, _reader(plan, stream), may_be_empty=isinstance(stream.format, Ndjson))


def no_records(schema: pa.Schema) -> DecodedPage:
    """A page without records."""
    return DecodedPage(Batch(schema.empty_table(), (), (), 0), Drift())


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
