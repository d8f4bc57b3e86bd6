"""A slice read page by page."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

import pyarrow as pa

from integration_assets.errors import (
    HumanNeededError,
    IntegrationError,
    LimitExceededError,
    PageTokenExpiredError,
    ResponseError,
)
from integration_assets.extract.ahead import Ahead
from integration_assets.extract.client import Response, SourceClient
from integration_assets.extract.decode import BrokenBodyError, OpenedPage, decoder_for, no_records
from integration_assets.extract.lane import Lane
from integration_assets.extract.moving import told
from integration_assets.extract.paging import Ask, Params, Place, pager_for, posted
from integration_assets.extract.position import PlaceLostError, Position, mark_of, without_credential
from integration_assets.extract.status import printable
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Batch, Drift, combine
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.tenants import for_tenant

AHEAD_PAGES = 32
"""Pages that are fetched ahead of the one that is worked on."""
AHEAD_BYTES = 16 * 2**20
"""Or so many bytes of them, when pages are large."""
GATHER_BYTES, GATHER_SECONDS = 2 * 2**20, 0.25
"""Small pages are let come in until so many bytes wait, so long at the most: to begin with one costs more than its records."""
TOGETHER_BYTES = 8 * 2**20
"""Bytes of neighbouring pages that are decoded at once, when so many wait: what a page costs by itself is then shared."""
_NO_CONTENT = 204
_NOT_MODIFIED = 304
_NOT_FOUND = 404
_SHOWN = 120
_PATHS = 200
_NAME, _LOOKED_AT = 200, 10_000
_OTHERS = "(other fields)"


@dataclass(frozen=True)
class _Answer:
    """A response and its page, None for a snapshot that is unchanged; and where it is, if another run can find it there."""

    response: Response
    page: OpenedPage | None
    place: Place | None = None

    @property
    def weight(self) -> int:
        return self.page.weight if self.page else 0


class Reading:
    """The batches of a slice, each of one page or of neighbours that waited to be decoded; iterate once.

    While a batch is worked on, the next pages are fetched: a few, in one order. Those that are named by numbers are asked for
    on several connections at once where the API counts its records.

    etag      : of the snapshot that is already there: an API that still has it answers 304, and nothing is read.
    max_pages : stop quietly after so many pages; None reads on, up to the source's limit.
    lane      : this slice's place beside others that are read at once.
    left      : the last page that an earlier run took in, and how many it had then: the slice is read from the next one on.
    came      : the rows that the earlier run took in, as they are stored; those of them that come again show that a list moved.

    A list that is read by number and moves meanwhile is read a second time, where records have a key.

    While it is read: `pages` so far, `drift` against the contract, `unchanged` after a 304, the answer's `etag`, `moved` as
    its own docstring says, `times` that it was read, `warnings` for the receipt.
    """

    def __init__(
        self,
        client: SourceClient,
        source: Source,
        stream: Stream,
        contract: Contract,
        slice_: Slice,
        etag: str | None = None,
        max_pages: int | None = None,
        lane: Lane | None = None,
        left: tuple[Position, int] | None = None,
        came: Callable[[], Iterable[pa.Table]] = tuple,
    ) -> None:
        self.pages = left[1] if left else 0
        self.drift = Drift()
        self.unchanged = False
        self.etag = etag
        self.warnings: list[str] = []
        stream = for_tenant(stream, slice_.tenant)
        self._client = client
        self._source = source
        self._stream = stream
        self._asked_etag = etag if stream.conditional else None
        self._max_pages = max_pages
        self._lane = lane or Lane()
        self._ahead_bytes = self._lane.part(AHEAD_BYTES)
        self._personal = contract.personal
        self._decoder = decoder_for(source, stream, contract, slice_.tenant)
        params: Params = {**stream.params, **(stream.cursor.query(slice_) if stream.cursor else {})}
        self._pager_of = partial(pager_for, stream, params)
        self._pager = self._pager_of()
        self._left_at = left
        self._came = came
        self._last: _Answer | None = None
        self.times = 1
        self.begun = False

    def __iter__(self) -> Iterator[Batch]:
        """Raises what `SourceClient.get` raises, and `PagingError`, `LimitExceededError` and `ResponseError` of its own.

        `PlaceLostError` when an earlier run's place means something else now; no batch came before.
        """
        try:
            yield from self._batches()
            first = self._pager.moves
            if first and first.signs and self._stream.key and self._max_pages is None:
                # What the first time showed and the second does not was visible too. Without a key all of it would be doubled.
                self._pager = self._pager_of()
                self._left_at, self.times = None, 2
                yield from self._batches()
            if first and first.signs:
                self.warnings.append(told(self._stream.paging.kind, first, self._pager.moves))
        except IntegrationError as error:
            self._client.presentable(error).at(self._source.name, self._stream.name)
            raise

    @property
    def moved(self) -> int:
        """Pages at which records may have been passed over, because the list moved, the last time that it was read."""
        return self._pager.moves.signs if self._pager.moves else 0

    def position(self) -> Position | None:
        """Where the last page with records is of those that were handed out, for another run to go on from.

        None where it could not: the paging has no such place, a credential is in it, or the list is read a second time.
        """
        last = self._last
        if last is None or last.page is None or last.place is None or self.times > 1:
            return None
        place = without_credential(replace(last.place, moved=bool(self.moved)), self._client)
        return Position(place, self._mark(last.page)[1]) if place else None

    def _mark(self, page: OpenedPage) -> tuple[Batch, str]:
        """The page's rows, and what it is known again by."""
        batch, _ = self._decoder.decode([page])
        key = self._stream.key
        return batch, mark_of(batch, key, b"" if key else page.text())

    def _batches(self) -> Iterator[Batch]:
        """The slice once, from its first page to its last."""
        with Ahead(self._answers(), lambda answer: answer.weight, AHEAD_PAGES, self._ahead_bytes, self._lane) as ahead:
            while answers := ahead.take(self._lane.part(TOGETHER_BYTES), self._lane.part(GATHER_BYTES), GATHER_SECONDS):
                pages = [answer.page for answer in answers if answer.page]
                self.etag = answers[-1].response.headers.get("etag") if pages else self.etag
                self.unchanged = not pages
                self.begun = True
                batch = self._decoded(pages, [answer.response for answer in answers]) if pages else None
                # Only now: of pages that cannot be decoded none is handed out, and none is a place to go on from. Nor is an empty
                # one, which could not be told from what an API may answer to a token that it forgot.
                self._last = next((one for one in reversed(answers) if one.page and not one.page.empty), self._last)
                if batch is not None:
                    yield batch

    def _decoded(self, pages: Sequence[OpenedPage], responses: Sequence[Response]) -> Batch:
        batch, drift = self._decoder.decode(pages)
        if len(pages) > 1 and self._pager.compares:
            apart = _pages_of(batch, pages)
            if apart is None:  # whose rejects are whose shows only one by one
                return combine([self._decoded([page], [its]) for page, its in zip(pages, responses, strict=True)])
        else:
            apart = [batch]
        self.pages += len(pages)
        drift.new = self._named(drift.new)
        self.drift.add(drift)
        _bound(self.drift.new)
        _bound(self.drift.retyped)
        for rows, response, page in zip(apart, responses, pages, strict=False):
            self._pager.saw(rows, response, page)
        return batch

    def _named(self, paths: Counter[str]) -> Counter[str]:
        """The paths with names as people may see them: an API may send anything for a name, a megabyte or a credential too."""
        named: Counter[str] = Counter()
        for path, count in paths.items():
            shown = printable(self._client.redact(path[:_LOOKED_AT]))
            named[shown if len(shown) <= _NAME else f"{shown[:_NAME]}…"] += count
        return named

    def _answers(self) -> Generator[_Answer, None, None]:
        """The answers in order, each asked for when the one before it has come, or earlier where its place is known."""
        ask, pages = self._start()
        early: deque[tuple[Ask, Future[_Answer]]] = deque()
        connections = self._source.limits.max_connections
        with ExitStack() as stack:
            pool: ThreadPoolExecutor | None = None
            while ask is not None:
                try:
                    answer = early.popleft()[1].result() if early and early[0][0] == ask else self._fetch(ask)
                except ResponseError as error:
                    if error.status == _NOT_FOUND and self._pager.past_a_short_page:
                        return  # page numbers whose API says "no such page" after the last one
                    raise
                yield replace(answer, place=self._pager.place(ask))
                if answer.page is None:
                    return
                pages += 1
                ask = self._following(answer, pages)
                if ask is None:
                    return
                # Pages to come are as large as the last one: those that are fetched early count as those that wait.
                room = max(1, self._ahead_bytes // max(1, answer.weight))
                asks = self._pager.ahead(ask, min(connections, room, self._left(pages)))
                if early and early[0][0] != ask:
                    # A page came short: the places of those after it were wrong.
                    for _, future in early:
                        future.cancel()
                    early.clear()
                if len(asks) > 1 and pool is None:
                    pool = ThreadPoolExecutor(connections, thread_name_prefix="pages")
                    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
                if pool is not None:
                    early.extend((one, pool.submit(self._fetch, one)) for one in asks[len(early) :])

    def _start(self) -> tuple[Ask | None, int]:
        """The first page to read, and how many were read before it.

        The last page of an earlier run is asked for again, to see that it is still there and what comes after it now.
        """
        if self._left_at is None:
            return self._pager.first(), 0
        position, pages = self._left_at
        try:
            answer = self._fetch(self._pager.back_to(position.place))
        except (HumanNeededError, PageTokenExpiredError) as error:
            raise PlaceLostError(self._client.presentable(error).what) from error
        if answer.page is None:
            raise PlaceLostError("there is no page any more where it was left")
        batch, mark = self._mark(answer.page)
        if mark != position.mark:
            raise PlaceLostError("the list moved meanwhile: where it was left is another page now")
        self.begun = True
        self._pager.saw(batch, answer.response, answer.page)
        if self._pager.moves is not None:
            for rows in self._came():
                self._pager.moves.remember(rows)
        return self._following(answer, pages), pages

    def _left(self, pages: int) -> int:
        most = self._source.limits.max_pages if self._max_pages is None else self._max_pages
        return max(1, most - pages)

    def _following(self, answer: _Answer, pages: int) -> Ask | None:
        assert answer.page is not None  # noqa: S101 - asked only after a page
        if self._max_pages is not None and pages >= self._max_pages:
            return None
        following = self._pager.next(answer.response, answer.page)
        if following is not None and pages >= self._source.limits.max_pages:
            raise LimitExceededError(
                f"the slice has more than {self._source.limits.max_pages:,} pages",
                field="limits.max_pages",
                remedy="Pull shorter slices or larger pages, or raise the source's limits.max_pages.",
            )
        return following

    def _get(self, ask: Ask) -> Response:
        headers = dict(self._stream.headers)
        if self._asked_etag is not None:
            headers["If-None-Match"] = self._asked_etag
        name = self._stream.name
        if self._stream.method == "POST":
            body = posted(self._stream.body, ask.params)
            response = self._client.post(ask.url, body, None, headers, name, page_token=ask.token)
        else:
            response = self._client.get(ask.url, ask.params, headers, name, page_token=ask.token)
        if response.status == _NOT_MODIFIED and self._asked_etag is None:
            raise ResponseError("the API answered 304 to a request without If-None-Match", remedy="Ask the API's owner.")
        return response

    def _fetch(self, ask: Ask) -> _Answer:
        """The answer and its page; a body that is broken as a whole is fetched once more."""
        response = self._get(ask)
        try:
            return _Answer(response, self._page(response))
        except BrokenBodyError:
            self._client.usage.add(retries=1)
            response = self._get(ask)
        try:
            return _Answer(response, self._page(response))
        except BrokenBodyError as error:
            raise ResponseError(
                f"{error.what}, twice{self._begins(response)}",
                field="format",
                remedy="Ask the API's owner.",
            ) from error

    def _page(self, response: Response) -> OpenedPage | None:
        if response.status == _NOT_MODIFIED:
            return None
        if response.status == _NO_CONTENT:
            return no_records(self._decoder.schema)
        content_type = response.headers.get("content-type")
        if response.body.strip():
            self._check_type(content_type, response)
        return self._decoder.open(response.body, content_type)

    def _begins(self, response: Response) -> str:
        """How the body begins, for an error; nothing where the contract marks personal data, which may be in it."""
        return "" if self._personal else f"; it begins {self._client.excerpt(response.body, _SHOWN)!r}"

    def _check_type(self, content_type: str | None, response: Response) -> None:
        media = self._client.redact(content_type or "").partition(";")[0].strip().lower()
        allowed = self._stream.format.content_types
        if not media or any(media.endswith(entry) if entry.startswith("+") else media == entry for entry in allowed):
            return
        raise ResponseError(
            f"the answer has the content type {media}{self._begins(response)}",
            field="format",
            remedy=f"Expected is {' or '.join(allowed)}. A page for people often means a wrong path, a login or a proxy.",
        )


def _bound(counts: Counter[str]) -> None:
    """Keep the most frequent paths and sum up the rest: objects keyed by data would make paths without end."""
    if len(counts) > _PATHS:
        for path, count in counts.most_common()[_PATHS - 1 :]:
            if path != _OTHERS:
                del counts[path]
                counts[_OTHERS] += count


def _pages_of(batch: Batch, pages: Sequence[OpenedPage]) -> list[Batch] | None:
    """The rows of each page that was decoded with its neighbours; None where some record became no row."""
    counts = [page.fetched for page in pages]
    if batch.rejects or sum(counts) != batch.table.num_rows:
        return None
    starts = accumulate(counts, initial=0)
    return [Batch(batch.table.slice(start, count), (), (), count) for start, count in zip(starts, counts, strict=False)]
