"""An API of many pages in five forms, and a run over it that can be made in a process of its own, to be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandera.pandas as pandera

from integration_assets.errors import IntegrationError
from integration_assets.feed import Feed, open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Bearer, Cursor, Json, Limits, NextLink, Offset, PageNumber, Source, Stream, Token
from integration_assets.spec.contract import Int64, Timestamp, column
from integration_assets.spec.receipt import Receipt
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets_tests.extract.serving import Answer, Asked, Serving, page, serve

KEY = "resume-secret-key-31"
HERE = "integration_assets_tests.resume.upstream"
ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)
SIZE = 4
FORMS = {
    "page_number": PageNumber(size=SIZE),
    "counted": PageNumber(size=SIZE),
    "offset": Offset(limit=SIZE),
    "token": Token(path="next", param="after"),
    "next_link": NextLink(path="next"),
    "link_header": NextLink(),
}


class Item(pandera.DataFrameModel):
    """A record with the second in which it changed last."""

    id: Int64 = column(nullable=False)
    updated_at: Timestamp = column(nullable=False)
    value: Int64 = column(ge=0)


class ChangedItem(Item):
    """The same, held against another rule."""

    value: Int64 = column(ge=-1)


def record(number: int, value: int | None = None) -> dict[str, Any]:
    """The record of that number, as the API gives it."""
    moment = ORIGIN + timedelta(seconds=number)
    return {"id": number, "updated_at": moment.isoformat(), "value": number % 97 if value is None else value}


def _utc(one: dict[str, Any]) -> str:
    return str(one["updated_at"]).replace("+00:00", "Z")


@dataclass
class Upstream:
    """`GET /items` page by page in the form asked for by the path, and what befalls it.

    pages   : how many there are.
    signed  : what the API puts into its links.
    on_page : told the number of each page before it is answered; its answer, if it gives one, is sent instead.
    """

    pages: int
    folder: Path
    on_page: Callable[[int], Answer | None] = lambda _: None
    url: str = ""
    asked: list[int] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    generation: int = 0
    signed: str = ""

    def __post_init__(self) -> None:
        self.records = [record(number) for number in range(self.pages * SIZE)]

    def answer(self, asked: Asked) -> Answer:
        """One page: numbers begin with 0 here."""
        form = asked.path.removeprefix("/")
        query = asked.query
        match form:
            case "page_number" | "counted":
                number = int(query["page"]) - 1
            case "offset":
                number = int(query["offset"]) // SIZE
            case _:
                number = int(query.get("after", f"0.{self.generation}").partition(".")[0])
        self.asked.append(number)
        instead = self.on_page(number)
        if instead is not None:
            return instead
        begin = int(query["offset"]) if form == "offset" else number * SIZE
        chosen = [one for one in self.records if query.get("since", "") <= _utc(one) < query.get("until", "9")]
        data = chosen[begin : begin + SIZE]
        following = f"{number + 1}.{self.generation}" if begin + SIZE < len(chosen) else None
        link = f"/{form}?{urlencode({**query, 'after': following})}&{self.signed}" if following else None
        match form:
            case "token":
                return page({"data": data, "next": following})
            case "next_link":
                return page({"data": data, "next": link})
            case "link_header":
                return page({"data": data}, Link=f'<{link}>; rel="next"' if link else "")
            case "counted":
                return page({"data": data}, X_Total_Count=str(len(chosen)))
        return page({"data": data})

    @contextmanager
    def served(self) -> Iterator[Upstream]:
        """Answer while the block runs."""
        with serve(self.answer) as serving:
            self.url = serving.url
            yield self

    def job(self, form: str, **changes: Any) -> Pull:  # noqa: ANN401 - any setting of a pull
        """A run over it."""
        return Pull(self.url, str(self.folder), form, **changes)

    def truth(self) -> list[tuple[int, int]]:
        """What the warehouse should have."""
        return sorted((one["id"], one["value"]) for one in self.records)


@dataclass(frozen=True)
class Pull:
    """One sync of the items into the lake and the warehouse in `folder`; it can be sent to another process."""

    url: str
    folder: str
    form: str
    contract: str = f"{HERE}:Item"
    limits: dict[str, Any] = field(default_factory=dict)
    stream: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def feed(self) -> Iterator[tuple[Feed, Stores]]:
        """The stream, opened."""
        cursor = Cursor(field="updated_at", start=ORIGIN, start_param="since", end_param="until", lookback=timedelta(seconds=8))
        stream = Stream(
            name="items",
            path=f"/{self.form}",
            contract=self.contract,
            key=("id",),
            format=Json(records="data"),
            paging=FORMS[self.form],
            cursor=cursor,
        ).changed(**self.stream)
        limits = {"attempts": 1, "wait_initial": 0, "checkpoint_pages": 60, "checkpoint_seconds": 0, **self.limits}
        source = Source(name="api", base_url=self.url, auth=Bearer(secret="API_KEY"), streams=(stream,), limits=Limits(**limits))
        settings = Settings.from_environ(
            {
                "INTEGRATION_LAKE_URI": f"{self.folder}/lake",
                "INTEGRATION_WAREHOUSE_URI": f"{self.folder}/warehouse.duckdb",
                "INTEGRATION_LIMITS_URI": f"{self.folder}/limits",
                "API_KEY": KEY,
                **self.environ,
            }
        )
        stores = Stores.from_settings(settings)
        with open_feeds(source, stores, settings) as feeds:
            yield feeds[0], stores

    def run(self, run_id: str = "run", **asked: Any) -> list[Receipt]:  # noqa: ANN401 - what sync takes
        """Sync and merge; the receipts."""
        with self.feed() as (feed, stores):
            receipts = list(sync(feed, run_id, **asked))
            merge(feed, stores, run_id)
            return receipts

    def rows(self) -> list[tuple[int, int]]:
        """What the warehouse has."""
        with self.feed() as (_, stores):
            found = stores.warehouse.query("select id, value from api.items order by id").to_pylist()
        return [(row["id"], row["value"]) for row in found]

    def landed(self) -> int:
        """Rows in the lake: more than there are records when some landed twice."""
        with self.feed() as (feed, _):
            return feed.table.count()

    def begun(self) -> list[int]:
        """How many pages are kept of each slice that is not finished."""
        with self.feed() as (feed, _):
            return [int(one.account["pages"]) for one in feed.table.checkpoints.live()]


def _in_child(pull: Pull, state: str) -> None:
    os.environ["XDG_STATE_HOME"] = state
    pull.run("killed")


def start(pull: Pull) -> multiprocessing.process.BaseProcess:
    """The pull in a process of its own, forked from one without threads that has all it needs imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([HERE])
    process = context.Process(target=_in_child, args=(pull, os.environ["XDG_STATE_HOME"]), daemon=True)
    process.start()
    return process


def killed_at(upstream: Upstream, pull: Pull, number: int, timeout: float = 120, by: int = signal.SIGKILL) -> None:
    """Run the pull in a process that is killed, or gets another signal, at the instant when it asks for that page."""
    process = start(pull)

    def kill(at: int) -> Answer | None:
        if at == number and process.pid:
            os.kill(process.pid, by)
        return None

    upstream.on_page = kill
    process.join(timeout=timeout)
    upstream.on_page = lambda _: None
    assert process.exitcode == (1 if by == signal.SIGINT else -by)


def failure(pull: Pull, **asked: Any) -> IntegrationError:  # noqa: ANN401 - what sync takes
    """The error with which the pull ends."""
    try:
        pull.run(**asked)
    except IntegrationError as error:
        return error
    raise AssertionError("it did not fail")


__all__ = ["Serving", "Upstream", "failure", "killed_at", "start"]
