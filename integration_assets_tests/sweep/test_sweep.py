"""What a sweep does to the table: an API over HTTP, a real lake, a real DuckDB file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integration_assets.errors import LakeError, LimitExceededError, SpecError, SweepRefusedError
from integration_assets.spec import Slice, Sweep, Tombstone
from integration_assets.spec.paging import Offset
from integration_assets.sweep import sweep
from integration_assets.sync import merge
from integration_assets_tests.sweep.register import IDS, Register, check_equal, few_pages


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    """Forty items, pulled and merged."""
    api = Register(tmp_path)
    api.fill(40)
    with api.served():
        api.pull(api.swept())
        yield api


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Register]:
    """Forty items, pulled and merged once for all tests that must not change the table."""
    api = Register(tmp_path_factory.mktemp("lasting"))
    api.fill(40)
    with api.served():
        api.pull(api.swept())
        yield api


@pytest.fixture
def unchanged(lasting: Register) -> Iterator[Register]:
    """The same, as it was; its rows are all alive afterwards, and nothing landed."""
    lasting.fill(40)
    lasting.list_as, lasting.total, lasting.on_list = None, None, lambda _: None
    version = lasting.version()
    yield lasting
    assert (lasting.version(), len(lasting.live())) == (version, 40)


def test_what_is_listed_no_more_is_deleted_softly(register: Register) -> None:
    """The row stays with its values and says since when it is gone; who swept, when and how much is in the lake's commit."""
    register.drop(7, 31)
    began = datetime.now(UTC)
    (found,) = register.sweep()
    assert (found.receipt.outcome, found.receipt.listed, found.receipt.live) == ("swept", 38, 40)
    assert (found.receipt.deleted, found.receipt.revived, found.receipt.unknown) == (2, 0, 0)
    assert found.examples == ({"id": 7, "seq": 7}, {"id": 31, "seq": 31})
    swept_at = datetime.fromisoformat(found.receipt.swept_at)
    assert began <= swept_at <= datetime.now(UTC)
    gone = register.table("id, value, _deleted_at, _run_id")
    assert [row for row in gone if row[2] is not None] == [(7, 70, swept_at, "sweep"), (31, 310, swept_at, "sweep")]
    assert register.live() == [number for number in range(1, 41) if number not in {7, 31}]
    with register.feed(register.swept()) as (feed, stores):
        check_equal(feed, stores)
        kept = feed.table.receipts(1)[0]
        assert (kept.outcome, kept.tombstones, kept.adds_up) == ("swept", 2, True)
        assert (kept.sweep["actor"], kept.sweep["live"], kept.sweep["listed"]) == ("tester", 40, 38)
        assert kept.watermark_before == kept.watermark_after == feed.table.receipts(2)[1].watermark_after
    register.rebuilt()


def test_a_sweep_repeated_changes_nothing(register: Register) -> None:
    """The second sweep of the same list commits nothing, and the third either."""
    register.drop(7)
    register.sweep()
    version, rows = register.version(), register.table()
    for _ in range(2):
        (found,) = register.sweep()
        assert (found.receipt.outcome, found.receipt.deleted, found.receipt.version) == ("unchanged", 0, None)
    assert (register.version(), register.table()) == (version, rows)


def test_a_record_listed_again_is_alive_again_with_its_values(register: Register) -> None:
    """Access was lost for a day: what comes back with the version that it had has its row back, by the next sweep alone."""
    gone = register.drop(7, 31)
    register.sweep()
    register.records += gone
    (found,) = register.sweep()
    assert (found.receipt.outcome, found.receipt.deleted, found.receipt.revived) == ("swept", 0, 2)
    assert register.table() == [(number, number, 10 * number, True) for number in range(1, 41)]
    register.rebuilt()
    register.drop(7)
    register.sweep()
    assert (7, 7, 70, False) in register.table(), "gone once more"
    register.rebuilt()


def test_a_record_pulled_again_is_alive_again(register: Register) -> None:
    """A later pull brings it back by itself: with a newer version, or with the same one when it is within the lookback."""
    first, last = register.drop(7, 38)
    register.sweep()
    register.records += [{**first, "seq": 41, "value": 1}, last]
    register.pull(register.swept())
    assert [row for row in register.table() if row[0] in {7, 38}] == [(7, 41, 1, True), (38, 38, 380, True)]
    register.rebuilt()


