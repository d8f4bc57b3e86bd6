"""Every way in which a short list may change between its pages, one change between two of them, for each form by number."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any

import pyarrow as pa
import pytest

from integration_assets.errors import PagingError
from integration_assets.extract.message import Response
from integration_assets.extract.moving import Moves
from integration_assets.extract.paging import _Counted, pager_for
from integration_assets.spec import Offset, PageNumber
from integration_assets.spec.paths import Path
from integration_assets.spec.records import DELETED, Batch, Reject
from integration_assets_tests.moving.machine import _delete, _late, _put
from integration_assets_tests.moving.upstream import FORMS, Change, Form, Upstream, Version, moment

SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
COUNTED = [form for form in FORMS if isinstance(form.paging, PageNumber | Offset) and form.moves and form.at_once == 1]
RECORDS = 6 if SOAK else 5
"""One every ten seconds."""
CHANGES = 3 if SOAK else 2
END = 100
BAD = "bad"
"""The value of a record that does not decode."""


@dataclass(frozen=True)
class Page:
    """A page as the pager sees one; it is made here and not decoded, since there are so many."""

    records: tuple[Version, ...]
    total: int
    counted: bool = True

    @property
    def fetched(self) -> int:
        """How many records."""
        return len(self.records)

    rows, weight = fetched, fetched

    @property
    def empty(self) -> bool:
        """Whether there is none."""
        return not self.records

    def value(self, _path: Path) -> Any:  # noqa: ANN401 - as any page
        """The only value outside the records."""
        return self.total

    def text(self) -> bytes:
        """The records as they came."""
        return repr(self.records).encode()


@cache
def batch(records: tuple[Version, ...]) -> Batch:
    """The rows and the rejects of a page."""
    good = [one for one in records if one.value != BAD]
    columns = {
        "id": pa.array([one.id for one in good], pa.int64()),
        "updated_at": pa.array([moment(one.at) for one in good], pa.timestamp("us", "UTC")),
        DELETED: [one.gone for one in good],
    }
    rejects = [Reject(repr(one).encode(), ("value: no text",), str(one.id)) for one in records if one.value == BAD]
    return Batch(pa.table(columns), [b""] * len(good), tuple(rejects), len(records))


def remove(number: int, up: Upstream) -> None:
    """Take a record out without a trace."""
    up.records.pop(number, None)


def changes() -> Iterator[Change | None]:
    """None, and each record updated, made bad, marked as deleted or removed; new ones, at the end and in between."""
    yield None
    for number in range(RECORDS):
        yield from (partial(_put, number, value, 0) for value in ("b", BAD))
        yield from (partial(_delete, number), partial(remove, number))
    yield partial(_put, 90, "n", 0)
    yield from (partial(_late, number, "n", END - at) for number, at in ((91, 15), (91, 55), (92, 5), (0, 45)))


def read(up: Upstream, during: Sequence[Change | None]) -> tuple[Moves, set[Version]]:
    """The list once, while it changes: what is said of it, and what came."""
    pager = pager_for(up.stream(), {"until": moment(END).isoformat()} if up.form.closed else {})
    assert isinstance(pager, _Counted)
    came: set[Version] = set()
    ask, waiting = pager.first(), list(during)
    while True:
        found = up.listed(ask.params)
        sent = tuple(up.by_number(found, ask.params))
        headers = {"x-total-count": str(len(found))} if isinstance(up.form.paging, PageNumber) else {}
        page, response = Page(sent, len(found)), Response(200, headers, b"", "")
        came.update(sent)
        pager.saw(batch(sent), response, page)
        if (following := pager.next(response, page)) is None:
            return pager.moves, came
        ask = following
        if waiting and (change := waiting.pop(0)):
            change(up)


@pytest.mark.parametrize("form", COUNTED, ids=lambda form: form.name)
def test_no_change_hides_a_record_that_stood_still_unsaid(form: Form) -> None:
    """After every sequence of changes each record that did not change came, or the list is said to have moved."""
    told = 0
    for during in product(list(changes()), repeat=CHANGES):
        up = Upstream(form, clock=END)
        up.records = {number: Version(10 * number, number, BAD if number == 1 else "a") for number in range(RECORDS)}
        before = set(up.records.values())
        try:
            moves, came = read(up, during)
        except PagingError:
            assert any(during)  # one page came twice: refused
            continue
        hidden = before & set(up.records.values()) - came
        assert moves.signs or not hidden, (during, hidden)
        assert any(during) or not moves.signs
        told += bool(moves.signs)
    assert told
