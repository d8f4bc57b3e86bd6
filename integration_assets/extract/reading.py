"""A slice read page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from integration_assets.errors import IntegrationError, LimitExceededError, ResponseError
from integration_assets.extract.client import Response, SourceClient
from integration_assets.extract.decode import BrokenBodyError, DecodedPage, decoder_for, no_records
from integration_assets.extract.paging import Ask, Params, pager_for
from integration_assets.spec.contract import Contract
from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Batch, Drift
from integration_assets.spec.source import Source, Stream

_NO_CONTENT = 204
_NOT_MODIFIED = 304
_NOT_FOUND = 404
_SHOWN = 120
_PATHS = 200
_OTHERS = "(other fields)"


class Reading:
    """The batches of a slice, one a page, each fetched when it is asked for; iterate once.

    etag      : of the snapshot that is already there: an API that still has it answers 304, and nothing is read.
    max_pages : stop quietly after so many pages; None reads on, up to the source's limit.

    While it is read: `pages` so far, `drift` against the contract, `unchanged` after a 304, the answer's `etag`,
    `warnings` for the receipt.
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
    ) -> None:
        self.pages = 0
        self.drift = Drift()
        self.unchanged = False
        self.etag = etag
        self.warnings: list[str] = []
        self._client = client
        self._source = source
        self._stream = stream
        self._asked_etag = etag if stream.conditional else None
        self._max_pages = max_pages
        self._decoder = decoder_for(source, stream, contract)
        params: Params = {**stream.params, **(stream.cursor.query(slice_) if stream.cursor else {})}
        self._pager = pager_for(stream, params, self.warnings.append)

    def __iter__(self) -> Iterator[Batch]:
        """Raises what `SourceClient.get` raises, and `PagingError`, `LimitExceededError` and `ResponseError` of its own."""
        ask: Ask | None = self._pager.first()
        while ask is not None:
            try:
                page, ask = self._turn(ask)
            except IntegrationError as error:
                if isinstance(error, ResponseError) and error.status == _NOT_FOUND and self._pager.past_a_short_page:
                    return  # page numbers whose API says "no such page" after the last one
                error.at(self._source.name, self._stream.name)
                raise
            if page is None:
                return
            yield page.batch

    def _turn(self, ask: Ask) -> tuple[DecodedPage | None, Ask | None]:
        """One page, and which comes after it."""
        response, page = self._fetch(ask)
        if page is None:
            self.unchanged = True
            return None, None
        self.pages += 1
        self.drift.add(page.drift)
        _bound(self.drift.new)
        _bound(self.drift.retyped)
        self.etag = response.headers.get("etag")
        if self._max_pages is not None and self.pages >= self._max_pages:
            return page, None
        following = self._pager.next(response, page)
        if following is not None and self.pages >= self._source.limits.max_pages:
            raise LimitExceededError(
                f"the slice has more than {self._source.limits.max_pages:,} pages",
                field="limits.max_pages",
                remedy="Pull shorter slices or larger pages, or raise the source's limits.max_pages.",
            )
        return page, following

    def _get(self, ask: Ask) -> Response:
        headers = dict(self._stream.headers)
        if self._asked_etag is not None:
            headers["If-None-Match"] = self._asked_etag
        response = self._client.get(ask.url, ask.params, headers, self._stream.name, page_token=ask.token)
        if response.status == _NOT_MODIFIED and self._asked_etag is None:
            raise ResponseError("the API answered 304 to a request without If-None-Match", remedy="Ask the API's owner.")
        return response

    def _fetch(self, ask: Ask) -> tuple[Response, DecodedPage | None]:
        """The answer and its page, None for one that is unchanged; a body that is broken as a whole is fetched once more."""
        response = self._get(ask)
        try:
            return response, self._page(response)
        except BrokenBodyError:
            self._client.usage.add(retries=1)
            response = self._get(ask)
        try:
            return response, self._page(response)
        except BrokenBodyError as error:
            raise ResponseError(
                f"{error.what}, twice; it begins {self._client.excerpt(response.body, _SHOWN)!r}",
                field="format",
                remedy="Ask the API's owner.",
            ) from error

    def _page(self, response: Response) -> DecodedPage | None:
        if response.status == _NOT_MODIFIED:
            return None
        if response.status == _NO_CONTENT:
            return no_records(self._decoder.schema)
        content_type = response.headers.get("content-type")
        if response.body.strip():
            self._check_type(content_type, response)
        return self._decoder.page(response.body, content_type)

    def _check_type(self, content_type: str | None, response: Response) -> None:
        media = (content_type or "").partition(";")[0].strip().lower()
        allowed = self._stream.format.content_types
        if not media or any(media.endswith(entry) if entry.startswith("+") else media == entry for entry in allowed):
            return
        raise ResponseError(
            f"the answer has the content type {media} and begins {self._client.excerpt(response.body, _SHOWN)!r}",
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
