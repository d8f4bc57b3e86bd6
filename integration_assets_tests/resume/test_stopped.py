"""A slice that ends in its middle for a reason: what was read of it is kept, and taken up only where it still holds."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from integration_assets.errors import LimitExceededError, QuotaSpentError, RejectThresholdError, UpstreamUnavailableError
from integration_assets.extract.limits import rules
from integration_assets.feed import Feed, Job
from integration_assets.ingest import ingest
from integration_assets.land.checkpoints import files_kept
from integration_assets.spec import Cursor, Partitions, Slice, records
from integration_assets.spec.receipt import Receipt
from integration_assets.stages import schema_of
from integration_assets.sync import sync
from integration_assets_tests.extract.serving import Answer, page
from integration_assets_tests.resume.upstream import HERE, ORIGIN, Upstream, failure, record

PAGES = 40


def broken_at(upstream: Upstream, number: int, answer: Answer) -> None:
    """Answer so whenever that page is asked for."""
    upstream.on_page = lambda at: answer if at == number else None


def mended(upstream: Upstream) -> None:
    """Answer as it should."""
    upstream.on_page = lambda _: None
    upstream.asked.clear()


@pytest.mark.parametrize("form", ["page_number", "token"])
def test_an_outage_keeps_what_was_read(form: str, tmp_path: Path) -> None:
    """A 503 that outlasts the retries ends the run at page 30 and says what is kept; the next one asks for the rest only."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job(form)
        broken_at(upstream, 30, page({}, status=503))
        error = failure(pull)
        assert isinstance(error, UpstreamUnavailableError)
        assert "30 pages of the slice are kept" in str(error)
        assert (pull.begun(), pull.landed()) == ([30], 0)

        mended(upstream)
        first = pull.run()[0]
        assert upstream.asked[0] == 29
        assert upstream.asked.count(29) == 1
        assert sorted(set(upstream.asked) - {0}) == [*range(29, PAGES + (form == "page_number"))]
        assert first.resumed_pages == 30
        assert first.requests >= PAGES + 2
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def test_no_page_is_passed_over_that_could_not_be_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pages that wait together, one has too many rejects to be held: the next run goes on before it, not after the last."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token")
        begun, together = threading.Event(), threading.Event()
        bad = page({"data": [record(number) | {"value": "x"} for number in range(12, 16)], "next": "4.0"})

        def befalls(at: int) -> Answer | None:
            if at == 6:
                together.set()
            if at == 2:
                assert begun.wait(60)
            return bad if at == 3 else None

        def watch(_: object) -> None:
            begun.set()
            assert together.wait(60)

        upstream.on_page = befalls
        monkeypatch.setattr(records, "MOST_REJECTS", 3)
        assert isinstance(failure(pull, watch=watch), LimitExceededError)
        monkeypatch.undo()

        mended(upstream)
        # Not by what was asked: a page that the first run had still asked for ahead may come in last.
        assert pull.run()[0].resumed_pages <= 3
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def test_a_quota_that_ends_goes_on_the_next_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each day's quota pulls its part of one slice, until it is whole and lands in one commit. The calendar is set by hand."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token", limits={"daily_quota": 18, "quota_reserve": 0})
        kept: list[int] = []
        for day in range(4):
            monkeypatch.setattr(rules, "_day", lambda *_, day=day: date(2030, 1, 1 + day))
            try:
                receipts = pull.run()
            except QuotaSpentError:
                kept += pull.begun()
                assert pull.landed() == 0
            else:
                break
        assert kept == [18, 35]
        assert receipts[0].resumed_pages == 35
        assert receipts[0].fetched == PAGES * 4
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def test_an_expired_token_starts_the_slice_again(tmp_path: Path) -> None:
    """A page token that the API aged out while no run was there: the slice is read from its start, and the receipt says so."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token")
        broken_at(upstream, 30, page({}, status=503))
        failure(pull)

        mended(upstream)
        gone = page({"error": "the page token has expired"}, status=410)
        upstream.on_page = lambda at: gone if at == 29 and len(upstream.asked) == 1 else None
        first = pull.run()[0]
        assert upstream.asked[:3] == [29, 0, 1]
        assert (first.resumed_pages, first.accepted) == (0, PAGES * 4)
        assert any("read again from its start" in said and "30 pages" in said for said in first.warnings)
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def test_a_token_that_expires_on_the_way_is_told_as_well(tmp_path: Path) -> None:
    """The same while the run is at it: it reads the slice again, and its receipt says that and what both tries spent."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        gone = page({"error": "the page token has expired"}, status=410)
        upstream.on_page = lambda at: gone if at == 30 and upstream.asked.count(30) == 1 else None
        first = upstream.job("token").run()[0]
        assert any("aged out the page token after 30 pages" in said for said in first.warnings)
        assert (first.pages, first.resumed_pages, first.requests) == (PAGES, 0, 31 + PAGES)
        assert upstream.job("token").begun() == []
        assert upstream.job("token").rows() == upstream.truth()


