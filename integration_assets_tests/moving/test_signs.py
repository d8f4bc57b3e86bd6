"""Reading a list that moves: the signs that records may have been passed over, without a false alarm where none can be."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings

from integration_assets.errors import PagingError, UpstreamUnavailableError
from integration_assets.extract.client import SourceClient
from integration_assets.extract.moving import Moves
from integration_assets.extract.reading import Reading
from integration_assets.spec import Limits, Slice, Source
from integration_assets.spec.contract import Contract, check_stream
from integration_assets.spec.records import DELETED, Batch, Reject
from integration_assets.sync import sync
from integration_assets_tests.extract.serving import Answer, Asked, page, serve
from integration_assets_tests.moving.machine import CHANGES, LEAVING
from integration_assets_tests.moving.upstream import FORMS, PAGE, Change, Form, Upstream, Version, moment, row

SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
FORM = {form.name: form for form in FORMS}
END = 100
DEADLINE = 30
"""Seconds."""


@dataclass
class Bench:
    """A server that answers for the upstream of the moment, and what asks it."""

    client: SourceClient
    contract: Contract
    up: Upstream = field(default_factory=lambda: Upstream(FORMS[0]))

    def read(self, up: Upstream) -> tuple[Reading, set[Version]]:
        """All up to the end, once or twice, and what came."""
        reading = self.reading(up)
        return reading, {row(found) for batch in reading for found in batch.table.to_pylist()}

    def reading(self, up: Upstream) -> Reading:
        """All up to the end, not read yet."""
        self.up = up
        up.url, up.clock = self.client.source.base_url, END
        source = self.client.source.changed(streams=(up.stream(),))
        slice_ = Slice(moment(0), moment(END))
        return Reading(self.client, source, up.stream(), self.contract, slice_)


@contextmanager
def bench(at_once: int = 1) -> Iterator[Bench]:
    """One server and one client for many upstreams."""
    benches: list[Bench] = []

    def script(asked: Asked) -> Answer:
        return benches[0].up.answer(asked)

    with serve(script) as server:
        stream = Upstream(FORMS[0]).stream()
        limits = Limits(attempts=2, wait_initial=0, max_connections=at_once)
        source = Source(name="moving", base_url=server.url, streams=(stream,), limits=limits)
        with SourceClient(source, lambda _name: "") as client:
            benches.append(Bench(client, check_stream(source, stream)))
            yield benches[0]


def filled(form: Form, count: int = 9) -> Upstream:
    """An upstream of so many records, one a second."""
    up = Upstream(form)
    up.records = {number: Version(number, number, "a") for number in range(count)}
    return up


def told(reading: Reading) -> str:
    """The reading's only warning."""
    (warning,) = reading.warnings
    return warning


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_what_stood_still_is_read_or_told_of(form: Form) -> None:
    """Of a list that changes at random while it is read, each record that did not change came, or the reading says it moved."""
    with bench(form.at_once) as ready:
        kinds = st.lists(CHANGES if form.at_once == 1 else LEAVING, max_size=12 if form.moves else 0)

        @settings(max_examples=1500 if SOAK else 15, deadline=None, derandomize=not SOAK, database=None)
        @given(
            numbers=st.lists(st.integers(0, 60), max_size=14),
            gone=st.sets(st.integers(0, 13)),
            during=kinds,
            purged=st.integers(0, 3),
        )
        def check(numbers: list[int], gone: set[int], during: list[Change | None], purged: int) -> None:
            up = Upstream(form)
            up.records = {number: Version(at, number, "a", number in gone) for number, at in enumerate(numbers)}
            purges: list[Change] = [partial(Upstream.purge, before=END)] * (purged if form.moves else 0)
            up.waiting = [*purges, *(change or (lambda _: None) for change in during)]
            before = set(up.records.values())
            try:
                reading, came = ready.read(up)
            except PagingError:
                assert form.order == "shuffled" or any(during)  # one page came again and again: refused
                return
            all_along = {one for one in before & set(up.records.values()) if one.at < END}
            assert reading.moved or all_along <= came
            if form.order != "shuffled" and not purges and not any(during):
                assert (reading.moved, reading.warnings) == (0, [])

        check()


