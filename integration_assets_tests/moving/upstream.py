"""An API on loopback whose list changes between two pages of a read, and its own account of what is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any, Literal

import pandera.pandas as pandera

from integration_assets.feed import Feed, open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import (
    Cursor,
    Limits,
    NextLink,
    Offset,
    PageNumber,
    Partitions,
    Single,
    Source,
    Stream,
    Token,
    Tombstone,
)
from integration_assets.spec.contract import Int64, String, Timestamp, column
from integration_assets.spec.paging import Paging
from integration_assets.stores import Stores
from integration_assets_tests.extract.serving import Answer, Asked, page, serve

EPOCH = datetime(2024, 3, 1, tzinfo=UTC)
LOOKBACK = 20
"""Seconds that a record may become visible late; each sync reads them again."""
SKEW = 3
"""Seconds by which a record's own clock may be ahead of the API's."""
PAGE = 2
HERE = "integration_assets_tests.moving.upstream"


class Item(pandera.DataFrameModel):
    """A record with a text that changes."""

    id: Int64 = column(nullable=False)
    value: String = column(nullable=False)
    updated_at: Timestamp = column(nullable=False)


@dataclass(frozen=True)
class Form:
    """How an API pages its list.

    closed  : it filters by the end of a range too.
    order   : of the list, by when records changed; `shuffled` is another one at each request.
    at_once : connections that ask for pages at the same time.
    moves   : whether the list may change while it is read and the engine must still say what it may have missed.
    """

    name: str
    paging: Paging
    closed: bool = True
    order: Literal["oldest first", "newest first", "shuffled"] = "oldest first"
    at_once: int = 1
    moves: bool = True


FORMS = (
    Form("single", Single()),
    Form("page number", PageNumber(size=PAGE)),
    Form("page numbers at once", PageNumber(size=PAGE), at_once=3),
    Form("offset", Offset(limit=PAGE, total_path="meta.total")),
    Form("offset, open range", Offset(limit=PAGE, total_path="meta.total"), closed=False),
    Form("offset, newest first", Offset(limit=PAGE, total_path="meta.total"), closed=False, order="newest first"),
    Form("offset, no order", Offset(limit=PAGE, total_path="meta.total"), order="shuffled", moves=False),
    Form("overlap", Offset(limit=PAGE, overlap=1)),
    Form("overlap, open range", Offset(limit=PAGE, overlap=1), closed=False),
    Form("overlap, newest first", Offset(limit=PAGE + 1, overlap=1), closed=False, order="newest first"),
    Form("overlap, no order", Offset(limit=PAGE, overlap=1), order="shuffled", moves=False),
    Form("token", Token(path="meta.next", param="token", size_param="limit", size=PAGE)),
    Form("next link", NextLink(path="meta.next", size_param="limit", size=PAGE)),
    Form("link header", NextLink(size_param="limit", size=PAGE), closed=False),
)


@dataclass(frozen=True, order=True)
class Version:
    """A record as it was from a moment on, in seconds since the beginning."""

    at: int
    id: int
    value: str = ""
    gone: bool = False


Change = Callable[["Upstream"], object]


@dataclass
class Upstream:
    """The list, its clock, and the changes that wait for the next pages: one is made after each page that is sent.

    shown     : what was sent to those who asked from each moment on, that is for each slice.
    forgotten : when the records were deleted whose deletion is shown no more.
    arrived   : records that came in late, perhaps unseen, while the list was read.
    """

    form: Form
    clock: int = 1
    records: dict[int, Version] = field(default_factory=dict)
    waiting: list[Change] = field(default_factory=list)
    shown: dict[int, set[Version]] = field(default_factory=dict)
    forgotten: dict[int, int] = field(default_factory=dict)
    arrived: set[int] = field(default_factory=set)
    requests: int = 0
    url: str = ""
    lock: Lock = field(default_factory=Lock)

    def put(self, number: int, value: str, ahead: int = 0) -> None:
        """Insert or update; never before the record's own last version."""
        known = self.records.get(number)
        self.records[number] = Version(max(self.clock + ahead, known.at if known else 0), number, value)

    def late(self, number: int, value: str, behind: int) -> None:
        """A version that becomes visible only now; nothing where the record has a newer one, or was deleted since."""
        at, known = max(0, self.clock - behind), self.records.get(number)
        if (known.at if known else self.forgotten.get(number, -1)) < at:
            self.records[number] = Version(at, number, value)

    def delete(self, number: int) -> None:
        """Leave a tombstone."""
        if (known := self.records.get(number)) is not None and not known.gone:
            self.records[number] = replace(known, at=max(self.clock, known.at), gone=True)

    def purge(self, before: int) -> None:
        """Forget the oldest tombstone that is older: the list gets shorter."""
        old = sorted(one for one in self.records.values() if one.gone and one.at < before)
        for one in old[:1]:
            del self.records[one.id]
            self.forgotten[one.id] = one.at

    def within(self, start: int, end: int) -> list[Version]:
        """The list of a range, oldest first."""
        return sorted(one for one in self.records.values() if start <= one.at < end)

    def stream(self) -> Stream:
        """The list as a stream that is merged by key."""
        cursor = Cursor(
            field="updated_at",
            start=EPOCH,
            start_param="since",
            end_param="until" if self.form.closed else None,
            lookback=timedelta(seconds=LOOKBACK),
        )
        return Stream(
            name="items",
            path="/items",
            contract=f"{HERE}:Item",
            key=("id",),
            paging=self.form.paging,
            cursor=cursor,
            partitions=Partitions(every="hour", start=date(2024, 3, 1)),
            tombstone=Tombstone(path="gone"),
        )

    @contextmanager
    def feed(self, folder: Path) -> Iterator[tuple[Feed, Stores]]:
        """The stream, opened over an own lake and warehouse in `folder`."""
        limits = Limits(attempts=2, wait_initial=0, max_connections=self.form.at_once)
        source = Source(name="moving", base_url=self.url, streams=(self.stream(),), limits=limits, clock_path="/clock")
        settings = Settings.from_environ(
            {"INTEGRATION_LAKE_URI": str(folder / "lake"), "INTEGRATION_WAREHOUSE_URI": str(folder / "warehouse.duckdb")}
        )
        stores = Stores.from_settings(settings)
        with open_feeds(source, stores, settings) as feeds:
            yield feeds[0], stores

    @contextmanager
    def served(self) -> Iterator[Upstream]:
        """Answer requests while the context is open."""
        with serve(self.answer) as server:
            self.url = server.url
            yield self

    def answer(self, asked: Asked) -> Answer:
        """One request's; then one of the waiting changes is made."""
        with self.lock:
            if asked.path == "/clock":
                return Answer(headers={"Date": format_datetime(moment(self.clock), usegmt=True)})
            self.requests += 1
            answer, sent = self._page(asked)
            self.shown.setdefault(seconds(asked.query.get("since")) or 0, set()).update(sent)
            if self.waiting:
                self.waiting.pop(0)(self)
            return answer

    def _page(self, asked: Asked) -> tuple[Answer, list[Version]]:
        found = self.listed(asked.query)
        sent = self.by_number(found, asked.query)
        match self.form.paging:
            case Single():
                return _body(found), found
            case PageNumber():
                return _body(sent, X_Total_Count=str(len(found))), sent
            case Offset() as paging:
                return _body(sent, total=len(found) if paging.total_path else None), sent
            case Token() | NextLink():
                return self._after(asked, found)

    def listed(self, query: Mapping[str, object]) -> list[Version]:
        """The list that is asked for, in the form's order."""
        found = self.within(seconds(query.get("since")) or 0, seconds(query.get("until")) or 2**40)
        if self.form.order == "newest first":
            found.reverse()
        elif self.form.order == "shuffled":
            Random(self.requests).shuffle(found)  # noqa: S311 - a repeatable disorder, no secret
        return found

    def by_number(self, found: list[Version], query: Mapping[str, object]) -> list[Version]:
        """The page of the list that an offset or a page number names; all of it where none is asked for."""
        if "page" in query:
            first = (int(str(query["page"])) - 1) * PAGE
            return found[first : first + int(str(query["per_page"]))]
        first = int(str(query.get("offset", 0)))
        return found[first : first + int(str(query["limit"]))] if "offset" in query else found

    def _after(self, asked: Asked, found: list[Version]) -> tuple[Answer, list[Version]]:
        """Pages that go on after the last record, by when it changed and its number: a place that no change moves."""
        if after := asked.query.get("token"):
            at, number = map(int, after.split("."))
            found = [one for one in found if (one.at, one.id) > (at, number)]
        sent = found[:PAGE]
        following = f"{sent[-1].at}.{sent[-1].id}" if len(found) > PAGE else None
        if isinstance(self.form.paging, Token) or following is None:
            return _body(sent, next=following), sent
        kept = "&".join(f"{name}={value.replace(':', '%3A')}" for name, value in asked.query.items() if name != "token")
        link = f"{self.url}/items?{kept}&token={following}"
        if isinstance(self.form.paging, NextLink) and self.form.paging.path:
            return _body(sent, next=link), sent
        return _body(sent, Link=f'<{link}>; rel="next"'), sent


def _body(sent: list[Version], X_Total_Count: str = "", Link: str = "", **meta: object) -> Answer:  # noqa: N803 - headers
    data = [{"id": one.id, "value": one.value, "updated_at": moment(one.at).isoformat(), "gone": one.gone} for one in sent]
    return page({"data": data, "meta": meta}, X_Total_Count=X_Total_Count, Link=Link)


def moment(at: int) -> datetime:
    """Seconds since the beginning as a time."""
    return EPOCH + timedelta(seconds=at)


def seconds(text: object) -> int | None:
    """The inverse, of text too."""
    told = datetime.fromisoformat(text) if isinstance(text, str) else text
    return int((told - EPOCH) / timedelta(seconds=1)) if isinstance(told, datetime) else None


def row(found: dict[str, Any]) -> Version:
    """A row of lake or warehouse as the version it is of."""
    at = seconds(found["updated_at"])
    assert at is not None
    return Version(at, found["id"], found["value"] or "", bool(found.get("_deleted")))