def test_without_a_version_the_next_pull_brings_it_back(register: Register) -> None:
    """A list that is pulled whole has no versions: the later pull counts."""
    stream = register.swept(cursor=None)
    with register.feed(stream) as (feed, stores):
        (swept,) = sweep(feed, stores, "sweep", "tester")
        assert swept.receipt.outcome == "unchanged"
        register.drop(7)
        assert [one.receipt.deleted for one in sweep(feed, stores, "sweep", "tester")] == [1]
    assert register.live() == [number for number in range(1, 41) if number != 7]
    register.records.append(register.item(7))
    register.pull(stream)
    assert register.live() == [*range(1, 41)]


def test_what_lands_while_the_list_is_read_is_left_alone(register: Register) -> None:
    """A record created, one updated and one pulled again after the sweep began stay, though the list lacks them."""
    new, late, same = register.item(50), register.item(3, seq=51), register.item(4)
    register.drop(3, 4, 5)

    def meanwhile(begin: int) -> None:
        if begin:
            register.on_list = lambda _: None
            listed = register.list_as = [{"ref": {"id": one["id"]}} for one in register.records]
            register.records += [new, late, same]
            register.pull(register.swept())
            register.pull(register.swept(), span=Slice(4, 5))
            register.list_as = listed

    register.on_list = meanwhile
    (found,) = register.sweep()
    assert (found.receipt.outcome, found.receipt.deleted, found.receipt.listed) == ("swept", 1, 37)
    assert register.live() == [1, 2, 3, 4, *range(6, 41), 50]
    register.rebuilt()


