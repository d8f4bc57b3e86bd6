"""The stateful test: any changes upstream, between reads and during them, and any order of syncs. What was visible is landed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import hypothesis.strategies as st
from deltalake import DeltaTable
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from integration_assets.errors import PagingError
from integration_assets.spec import Receipt, Slice
from integration_assets.sync import merge, sync
from integration_assets_tests.moving.upstream import LOOKBACK, SKEW, Change, Form, Upstream, Version, moment, row, seconds

IDS = st.integers(0, 11)
VALUES = st.sampled_from("abc")
AGES = st.integers(1, LOOKBACK)
HOUR = 3600
STEPS = (1, 2, LOOKBACK, 3 * LOOKBACK, HOUR // 2, HOUR)
PAGES = 6
TRIES = 20
"""Of a read whose order chance makes, which may give one page again and again and is refused then."""
COUNTS: Counter[str] = Counter()
"""What happened in all examples."""


# A record that comes in behind the reading, unseen, and then moves on ahead of it makes up for itself: no form can tell.


def _put(number: int, value: str, ahead: int, up: Upstream) -> None:
    if number not in up.arrived:
        up.put(number, value, ahead)


def _late(number: int, value: str, behind: int, up: Upstream) -> None:
    if number not in up.arrived:
        up.late(number, value, behind)
        up.arrived.add(number)


def _delete(number: int, up: Upstream) -> None:
    if number not in up.arrived:
        up.delete(number)


PUTS = st.builds(partial, st.just(_put), IDS, VALUES, st.sampled_from((0, 0, SKEW)))
LATES = st.builds(partial, st.just(_late), IDS, VALUES, AGES)
DELETES = st.builds(partial, st.just(_delete), IDS)
CHANGES = st.one_of(PUTS, DELETES, LATES, st.just(None))
LEAVING = st.one_of(PUTS, DELETES, st.just(None))


class Moving(RuleBasedStateMachine):
    """One upstream of a form, its lake and its warehouse.

    A range that a receipt tells of is pulled again while the API is quiet, as the receipt says; nothing else is ever mended.
    """

    form: ClassVar[Form]

    def __init__(self) -> None:
        super().__init__()
        self.up = Upstream(self.form)
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(TemporaryDirectory(prefix="moving-")))
        self.stack.enter_context(self.up.served())
        self.feed, self.stores = self.stack.enter_context(self.up.feed(folder))
        self.runs = 0
        self.settled = 0
        self.told: list[Slice] = []
        self.owed: set[Version] = set()
        self.shown: set[Version] = set()

    @initialize(ages=st.lists(st.integers(0, HOUR), min_size=4, max_size=12))
    def fill(self, ages: list[int]) -> None:
        """What was there before the first sync, of which some shares a moment."""
        self.up.clock = HOUR + 1
        self.up.records = {number: Version(at, number, "a") for number, at in enumerate(ages)}

    @rule(numbers=st.lists(IDS, min_size=1, max_size=8, unique=True), value=VALUES, ahead=st.sampled_from((0, 0, SKEW)))
    def put(self, numbers: list[int], value: str, ahead: int) -> None:
        """Insert or update some at one moment."""
        for number in numbers:
            self.up.put(number, value, ahead)

    @rule(number=IDS, value=VALUES, behind=AGES)
    def arrive_late(self, number: int, value: str, behind: int) -> None:
        """A record of a moment that may have been read already."""
        self.up.late(number, value, behind)

    @rule(number=IDS)
    def delete(self, number: int) -> None:
        """Withdraw one."""
        self.up.delete(number)

    @rule()
    def purge(self) -> None:
        """The API forgets a deletion that it showed."""
        self.up.purge(self.settled)

    @rule(by=st.sampled_from(STEPS))
    def wait(self, by: int) -> None:
        """Time passes."""
        self.up.clock += by

    @rule(data=st.data(), purge=st.booleans())
    def sync(self, data: st.DataObject, purge: bool) -> None:
        """Pull what is new while the list changes."""
        self._pull(None, self._during(data, purge=purge))

    @rule(data=st.data(), start=st.integers(0, 4 * HOUR), length=st.integers(1, 2 * HOUR))
    def backfill(self, data: st.DataObject, start: int, length: int) -> None:
        """Pull a settled range in any order, with the lookback before it."""
        end = min(start + length, self.up.clock - LOOKBACK)
        start = max(0, min(start, end - 1) - LOOKBACK)
        if end > start:
            self._pull(Slice(moment(start), moment(end)), self._during(data))

    @rule(data=st.data(), hour=st.integers(0, 3))
    def partition(self, data: st.DataObject, hour: int) -> None:
        """Pull an hour that is over by key, in any order, and the one before it, as the catch-up does."""
        if (hour + 1) * HOUR + LOOKBACK <= self.up.clock:
            keys = [f"{moment(one * HOUR):%Y-%m-%d-%H:%M}" for one in range(max(0, hour - 1), hour + 1)]
            self._pull(keys, self._during(data))

    @rule()
    def merge(self) -> None:
        """Only merge what the lake has."""
        merge(self.feed, self.stores, "merge")

    @rule()
    def settle(self) -> None:
        """Once all is quiet, a sync, and a pull of every range that a receipt told of, give the truth."""
        self.up.clock += SKEW + 1
        for _ in range(TRIES):
            if self._pull(None, []):
                break
        while self.told:
            assert self.form.name.startswith(("page", "offset", "overlap"))
            told, self.told = list(dict.fromkeys(self.told)), []
            for span in told:
                if not self._pull(span, []):
                    self.told.append(span)
            if self.form.order == "shuffled":
                break  # told, and it may never be better: the truth is asked for when each range once held still
        merge(self.feed, self.stores, "settle")
        lake = self._lake()
        assert self.shown <= lake, f"shown and not in the lake: {sorted(self.shown - lake)}"
        assert self.owed <= lake, f"visible all along and passed over unsaid: {sorted(self.owed - lake)}"
        if not self.told:
            assert self._warehouse() == {one for one in self.up.records.values() if not one.gone}
            self.settled = self.up.clock
            COUNTS["settled"] += 1

    def teardown(self) -> None:
        """Settle once more, and remove everything."""
        try:
            self.settle()
        finally:
            self.stack.close()

    def _during(self, data: st.DataObject, *, purge: bool = False) -> list[Change | None]:
        """What changes while the list is read, one change a page at most."""
        if not self.form.moves:
            return []
        # Pages that are asked for at once are not read in their order: what leaves and what comes would make up for each other.
        kinds = CHANGES if self.form.at_once == 1 else LEAVING
        changes: list[Change | None] = list(data.draw(st.lists(kinds, max_size=PAGES)))
        return [partial(Upstream.purge, before=self.settled), *changes] if purge else changes

    def _pull(self, what: list[str] | Slice | None, during: Sequence[Change | None]) -> bool:
        """Sync, let the list change meanwhile, and note what must be in the lake from now on; whether it was not refused."""
        self.up.waiting = [change or (lambda _: None) for change in during]
        self.up.shown = {}
        self.up.arrived = set()
        before = set(self.up.records.values())
        receipts: list[Receipt] = []
        refused = False
        self.runs += 1
        run = f"run-{self.runs}"
        try:
            span = what if isinstance(what, Slice) else None
            receipts += sync(self.feed, run, span=span, partitions=what if isinstance(what, list) else None)
        except PagingError:
            assert self.form.order == "shuffled" or any(during)  # one page came again and again
            COUNTS["refused"] += 1
            refused = True
        self.up.waiting = []
        COUNTS["pulls"] += 1
        for receipt in receipts:
            self._note(receipt, before & set(self.up.records.values()))
        return not refused

    def _note(self, receipt: Receipt, all_along: set[Version]) -> None:
        start, end = seconds(receipt.slice[0]) or 0, seconds(receipt.slice[1])
        assert receipt.adds_up
        assert end is not None
        COUNTS["second readings"] += any("a second time" in text for text in receipt.warnings)
        COUNTS["told"] += bool(receipt.moved)
        if receipt.moved:
            assert any("records may be missing" in text for text in receipt.warnings)
            self.told.append(Slice(moment(start), moment(end)))
        else:
            self.owed |= {one for one in all_along if start <= one.at < end}
        self.shown |= {one for one in self.up.shown.get(start, ()) if start <= one.at < end}

    def _lake(self) -> set[Version]:
        if self.feed.table.version() is None:
            return set()
        rows = DeltaTable(self.feed.table.uri).to_pyarrow_table(columns=["id", "value", "updated_at", "_deleted"]).to_pylist()
        return {row(one) for one in rows}

    def _warehouse(self) -> set[Version]:
        rows = self.stores.warehouse.query("select id, value, updated_at from moving.items where _deleted_at is null").to_pylist()
        found = [row(one) for one in rows]
        assert len({one.id for one in found}) == len(found)
        return set(found)


def machine(form: Form) -> type[Moving]:
    """The machine of one form."""
    return type("Moving" + "".join(part.capitalize() for part in form.name.split()), (Moving,), {"form": form})
