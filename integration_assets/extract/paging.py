"""Which page is asked for after which, and when to stop; never round and round."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from urllib.parse import urljoin

from integration_assets.errors import PagingError, ResponseError
from integration_assets.extract.client import Response
from integration_assets.extract.moving import Moves
from integration_assets.extract.page import OpenedPage
from integration_assets.extract.plan import ABSENT
from integration_assets.spec.paging import NextLink, Offset, PageNumber, Single, Token
from integration_assets.spec.paths import parse_path
from integration_assets.spec.records import Batch
from integration_assets.spec.source import Stream

Params = Mapping[str, str | int | float | bool]
_EMPTY_PAGES = 1000
_SHOWN = 100
_DIGITS = 18
"""Of a count that a header may tell."""
_TOTALS = ("x-total-count", "x-total", "total-count", "x-pagination-total-count")


@dataclass(frozen=True)
class Ask:
    """One page to ask for. `token`: it names a position that the API gave."""

    url: str
    params: Params = field(default_factory=dict)
    token: bool = False


@dataclass(frozen=True)
class Place:
    """Where a page is in its slice: what another run needs to ask for it again and to go on from it.

    at    : its number or offset; its token or whole URL; None for the first page of those that the API links.
    read, total : records on the pages before it, and how many the API said there are.
    moved : it was told already that the feed moves.
    """

    at: int | str | None
    read: int = 0
    total: int | None = None
    moved: bool = False


class Pager(ABC):
    """The pages of one slice.

    compares          : `saw` is to be told each page's own rows, since neighbours are compared.
    past_a_short_page : the last page was numbered, and short or the last of all that is counted: the next one need not exist.
    moves             : what the pages say of a list that moved, where one can.
    """

    compares = False
    past_a_short_page = False
    moves: Moves | None = None

    def __init__(self, stream: Stream, params: Params) -> None:
        self._stream = stream
        self._params = params

    def first(self) -> Ask:
        """The first page."""
        return Ask(self._stream.path, self._params)

    @abstractmethod
    def next(self, response: Response, page: OpenedPage) -> Ask | None:
        """The page after this one, None after the last. Raises `PagingError` when paging does not advance."""

    def ahead(self, ask: Ask, most: int) -> list[Ask]:  # noqa: ARG002 - as any pager
        """`ask` and the pages that will surely follow it if they are full, `most` together."""
        return [ask]

    def place(self, ask: Ask) -> Place | None:  # noqa: ARG002 - as any pager
        """Where the page of `ask` is, told before `next` is; None where a slice has no pages to go on from."""
        return None

    def back_to(self, place: Place) -> Ask:  # noqa: ARG002 - as any pager
        """Ask for the page that an earlier run was at, as if this one had read those before it."""
        return self.first()

    def saw(self, batch: Batch, response: Response, page: OpenedPage) -> None:  # noqa: B027 - most pagers need not look
        """Told the rows of each page of one that `compares`, in order, by another thread than the one that asks `next`."""


class _Single(Pager):
    def next(self, response: Response, page: OpenedPage) -> Ask | None:  # noqa: ARG002 - as any pager
        return None


class _Counted(Pager):
    """Page numbers and offsets: ends at a page without records, or at a short one when all that the API counts was read.

    A short page alone is no end: an API may give smaller pages than it was asked for.
    """

    compares = True

    def __init__(self, stream: Stream, params: Params, paging: PageNumber | Offset) -> None:
        super().__init__(stream, params)
        self._paging = paging
        self._size = paging.size if isinstance(paging, PageNumber) else paging.limit
        self._at = paging.first
        self._read = 0
        self._overlap = paging.overlap if isinstance(paging, Offset) else 0
        self._stride = self._size - self._overlap
        self._last_page: bytes | None = None
        self._same = 0
        self._total: int | None = None
        self._total_path = parse_path(paging.total_path) if paging.total_path else None
        self._doubtful = False
        self.moves: Moves = Moves(stream, self._overlap)

    def first(self) -> Ask:
        return self._ask(self._at)

    def _ask(self, at: int) -> Ask:
        paging = self._paging
        own: dict[str, int] = {paging.param: at - self._shared(at)}
        size_param = paging.size_param if isinstance(paging, PageNumber) else paging.limit_param
        if size_param:
            own[size_param] = self._size
        return Ask(self._stream.path, {**self._params, **own})

    def _shared(self, at: int) -> int:
        """How many records of the page before, if there is one, the page at `at` begins with."""
        return min(self._overlap, at - self._paging.first)

    def next(self, response: Response, page: OpenedPage) -> Ask | None:
        fetched, shared = page.fetched, self._shared(self._at)
        before, total = self._total, self._counted(response, page)
        self._total = total or before  # past its end an API may count 0, or not at all
        uncounted = self._total is None or self._read + fetched >= self._total
        # A full page is the last one where all that the API counts was read; it may say so, or answer 404 to the next number.
        last = page.counted and uncounted and (fetched < self._size or self._total is not None)
        self.past_a_short_page = isinstance(self._paging, PageNumber) and last
        if fetched <= shared:
            self._all_read()
            return None
        step = max(1, self._step(page) - shared)
        self._stride = max(1, step + shared - self._overlap)
        self._read += step
        if fetched < self._size and page.counted and self._total is not None and self._read >= self._total:
            return None
        # Not the body: an API that ignores the parameter may number its answers.
        text = page.text()
        # A list that grew by a page gives one again. Where that cannot be told by its count, once is allowed.
        self._same = self._same + 1 if text == self._last_page else 0
        grown = total > before if total and before else self._overlap > 0 and self._same == 1
        if self._same and not grown:
            raise PagingError(
                f"the page at {self._paging.param}={self._at} is the one before it again",
                field="paging",
                remedy=f"The API seems to ignore {self._paging.param!r}: check the paging's parameters.",
            )
        self._last_page = text
        self._at += 1 if isinstance(self._paging, PageNumber) else step
        return self._ask(self._at)

    def ahead(self, ask: Ask, most: int) -> list[Ask]:
        if self._total is None:
            return [ask]
        # An API may give smaller pages than it was asked for: those to come will be like the last one.
        pages = min(most, max(1, -(-(self._total - self._read) // self._stride)))
        step = 1 if isinstance(self._paging, PageNumber) else self._stride
        return [self._ask(self._at + step * number) for number in range(pages)]

    def place(self, ask: Ask) -> Place | None:  # noqa: ARG002 - as any pager
        return Place(self._at, self._read, self._total, bool(self.moves.signs))

    def back_to(self, place: Place) -> Ask:
        if isinstance(place.at, int):
            self._at, self._read, self._total = place.at, place.read, place.total
            self.moves.go_on(place.total, moved=place.moved)
        return self._ask(self._at)

    def _step(self, page: OpenedPage) -> int:
        """How many records on the next page begins; where that is in doubt, rather too few: they come again, and none is lost."""
        if page.counted or page.fetched == self._size or isinstance(self._paging, PageNumber):
            return page.fetched
        return max(1, page.rows)

    def _all_read(self) -> None:
        if self._total is not None and self._read < self._total:
            raise PagingError(
                f"the API counts {self._total:,} records and gave {self._read:,} until a page without any",
                field="paging",
                remedy=f"Check the paging: the API may not count from {self._paging.first}, or not allow {self._size:,} a page.",
            )

    def _counted(self, response: Response, page: OpenedPage) -> int | None:
        """How many records the API says there are, in the body or in a header."""
        if self._total_path:
            value = page.value(self._total_path)
            return value if isinstance(value, int) and not isinstance(value, bool) else None
        return counted_in_header(response)

    def saw(self, batch: Batch, response: Response, page: OpenedPage) -> None:
        self.moves.page(batch, self._counted(response, page), doubled=self._doubtful)
        self._doubtful = self._step(page) != page.fetched


class _Linked(Pager):
    """Page tokens and next links: ends when the API names no next one."""

    def __init__(self, stream: Stream, params: Params, paging: Token | NextLink) -> None:
        if paging.size_param:
            params = {**params, paging.size_param: paging.size}
        super().__init__(stream, params)
        self._paging = paging
        self._path = parse_path(paging.path) if paging.path else None
        self._seen: set[bytes] = set()
        self._empty = 0

    def next(self, response: Response, page: OpenedPage) -> Ask | None:
        self._empty = self._empty + 1 if page.empty else 0
        if self._empty >= _EMPTY_PAGES:
            raise PagingError(
                f"{_EMPTY_PAGES:,} pages in a row had no record, and each named a next one", remedy="Ask the API's owner."
            )
        place = self._place(response, page)
        if place is None:
            return None
        digest = _digest(place.encode())
        if digest in self._seen:
            raise PagingError(
                "the API named a next page that it had named before in this slice",
                field="paging",
                remedy="Check the paging's path and parameter; if they are right, ask the API's owner.",
            )
        self._seen.add(digest)
        return self._ask(place)

    def _ask(self, place: str) -> Ask:
        if isinstance(self._paging, Token):
            return Ask(self._stream.path, {**self._params, self._paging.param: place}, token=True)
        return Ask(place, token=True)

    def place(self, ask: Ask) -> Place | None:
        if not ask.token:
            return Place(None)
        return Place(str(ask.params[self._paging.param]) if isinstance(self._paging, Token) else ask.url)

    def back_to(self, place: Place) -> Ask:
        if not isinstance(place.at, str):
            return self.first()
        self._seen.add(_digest(place.at.encode()))
        return self._ask(place.at)

    def _place(self, response: Response, page: OpenedPage) -> str | None:
        """The next token, or the next page's whole URL; None when there is none."""
        value: Any
        value = response.link(self._paging.rel) if isinstance(self._paging, NextLink) and self._path is None else None
        if self._path is not None:
            value = page.value(self._path)
        if value is None or value is ABSENT or value is False or value == "":
            return None
        if isinstance(self._paging, Token) and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise ResponseError(
                f"the next page is named by a {type(value).__name__} and not by text",
                field="paging.path",
                remedy="Name the path to the token or URL itself.",
            )
        return value if isinstance(self._paging, Token) else _link(response.url, value)


