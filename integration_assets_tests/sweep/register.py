"""An API that never says that a record is gone: it stops giving it, in its feed and in its list of keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from integration_assets.feed import Feed
from integration_assets.land.fingerprint import lake_fingerprint
from integration_assets.land.warehouse import Target
from integration_assets.spec import Json, Limits, Stream, Sweep, Token
from integration_assets.stores import Stores
from integration_assets.sweep import Swept, sweep
from integration_assets.sync import merge
from integration_assets_tests.flow.mini import Mini

PAGE = 10
IDS = Sweep(path="/ids", format=Json(records="keys"), paging=Token(path="next", param="after"), fields={"id": "ref.id"})


@dataclass
class Register(Mini):
    """Items by `/items?since=`, and their keys by `/ids`, ten a page.

    list_as : what `/ids` gives in place of the items' keys; None is all that there are.
    total   : what it says there are; None says nothing.
    on_list : called before each page of the list, with the number of its first key.
    """

    list_as: Sequence[Any] | None = None
    total: Callable[[int], int] | None = None
    on_list: Callable[[int], object] = lambda _: None

    def fill(self, count: int) -> None:
        """Items 1 to `count`, each with its number as version and ten times that as value."""
        self.records = [self.item(number) for number in range(1, count + 1)]

    def item(self, number: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
        """One item."""
        return {"id": number, "seq": number, "value": 10 * number, **changes}

    def drop(self, *numbers: int) -> list[dict[str, Any]]:
        """Give some items no more; returns them."""
        gone = [one for one in self.records if one["id"] in numbers]
        self.records = [one for one in self.records if one["id"] not in numbers]
        return gone

    def swept(self, **changes: Any) -> Stream:  # noqa: ANN401 - any setting of a stream
        """The items with a sweep of their keys; without a word of the API on deletions."""
        return self.stream(**{"tombstone": None, "sweep": IDS, **changes})

    def sweep(self, stream: Stream | None = None, **wanted: Any) -> list[Swept]:  # noqa: ANN401 - what sweep takes
        """Sweep, and merge what was found; what became of it."""
        with self.feed(stream or self.swept()) as (feed, stores):
            return list(sweep(feed, stores, "sweep", "tester", **wanted))

    def version(self) -> int | None:
        """The lake's version."""
        with self.feed(self.swept()) as (feed, _):
            return feed.table.version()

    def table(self, columns: str = "id, seq, value, _deleted_at is null as live") -> list[tuple[Any, ...]]:
        """The warehouse's rows, deleted ones too."""
        with self.feed(self.swept()) as (_, stores):
            found = stores.warehouse.query(f"select {columns} from mini.items order by 1")
        return [tuple(row.values()) for row in found.to_pylist()]

    def live(self) -> list[int]:
        """The keys of the live rows, as the view shows them."""
        with self.feed(self.swept()) as (_, stores):
            return stores.warehouse.query("select id from mini.items_live order by 1").column("id").to_pylist()

    def rebuilt(self) -> list[tuple[Any, ...]]:
        """The warehouse's rows after it was lost and built again from the lake alone, which must be as they were."""
        columns = "id, seq, value, _deleted_at, _extracted_at"
        before = self.table(columns)
        (self.folder / "warehouse.duckdb").unlink()
        with self.feed(self.swept()) as (feed, stores):
            merge(feed, stores, "rebuild")
            check_equal(feed, stores)
        assert self.table(columns) == before
        return before

    def answer(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: ANN401 - a Message
        """Status, headers and body of one request."""
        if path != "/ids":
            return super().answer(path, query, headers)
        begin = int(query.get("after", 0))
        self.on_list(begin)
        keys = [{"ref": {"id": one["id"]}} for one in self.records] if self.list_as is None else list(self.list_as)
        following = str(begin + PAGE) if begin + PAGE < len(keys) else None
        body: dict[str, Any] = {"keys": keys[begin : begin + PAGE], "next": following}
        if self.total is not None:
            body["count"] = self.total(len(keys))
        return 200, {}, json.dumps(body).encode()


@contextmanager
def few_pages(register: Register, stream: Stream) -> Iterator[tuple[Feed, Stores]]:
    """The stream, at an API of which no slice and no list may have more than two pages."""
    from dataclasses import replace

    with register.feed(stream) as (feed, stores):
        limits = Limits(attempts=2, wait_initial=0, max_pages=2)
        yield replace(feed, source=feed.source.changed(limits=limits)), stores


def check_equal(feed: Feed, stores: Stores) -> None:
    """See that the warehouse's table has what the lake says it must have."""
    aim = Target.of(feed.source, feed.stream, feed.contract)
    assert stores.warehouse.fingerprint(aim) == lake_fingerprint(aim, feed.table)
