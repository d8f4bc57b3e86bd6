"""A page's body to a batch of rows. Bodies of each format are read by its own module; what comes out is the same.

An empty body is no JSON, no XML and no CSV, whose header line is always sent: it is broken, for it may be an answer that
was lost on its way. It is a page without records only as NDJSON; an API that has nothing to say in the others answers 204.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import pyarrow as pa

from integration_assets.errors import SpecError
from integration_assets.extract.page import BrokenBodyError, DecodedPage, OpenedPage, ReadPage
from integration_assets.extract.plan import Plan, plan_for
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.formats import Csv, Json, Ndjson, Xml
from integration_assets.spec.records import Batch, Drift, combine
from integration_assets.spec.source import Source, Stream

__all__ = ["BrokenBodyError", "DecodedPage", "Decoder", "OpenedPage", "decoder_for", "no_records"]


class Decoder(Protocol):
    """Made once a stream, used for each of its pages, all of one `schema`."""

    @property
    def schema(self) -> pa.Schema:
        """The contract's columns and `_deleted`."""
        ...

    def open(self, body: bytes, content_type: str | None = None) -> OpenedPage:
        """The page, as far as it has to be known to ask for the next.

        Raises `BrokenBodyError` when the body is cut off, malformed as a whole or, but for NDJSON, empty; `ResponseError`
        when it is whole but not what the stream describes.
        """
        ...

    def decode(self, pages: Sequence[OpenedPage]) -> tuple[Batch, Drift]:
        """The rows and rejects of pages that this decoder opened, in their order."""
        ...

    def page(self, body: bytes, content_type: str | None = None) -> DecodedPage:
        """One page, opened and decoded. Raises as `open` does."""
        ...


@dataclass(frozen=True)
class _Decoder:
    plan: Plan
    opened: Callable[[bytes, str | None], OpenedPage]
    quickly: Callable[[Sequence[Any]], tuple[Batch, Drift]]
    may_be_empty: bool

    @property
    def schema(self) -> pa.Schema:
        return self.plan.schema

    def open(self, body: bytes, content_type: str | None = None) -> OpenedPage:
        if not (self.may_be_empty or body.strip()):
            raise BrokenBodyError("the body is empty")
        return self.opened(body, content_type)

    def decode(self, pages: Sequence[OpenedPage]) -> tuple[Batch, Drift]:
        """Neighbours that wait to be decoded go through together; pages that are decoded already stay as they are."""
        batches, drift = [], Drift()
        for ready, some in groupby(pages, lambda page: isinstance(page, ReadPage)):
            if ready:
                found = [(one.page.batch, one.page.drift) for one in some if isinstance(one, ReadPage)]
            else:
                found = [self.quickly(list(some))]
            for batch, differences in found:
                batches.append(batch)
                drift.add(differences)
        return combine(batches), drift

    def page(self, body: bytes, content_type: str | None = None) -> DecodedPage:
        opened = self.open(body, content_type)
        batch, drift = self.decode([opened])
        return DecodedPage(batch, drift, opened.value, opened.counted)


def decoder_for(source: Source, stream: Stream, contract: Contract, tenant: str | None = None) -> Decoder:
    """The decoder of a stream's pages, of one tenant's where it has them.

    Raises `SpecError` naming a column whose type cannot be read.
    """
    try:
        plan = plan_for(stream, contract, tenant)
    except SpecError as error:
        error.at(source.name, stream.name)
        raise
    from integration_assets.extract import json_decode

    empty = isinstance(stream.format, Ndjson)
    if isinstance(stream.format, Json):
        reader = json_decode.JsonReader(plan, stream.format.records, quote=not contract.personal)
        return _Decoder(plan, reader.open, reader.decode, may_be_empty=empty)
    read = _reader(plan, stream)
    return _Decoder(plan, lambda body, kind: ReadPage(read(body, kind), len(body)), _nothing_waits, may_be_empty=empty)


def no_records(schema: pa.Schema) -> OpenedPage:
    """A page without records."""
    return ReadPage(DecodedPage(Batch(schema.empty_table(), (), (), 0), Drift()), 0)


def _nothing_waits(pages: Sequence[OpenedPage]) -> tuple[Batch, Drift]:
    raise AssertionError(f"{len(pages)} pages were opened and not decoded")


def _reader(plan: Plan, stream: Stream) -> Callable[[bytes, str | None], DecodedPage]:
    from integration_assets.extract import json_decode, text_decode

    made: Any
    match stream.format:
        case Ndjson():
            made = json_decode.NdjsonReader(plan)
        case Csv() as form:
            made = text_decode.CsvReader(plan, form)
        case Xml() as form:
            made = text_decode.XmlReader(plan, form)
    read: Callable[[bytes, str | None], DecodedPage] = made.read
    return read