def pager_for(stream: Stream, params: Params) -> Pager:
    """The pager of one slice, `params` being the query without paging."""
    match stream.paging:
        case Single():
            return _Single(stream, params)
        case PageNumber() | Offset() as paging:
            return _Counted(stream, params, paging)
        case Token() | NextLink() as paging:
            return _Linked(stream, params, paging)


def posted(body: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """The JSON body of a POST: `body` with each parameter at its dotted name."""
    whole = dict(body)
    for name, value in params.items():
        *steps, last = name.split(".")
        place = whole
        for step in steps:
            below = place.get(step)
            place[step] = dict(below) if isinstance(below, Mapping) else {}
            place = place[step]
        place[last] = value
    return whole


def _link(page: str, there: str) -> str:
    """Where a page's link leads; the client sees to it that it stays at home."""
    try:
        whole = urljoin(page, there)
    except ValueError:
        whole = ""
    if "://" not in whole:
        raise ResponseError(
            f"the API gave a link that is no URL: {there[:_SHOWN]!r}", field="paging", remedy="Ask the API's owner."
        )
    return whole


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=12).digest()


def counted_in_header(response: Response) -> int | None:
    """How many records a header says there are, in the slice or in all; None where none says so."""
    for name in _TOTALS:
        text = response.headers.get(name, "")
        if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
            return int(text)
    return None