def test_what_lands_between_comparing_and_committing_is_left_alone(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit gives way to rows that landed since it looked, and looks again."""
    register.drop(3, 4)
    from integration_assets import sweep as engine

    land = engine._land
    races = []

    def raced(*given: object) -> object:
        if not races:
            races.append(1)
            with register.feed(register.swept()) as (feed, _):
                register.records.append(register.item(3, seq=60))
                from integration_assets.sync import sync

                list(sync(feed, "rival"))
        return land(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_land", raced)
    (found,) = register.sweep()
    assert races
    assert found.receipt.deleted == 1
    assert register.live() == [1, 2, 3, *range(5, 41)]


def test_a_sweep_killed_before_its_merge_is_finished_by_the_next_one(register: Register) -> None:
    """What it found is in the lake; whoever merges next takes it to the warehouse."""
    register.drop(7)
    script = f"""
import os
from pathlib import Path
from integration_assets.sweep import sweep
from integration_assets_tests.sweep.register import Register
register = Register(Path({str(register.folder)!r}), url={register.url!r})
with register.feed(register.swept()) as (feed, stores):
    swept = sweep(feed, stores, "killed", "tester")
    print(next(swept).receipt.outcome, flush=True)
    os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own
    assert (done.returncode, done.stdout) == (9, "swept\n"), done.stderr
    assert len(register.rows()) == 40
    with register.feed(register.swept()) as (feed, stores):
        assert merge(feed, stores, "next").deleted == 1
        check_equal(feed, stores)
    assert 7 not in register.live()


BY_NUMBER = Sweep(path="/ids", format=IDS.format, fields=IDS.fields, paging=Offset(param="after", limit=10))
Break = Callable[[Register], Sweep]


def _no_keys(register: Register) -> Sweep:
    register.list_as = []
    return IDS


def _no_key_in_one(register: Register) -> Sweep:
    register.list_as = [*({"ref": {"id": number}} for number in range(1, 40)), {"ref": {}}]
    return IDS


def _broken_key(register: Register) -> Sweep:
    register.list_as = [*({"ref": {"id": number}} for number in range(1, 40)), {"ref": {"id": "forty"}}]
    return IDS


def _other_total(register: Register) -> Sweep:
    register.drop(40)
    register.total = lambda count: count + 1
    return IDS.changed(total_path="count")


def _one_twice(register: Register) -> Sweep:
    register.list_as = [*({"ref": {"id": number}} for number in range(1, 40)), {"ref": {"id": 1}}]
    register.total = lambda count: count
    return IDS.changed(total_path="count")


def _uncounted(register: Register) -> Sweep:
    register.drop(40)
    return IDS.changed(total_path="count")


def _moving(register: Register) -> Sweep:
    left = iter(range(1, 41))
    register.on_list = lambda begin: register.drop(next(left)) if begin == 20 else None
    register.total = lambda count: count
    return BY_NUMBER.changed(total_path="count")


def _by_number(register: Register) -> Sweep:
    register.drop(40)
    return BY_NUMBER


def _short(register: Register) -> Sweep:
    register.drop(*range(30, 41))
    return IDS


def _many(register: Register) -> Sweep:
    register.drop(*range(1, 7))
    register.records += [register.item(number) for number in range(100, 120)]
    return IDS


REFUSALS: dict[str, tuple[Break, str]] = {
    "empty": (_no_keys, "it is empty, and the table has 40 live rows"),
    "no key": (_no_key_in_one, "has no id"),
    "broken key": (_broken_key, "no key that can be read: ref.id: expected int64"),
    "other total": (_other_total, "counts 40 records and listed 39 different keys"),
    "one twice": (_one_twice, "counts 40 records and listed 39 different keys"),
    "uncounted": (_uncounted, "does not count its records at count"),
    "moving": (_moving, "it moved while it was read, 3 times: the API's count went from"),
    "by number": (_by_number, "skips records when others go"),
    "short": (_short, "it has 29 keys and the table 40 live rows, of which 5 may be deleted"),
    "many": (_many, "would delete 6 of 40 live rows, and 5 may be deleted"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_list_that_looks_incomplete_is_refused(unchanged: Register, name: str) -> None:
    """Nothing is deleted, nothing is committed, and the error says what is wrong with the list."""
    damage, says = REFUSALS[name]
    described = damage(unchanged)
    with unchanged.feed(unchanged.swept(sweep=described)) as (feed, stores):
        swept = sweep(feed, stores, "sweep", "tester")
        receipt = next(swept).receipt
        assert receipt.outcome == "refused"
        assert says in str(receipt.refused)
        with pytest.raises(SweepRefusedError, match="nothing was deleted") as error:
            next(swept)
    assert (error.value.source, error.value.stream) == ("mini", "items")
    assert receipt.deleted == 0


@pytest.mark.parametrize("described", [IDS.changed(total_path="count"), BY_NUMBER.changed(total_path="count")])
def test_an_api_that_is_never_still_can_be_swept(register: Register, described: Sweep) -> None:
    """A record goes while the list is read, and another slips over a page's edge unseen: what moved is read again."""
    gone = iter([5])
    register.drop(7)
    register.on_list = lambda begin: register.drop(next(gone, 0)) if begin == 20 else None
    register.total = lambda count: count
    (found,) = register.sweep(register.swept(sweep=described))
    assert (found.receipt.outcome, found.receipt.total, found.receipt.listed) == ("swept", 38, 38)
    assert register.live() == [number for number in range(1, 41) if number not in {5, 7}]


def test_pages_that_overlap_need_no_count(register: Register) -> None:
    """A page that begins as the last one ended shows that nothing was skipped between them."""
    register.drop(7)
    described = BY_NUMBER.changed(paging=Offset(param="after", limit=10, overlap=1))
    (found,) = register.sweep(register.swept(sweep=described))
    assert (found.receipt.outcome, found.receipt.total, found.receipt.deleted) == ("swept", None, 1)


def test_a_threshold_given_once_lets_a_large_deletion_through(register: Register) -> None:
    """Whoever has looked says how much may go; an empty list is refused all the same."""
    register.drop(*range(1, 31))
    (found,) = register.sweep(threshold=0.8)
    assert (found.receipt.deleted, found.receipt.allowed) == (30, 32)
    assert register.live() == [*range(31, 41)]
    register.records = []
    with pytest.raises(SweepRefusedError, match="it is empty"):
        register.sweep(threshold=1.0)


def test_a_list_of_too_many_pages_deletes_nothing(unchanged: Register) -> None:
    """A list cut off by the limit of pages is an error, not a short list."""
    unchanged.drop(40)
    with (
        few_pages(unchanged, unchanged.swept()) as (feed, stores),
        pytest.raises(LimitExceededError, match="more than 2 pages"),
    ):
        list(sweep(feed, stores, "sweep", "tester"))


def test_a_dry_run_shows_and_writes_nothing(unchanged: Register) -> None:
    """It tells what it would delete; neither lake nor warehouse nor folder has anything new."""
    unchanged.drop(7, 31)
    unchanged.records.append(unchanged.item(90))
    files = sorted(unchanged.folder.rglob("*.parquet"))
    (found,) = unchanged.sweep(dry_run=True)
    assert (found.receipt.outcome, found.receipt.unlisted, found.receipt.deleted) == ("dry-run", 2, 0)
    assert found.receipt.unknown == 1
    assert [row["id"] for row in found.examples] == [7, 31]
    assert sorted(unchanged.folder.rglob("*.parquet")) == files


def test_what_the_list_itself_marks_as_gone_is_not_there(register: Register) -> None:
    """A record that is listed with the stream's own mark of deletion counts for the total, and is deleted."""
    register.list_as = [{"ref": {"id": number}, "gone": number == 9} for number in range(1, 41)]
    register.total = lambda count: count
    stream = register.swept(tombstone=Tombstone(path="gone"), sweep=IDS.changed(total_path="count"))
    (found,) = register.sweep(stream)
    assert (found.receipt.listed, found.receipt.flagged, found.receipt.deleted) == (40, 1, 1)
    assert 9 not in register.live()


def test_what_the_api_said_is_gone_is_not_brought_back(register: Register) -> None:
    """A tombstone has a version of its own: the list alone does not outweigh it."""
    stream = register.swept(tombstone=Tombstone(path="gone"))
    register.records[8] = register.item(9, seq=45, gone=True)
    register.pull(stream)
    (found,) = register.sweep(stream)
    assert (found.receipt.outcome, found.receipt.revived) == ("unchanged", 0)
    assert 9 not in register.live()


def test_a_stream_that_is_swept_no_more_goes_on(register: Register) -> None:
    """The lake keeps what was found; syncs, merges and a rebuilt warehouse do without the sweep."""
    register.drop(7)
    register.sweep()
    stream = register.stream(tombstone=None)
    register.records.append(register.item(45))
    register.pull(stream)
    assert len(register.rows(stream=stream)) == 40
    deleted = register.table("id, _deleted_at")
    (register.folder / "warehouse.duckdb").unlink()
    register.pull(stream)
    assert register.table("id, _deleted_at") == deleted


def test_nothing_to_sweep_is_said_before_the_api_is_asked(tmp_path: Path) -> None:
    """A stream that was never pulled has no rows, and one without a sweep has no list."""
    api = Register(tmp_path)
    with api.served():
        with pytest.raises(LakeError, match="nothing was pulled yet"):
            api.sweep()
        with pytest.raises(SpecError, match="the stream has no sweep"):
            api.sweep(api.stream())
    assert api.asked == []


WRONG: dict[str, tuple[dict[str, object], str, str]] = {
    "history": ({"disposition": "history"}, "sweep", "the disposition is history"),
    "append": ({"disposition": "append"}, "sweep", "the disposition is append"),
    "field": ({"sweep": IDS.changed(fields={"seq": "seq"})}, "sweep.fields.seq", "'seq' is no key column"),
    "csv": ({"sweep": IDS.changed(format={"kind": "csv"})}, "sweep.paging.path", "a csv body has no such field"),
    "tenants": ({"sweep": IDS.changed(path="/{shop}/ids")}, "sweep.path", "{shop} is no tenant's key"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_sweep_is_found_when_the_source_loads(name: str) -> None:
    """What a sweep cannot do, or does not know, is a sentence with the setting's name."""
    changes, field, says = WRONG[name]
    with pytest.raises(SpecError, match=says) as error:
        Register(Path()).swept(**changes)
    assert (error.value.stream, error.value.field) == ("items", field)
    assert error.value.remedy