def test_a_page_without_records_is_no_place_to_go_on_from(tmp_path: Path) -> None:
    """An API that answers an aged-out token with an empty last page must not end the slice: the place is the page before."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token", limits={"checkpoint_pages": 1})
        empty = page({"data": [], "next": "30.0"})
        upstream.on_page = {29: empty, 30: page({}, status=503)}.get
        failure(pull)

        mended(upstream)
        forgotten = page({"data": [], "next": None})
        upstream.on_page = lambda _: forgotten if len(upstream.asked) == 1 else None
        first = pull.run()[0]
        assert upstream.asked[:2] == [28, 0]
        assert first.resumed_pages == 0
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def test_a_list_that_moved_is_read_from_its_start(tmp_path: Path) -> None:
    """Where a record left the list meanwhile, page 30 is another one: going on there would pass one over."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("offset")
        broken_at(upstream, 30, page({}, status=503))
        failure(pull)

        mended(upstream)
        del upstream.records[5]
        first = pull.run()[0]
        assert (first.resumed_pages, first.accepted) == (0, PAGES * 4 - 1)
        assert any("the list moved meanwhile" in said for said in first.warnings)
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4 - 1)


def test_a_changed_contract_starts_again(tmp_path: Path) -> None:
    """Rows that were held against another contract are not mixed with those of the new one."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        broken_at(upstream, 30, page({}, status=503))
        failure(upstream.job("token"))

        mended(upstream)
        pull = upstream.job("token", contract=f"{HERE}:ChangedItem")
        first = pull.run(span=None)[0]
        assert first.resumed_pages == 0
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def test_counts_and_rejects_are_of_the_whole_slice(tmp_path: Path) -> None:
    """Bad records of the first run count towards the threshold of the second, and each is in quarantine once."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        for number in range(11):
            upstream.records[number] = record(number, value=-1)
        pull = upstream.job("token", stream={"reject_threshold": 0.0})
        broken_at(upstream, 30, page({}, status=503))
        failure(pull)
        assert pull.begun() == [30]

        mended(upstream)
        error = failure(pull)
        assert isinstance(error, RejectThresholdError)
        assert (error.rejected, error.records) == (11, PAGES * 4)
        assert pull.begun() == []
        with pull.feed() as (feed, _):
            assert feed.quarantine.count("api", "items") == 11


def test_two_runs_that_take_up_one_slice_land_it_once(tmp_path: Path) -> None:
    """Both go on from the same files; one commits them, and the other deletes none of them."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token")
        broken_at(upstream, 30, page({}, status=503))
        failure(pull)

        mended(upstream)
        met = threading.Barrier(2)
        upstream.on_page = lambda at: _meet(met) if at == 31 and not met.broken else None
        receipts: list[Receipt] = []

        def run(name: str) -> None:
            with pull.feed() as (feed, _):
                receipts.extend(_synced(feed, name))

        threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(one.outcome for one in receipts if one.resumed_pages or one.outcome == "taken") == ["committed", "taken"]
        mended(upstream)
        pull.run()
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)
        assert pull.begun() == []


def test_a_checkpoint_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    """Where notes cannot be put, as in a bucket that lets nothing be replaced, the slice lands all the same and says so."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token", limits={"checkpoint_pages": 1})
        with pull.feed() as (feed, _):
            feed.table.prepare(schema_of(feed))
            (Path(feed.table.uri) / "_checkpoints").symlink_to(tmp_path / "gone" / "away")
            receipt = ingest(feed, Job(Slice(ORIGIN, ORIGIN + timedelta(days=1)), feed.table.state(), "run"))
        assert (receipt.outcome, pull.landed()) == ("committed", PAGES * 4)
        assert len([said for said in receipt.warnings if "could not be noted" in said]) == 1


def test_rows_without_a_key_are_not_read_again_behind_an_unfinished_slice(tmp_path: Path) -> None:
    """The rest of an open partition begins where the unfinished slice ended: what is read twice is there twice."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        day = Partitions(every="day", start=date(2024, 1, 1))
        cursor = Cursor(field="updated_at", start=ORIGIN, start_param="since", end_param="until")
        pull = upstream.job("token", stream={"key": (), "disposition": "append", "partitions": day, "cursor": cursor})
        broken_at(upstream, 20, page({}, status=503))
        failure(pull, partitions=["2024-01-01"], now=ORIGIN + timedelta(seconds=120))
        mended(upstream)
        receipts = pull.run(partitions=["2024-01-01"], now=ORIGIN + timedelta(seconds=160))
        assert [receipt.resumed_pages for receipt in receipts] == [20, 0]
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def test_bad_records_of_the_run_before_count_as_met(tmp_path: Path) -> None:
    """A run turns one away and ends in an outage, another goes on and commits: a lookback that holds only it is an idle sync."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        cursor = Cursor(field="updated_at", start=ORIGIN, start_param="since", end_param="until", lookback=timedelta(days=10_000))
        pull = upstream.job("token", stream={"cursor": cursor})
        upstream.records[5] = record(5) | {"value": "x"}
        broken_at(upstream, 20, page({}, status=503))
        with pull.feed() as (feed, _), pytest.raises(UpstreamUnavailableError):
            list(sync(feed, "one"))
        mended(upstream)
        with pull.feed() as (feed, _):
            first = next(sync(feed, "two"))
        assert (first.resumed_pages, first.accepted, first.rejected) == (20, PAGES * 4 - 1, 1)
        upstream.records = upstream.records[5:6]
        assert [receipt.rejected for receipt in pull.run("three")] == [1]


