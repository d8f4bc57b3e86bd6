"""The full list of a stream's keys, read for a sweep: nothing of a record but its key, and what the API says of their number."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from integration_assets.extract.client import SourceClient
from integration_assets.extract.paging import Ask, counted_in_header
from integration_assets.extract.reading import Reading, _Answer
from integration_assets.spec.cursor import Slice
from integration_assets.spec.paths import parse_path
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.sweep import keys_of

if TYPE_CHECKING:
    from integration_assets.spec.contract_data import Contract


class KeyReading(Reading):
    """The list's batches: the key columns and `_deleted`.

    While it is read, `total` is how many records the API says there are, None while it says nothing; `recounted` says from what
    to what that went on the way, None where it did not.
    """

    def __init__(self, client: SourceClient, source: Source, stream: Stream, contract: Contract, tenant: str | None) -> None:
        listed = keys_of(stream)
        super().__init__(client, source, listed, _keys(stream, contract), Slice(tenant=tenant))
        assert stream.sweep is not None  # noqa: S101 - keys_of refuses a stream without
        path = stream.sweep.counts_in(listed.paging)
        self.total: int | None = None
        self.recounted: str | None = None
        self._total_path = parse_path(path) if path else None

    def _following(self, answer: _Answer, pages: int) -> Ask | None:
        count = self._counted(answer)
        if count is not None and (count or self.total is None):  # past its end an API may count none
            if self.total is not None and count != self.total:
                self.recounted = f"the API's count went from {self.total:,} to {count:,}"
            self.total = count
        return super()._following(answer, pages)

    def _counted(self, answer: _Answer) -> int | None:
        if answer.page is None or self._total_path is None:
            return counted_in_header(answer.response)
        value = answer.page.value(self._total_path)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def _keys(stream: Stream, contract: Contract) -> Contract:
    """The key columns of the contract, where the list has them."""
    fields = stream.sweep.fields if stream.sweep else {}
    columns = [contract.column(name) for name in stream.key]
    found = tuple(replace(one, path=parse_path(fields[one.name])) if one.name in fields else one for one in columns)
    return replace(contract, columns=found)