@pytest.mark.parametrize("name", ["page number", "offset", "overlap"])
def test_a_record_that_leaves_hides_no_other(name: str) -> None:
    """When a record that was read leaves the range, the one that moves up unseen is found by reading a second time."""
    with bench() as ready:
        up = filled(FORM[name])
        up.waiting = [partial(Upstream.put, number=0, value="b")]
        reading, came = ready.read(up)
        assert {one.id for one in came} == set(range(9))
        assert reading.moved == 0
        assert "it was read a second time, and held still" in told(reading)


def test_a_list_that_keeps_moving_is_told_of() -> None:
    """When the second reading moves too, the receipt counts the pages and says what to do."""
    with bench() as ready:
        up = filled(FORM["page number"], 12)
        up.waiting = [partial(Upstream.put, number=number // 2, value="b") for number in range(12)]
        reading, _ = ready.read(up)
        assert reading.moved
        assert "records may be missing: pull the range again" in told(reading)


def test_an_offset_that_is_not_counted_needs_an_overlap_to_see() -> None:
    """Without a count nothing shows that a record was hidden; with one record of overlap it shows, and is found."""
    for overlap, found in ((0, 8), (1, 9)):
        with bench() as ready:
            blind = FORM["overlap"].paging.changed(overlap=overlap)
            up = filled(replace(FORM["overlap"], paging=blind))
            up.waiting = [partial(Upstream.put, number=0, value="b")]
            reading, came = ready.read(up)
            assert len(came) == found
            assert bool(reading.warnings) == bool(overlap)


@pytest.mark.parametrize("bad", [(), (5, 9, 12)], ids=["all good", "some bad"])
def test_pages_that_are_decoded_together_are_compared_one_by_one(bad: tuple[int, ...]) -> None:
    """Of pages that waited while another was worked on, each is compared with the one before it, also where some are bad."""
    with bench() as ready:
        up, first_came = filled(FORM["offset"], 16), Event()
        up.records |= {number: replace(up.records[number], value=7) for number in bad}  # type: ignore[arg-type]
        leaving: list[Change] = [partial(Upstream.put, number=number, value="b") for number in (0, 1)]
        up.waiting = [lambda _: None, lambda _: first_came.wait(DEADLINE), lambda _: None, *leaving]
        reading = ready.reading(up)
        batches = iter(reading)
        assert next(batches).fetched == PAGE
        first_came.set()
        until = time.monotonic() + DEADLINE
        while up.requests < 8 and time.monotonic() < until:  # the last of a list of seven pages
            time.sleep(0.01)
        assert next(batches).fetched >= 6 * PAGE
        assert reading.moved == 2
        came = {row(found) for batch in batches for found in batch.table.to_pylist()}
        assert reading.moved == 0
        assert {one.id for one in came} == set(range(2, 16)) - set(bad)


def test_pages_that_share_a_record_excuse_no_earlier_page() -> None:
    """A record that moved to the end hid another; that a late one pushed the pages together again meanwhile changes nothing."""
    with bench() as ready:
        up = filled(FORM["offset, open range"], 5)
        up.waiting = [partial(Upstream.put, number=0, value="b"), partial(Upstream.late, number=91, value="n", behind=END - 1)]
        reading, came = ready.read(up)
        assert set(range(5)) <= {one.id for one in came}
        assert "came again with another version; it was read a second time" in told(reading)


def test_a_record_that_turns_bad_and_moves_is_known_by_its_key() -> None:
    """A record that moved to the end hid another, also where it comes back as one that does not decode."""
    with bench() as ready:
        up = filled(FORM["offset, open range"])
        up.waiting = [partial(Upstream.put, number=0, value=7)]  # type: ignore[arg-type]
        reading, came = ready.read(up)
        assert set(range(1, 9)) <= {one.id for one in came}
        assert "came again with another version; it was read a second time" in told(reading)


def test_bad_records_without_a_key_link_no_pages() -> None:
    """Two pages with an empty object each do not share a record: a count that falls between them is a sign."""
    moves = Moves(Upstream(FORM["offset"]).stream())
    for keys, total in (([0], 6), ([1], 5)):
        table = pa.table({"id": keys, DELETED: [False]})
        moves.page(Batch(table, [b""], (Reject(b"{}", ("id: expected int64, got null",)),), 2), total)
    assert moves.signs == 1


def test_a_list_of_keys_alone_is_judged_by_them() -> None:
    """A sweep's list has no version: a key that comes again on the next page is a sign, one after the other is none."""
    stream = Upstream(FORM["offset"]).stream().changed(version="updated_at", cursor=None, partitions=None)
    for second, signs in (([2, 3], 0), ([1, 2], 1)):
        moves = Moves(stream)
        for keys in ([0, 1], second):
            table = pa.table({"id": keys, DELETED: [False] * len(keys)})
            moves.page(Batch(table, [b""] * len(keys), (), len(keys)), None)
        assert moves.signs == signs


@pytest.mark.parametrize("name", ["offset, open range", "overlap, open range", "offset, newest first", "overlap, newest first"])
def test_a_feed_that_only_grows_raises_no_alarm(name: str) -> None:
    """New records at either end of an open range push others to the next page and hide none: nothing is said."""
    with bench() as ready:
        up = filled(FORM[name])
        up.waiting = [partial(Upstream.put, number=100 + number, value="n") for number in range(3)]
        reading, came = ready.read(up)
        assert {one.id for one in came} >= set(range(9))
        assert (reading.moved, reading.warnings) == (0, [])


def test_bad_records_of_a_list_that_is_read_twice_count_as_in_one_that_is_not(tmp_path: Path) -> None:
    """Six bad records are tolerated in a slice that held still, so they are in one that moved and shows each of them twice."""
    up = filled(FORM["page number"], 24)
    bad = {number: replace(one, value=7) for number, one in up.records.items() if number % 4 == 1}  # type: ignore[arg-type]
    up.records |= bad
    up.clock = END
    up.waiting = [partial(Upstream.put, number=0, value="b")]
    with up.served(), up.feed(tmp_path) as (feed, stores):
        (receipt,) = sync(feed, "run")
        assert (receipt.outcome, receipt.accepted) == ("committed", 18)
        assert "read a second time" in receipt.warnings[0]
        assert len(stores.quarantine.list("moving", "items")) == len(bad)


class Broken(Upstream):
    """An upstream that fails at its sixth page until it is mended."""

    mended = False

    def answer(self, asked: Asked) -> Answer:
        """A page, or a 503."""
        return super().answer(asked) if self.mended or self.requests < 5 else page({}, status=503)


def test_a_list_that_moved_before_a_run_ended_is_seen_by_the_run_that_goes_on(tmp_path: Path) -> None:
    """A record that was read before the kept pages and comes again after them shows that another was passed over in between."""
    up = Broken(FORM["offset, open range"], clock=END)
    up.records = filled(up.form, 16).records
    up.waiting = [*[lambda _: None] * 2, partial(Upstream.put, number=0, value="b")]
    with up.served(), up.feed(tmp_path) as (feed, _):
        with pytest.raises(UpstreamUnavailableError, match="5 pages of the slice are kept"):
            list(sync(feed, "first"))
        up.mended, up.clock = True, END + 1
        receipt, *_ = sync(feed, "second")
        assert receipt.resumed_pages == 5
        assert "read a second time" in receipt.warnings[0]
        landed = {row(found) for batch in feed.table.scan(feed.table.snapshot_files()) for found in batch.to_pylist()}
        assert {one for one in up.records.values() if one.id} <= landed