def test_another_kind_of_cursor_leaves_what_is_kept_alone(tmp_path: Path) -> None:
    """A stream whose cursor became a number before its first slice was whole is read anew, not compared with moments."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        broken_at(upstream, 30, page({}, status=503))
        failure(upstream.job("token"))
        mended(upstream)
        first = upstream.job("token", stream={"cursor": Cursor(field="id", kind="integer", start=0)}).run()[0]
        assert (first.resumed_pages, first.accepted) == (0, PAGES * 4)


def test_a_slice_that_was_finished_meanwhile_is_not_taken_up(tmp_path: Path) -> None:
    """A checkpoint that outlived its commit, as when a run is killed between the two, never lands its files again."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token")
        broken_at(upstream, 30, page({}, status=503))
        failure(pull)
        with pull.feed() as (feed, _):
            (left,) = feed.table.checkpoints.live()
        mended(upstream)
        pull.run()
        with pull.feed() as (feed, _):
            feed.table.checkpoints.put(left)
            base = feed.table.state()
            assert not feed.table.checkpoints.holds(left, base)
            job = Job(left.slice, base, "again", skip_known=True)
            assert ingest(feed, job).resumed_pages == 0
            assert feed.table.checkpoints.get(left.slice) is None
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def test_a_vacuum_leaves_what_is_still_wanted(tmp_path: Path) -> None:
    """Files of an unfinished slice are in no commit, and stay; what a discarded try left goes."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token")
        broken_at(upstream, 30, page({}, status=503))
        failure(pull)
        with pull.feed() as (feed, _):
            kept = files_kept(feed.table.checkpoints)
            folder = Path(feed.table.uri)
            (folder / "part-orphan.zstd.parquet").write_bytes(b"PAR1")
            assert feed.table.vacuum(hours=0) == ["part-orphan.zstd.parquet"]
            assert kept
            assert all((folder / path).exists() for path in kept)
            late = datetime.now(UTC) + timedelta(days=9)
            assert feed.table.checkpoints.live(late) == []
            assert kept <= set(feed.table.vacuum(hours=0))


def test_a_missing_file_costs_only_the_pages(tmp_path: Path) -> None:
    """A checkpoint whose file is gone or cut short is not believed: the slice is read from its start."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token")
        broken_at(upstream, 30, page({}, status=503))
        failure(pull)
        with pull.feed() as (feed, _):
            path = Path(feed.table.uri) / min(files_kept(feed.table.checkpoints))
        path.write_bytes(bytes(path.stat().st_size))
        mended(upstream)
        first = pull.run()[0]
        assert any("its files are gone" in said for said in first.warnings)
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


@pytest.mark.parametrize("name", ["signature", "X-Amz-Security-Token", "clientSecret"])
def test_no_credential_is_kept(name: str, tmp_path: Path) -> None:
    """A next link that carries a signature, or the like, is nowhere in the lake: such a slice is read from its start."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        upstream.signed = f"{name}=abcdef"
        pull = upstream.job("next_link")
        broken_at(upstream, 30, page({}, status=503))
        assert "kept" not in str(failure(pull))
        assert pull.begun() == []
        assert not [path for path in Path(tmp_path).rglob("_checkpoints/*") if b"abcdef" in path.read_bytes()]
        mended(upstream)
        assert pull.run()[0].resumed_pages == 0
        assert pull.rows() == upstream.truth()


def test_a_place_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """A token that only ever gets a 500 must not hold the slice for ever: after three runs its start is tried."""
    with Upstream(PAGES, tmp_path).served() as upstream:
        pull = upstream.job("token")
        broken_at(upstream, 30, page({}, status=503))
        failure(pull)
        mended(upstream)
        upstream.on_page = lambda at: page({}, status=500) if at == 29 and 0 not in upstream.asked else None
        for _ in range(2):
            failure(pull)
        assert pull.begun() == [30]
        first = pull.run()[0]
        assert any("did not answer there, 3 runs in a row" in said for said in first.warnings)
        assert (pull.rows(), pull.landed()) == (upstream.truth(), PAGES * 4)


def _meet(barrier: threading.Barrier) -> None:
    try:
        barrier.wait(timeout=60)
    except threading.BrokenBarrierError:
        return
    barrier.abort()


def _synced(feed: Feed, name: str) -> list[Receipt]:
    return list(sync(feed, name))
