"""A record that was turned away lands once, when someone mended what was wrong, and stands back behind newer ones."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from integration_assets.errors import SpecError
from integration_assets.land.quarantine import Quarantine
from integration_assets.land.quarantine_rows import SCHEMA, rejection
from integration_assets.replay import refetch, replay
from integration_assets.spec import Json, Slice
from integration_assets.spec.records import Reject
from integration_assets.sync import sync
from integration_assets_tests.replay.dead import Dead, item


def test_the_same_bad_record_of_every_run_is_one_entry(dead: Dead) -> None:
    """It is counted, with when it came first and last; each rejection is in its history."""
    dead.mini.pull()
    dead.mini.pull()
    two, four = dead.entries()
    assert (two.key, two.times, two.state) == ("2", 1, "open")  # `run` is the name of each of these runs
    with dead.mini.feed(dead.stream) as (feed, _):
        list(sync(feed, "another run"))
    two, four = dead.entries()
    assert (two.times, four.times) == (2, 2)
    assert two.first_seen < two.last_seen
    assert [event.kind for event in two.history] == ["rejected"] * len(two.history)
    assert dead.states() == {"open": 2}


def test_after_the_contract_is_mended_each_lands_once(dead: Dead) -> None:
    """Lake and warehouse have them, the watermark is where it was, and a second replay finds nothing to do."""
    with dead.mini.feed(dead.stream) as (feed, _):
        before = feed.table.state()
    (receipt,) = dead.replay()
    assert (receipt.outcome, receipt.fetched, receipt.accepted, receipt.adds_up) == ("replayed", 2, 2, True)
    assert dead.mini.rows(stream=dead.mended) == [(1, 1), (2, -2), (3, 3), (4, -4), (5, 5)]
    with dead.mini.feed(dead.stream) as (feed, _):
        assert feed.table.state().finished == before.finished
    assert dead.states() == {"replayed": 2}
    assert dead.replay() == []
    (again,) = dead.replay(entries=dead.entries())
    assert (again.accepted, again.duplicate, again.version) == (0, 2, None)
    assert dead.lake_rows() == 5


def test_what_is_still_wrong_stays_with_its_new_reasons(dead: Dead) -> None:
    """It is open, says what the mended contract has against it, and is noted once however often it is tried."""
    dead.mini.records.append(item(6, -600))
    dead.mini.pull()
    dead.replay()
    dead.replay()
    (six,) = [one for one in dead.entries() if one.state == "open"]
    assert six.reasons == ("value: must be greater_than_or_equal_to(-100), got -600",)
    assert [event.kind for event in six.history] == ["rejected", "replay rejected"]


def test_an_old_version_does_not_overwrite_a_newer_one(dead: Dead) -> None:
    """Neither a later version of the record, nor a good copy of the same version that came after it."""
    dead.mini.records = [{"id": 2, "seq": 7, "value": 70}, item(4, 40)]
    dead.mini.pull()
    (receipt,) = dead.replay()
    assert receipt.accepted == 2
    assert dead.mini.rows(stream=dead.mended) == [(1, 1), (2, 70), (3, 3), (4, 40), (5, 5)]


def test_in_a_history_an_old_version_takes_its_old_place(dead: Dead) -> None:
    """It held until the next version came, and is not the current one."""
    stream = dead.mini.stream(name="versions", disposition="history")
    dead.mini.pull(stream)
    dead.mini.records = [{"id": 2, "seq": 7, "value": 70}]
    dead.mini.pull(stream)
    versions = Dead(dead.mini, stream)
    versions.replay()
    found = dead.mini.rows("id, value, _valid_from, _valid_to, _is_current", versions.mended)
    assert sorted(row for row in found if row[0] == 2) == [(2, -2, 2, 7, False), (2, 70, 7, None, True)]


def test_a_good_copy_of_the_same_pull_stands(dead: Dead) -> None:
    """When the API showed a record twice in one pull, what landed then is not overwritten by what did not."""
    dead.mini.records = [item(9, -9), item(9, 9)]
    dead.mini.pull()
    dead.replay()
    assert (9, 9) in dead.mini.rows(stream=dead.mended)


def test_rows_without_a_key_land_once_too(dead: Dead) -> None:
    """Where the warehouse cannot tell two rows apart, the names in the lake's commit keep them from doubling."""
    stream = dead.mini.stream(name="lines", key=(), disposition="append", cursor=None, tombstone=None)
    dead.mini.pull(stream)
    lines = Dead(dead.mini, stream)
    chosen = lines.entries()
    lines.replay(entries=chosen)
    lines.replay(entries=chosen)
    assert dead.mini.rows(stream=lines.mended) == [(1, 1), (2, -2), (3, 3), (4, -4), (5, 5)]


def test_rows_without_a_key_are_not_fetched_again(dead: Dead) -> None:
    """A refetch would land the good records of the slice once more, so it is refused before anything is asked for."""
    stream = dead.mini.stream(name="lines", key=(), disposition="append", cursor=None, tombstone=None)
    dead.mini.pull(stream)
    before = len(dead.mini.asked)
    with dead.mini.feed(stream) as (feed, _), pytest.raises(SpecError, match="no key"):
        list(refetch(feed, "again", feed.quarantine.entries("mini", "lines"), "tester"))
    assert len(dead.mini.asked) == before


def test_killed_before_it_is_noted_it_lands_no_second_time(dead: Dead) -> None:
    """A replay that dies between its commit and its note is found done by the next, which only writes the note."""
    stream = dead.mini.stream(name="lines", key=(), disposition="append", cursor=None, tombstone=None)
    dead.mini.pull(stream)
    lines = Dead(dead.mini, stream)
    program = f"""
import os
from pathlib import Path
from integration_assets.land.quarantine import Quarantine
from integration_assets_tests.flow.mini import Mini
from integration_assets_tests.replay.dead import Dead
Quarantine.note = lambda *_: os._exit(9)
mini = Mini(Path({str(dead.mini.folder)!r}), url={dead.mini.url!r})
Dead(mini, mini.stream(name="lines", key=(), disposition="append", cursor=None, tombstone=None)).replay()
"""
    killed = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False, timeout=120)  # noqa: S603 - our own
    assert killed.returncode == 9
    assert (lines.states(), lines.lake_rows()) == ({"open": 2}, 5)
    (receipt,) = lines.replay()
    assert (receipt.accepted, receipt.duplicate) == (0, 2)
    assert (lines.states(), lines.lake_rows()) == ({"replayed": 2}, 5)
    assert len(dead.mini.rows(stream=lines.mended)) == 5


def test_replays_that_race_land_it_once(dead: Dead) -> None:
    """Of several at the same moment one lands each record, and the others see that it is there."""
    chosen = dead.entries()

    def one(number: int) -> int:
        with dead.mini.feed(dead.mended) as (feed, _):
            return sum(receipt.accepted for receipt in replay(feed, f"replay {number}", chosen, "tester"))

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, range(4))) == [0, 0, 0, 2]
    assert dead.lake_rows() == 5


def test_a_replay_beside_a_sync_disturbs_neither(dead: Dead) -> None:
    """A record is replayed while a slice is being pulled: the slice lands all the same, and it does not count as taken."""
    dead.mini.records.append(item(6, 6))
    chosen = dead.entries()

    def meanwhile() -> None:
        dead.mini.on_ask = lambda: None
        with dead.mini.feed(dead.mended) as (feed, _):
            list(replay(feed, "replay", chosen, "tester"))

    dead.mini.on_ask = meanwhile
    (receipt,) = dead.mini.pull(dead.mended)
    assert receipt.outcome == "committed"
    assert dead.mini.rows(stream=dead.mended) == [(1, 1), (2, -2), (3, 3), (4, -4), (5, 5), (6, 6)]


def test_rejected_again_later_it_is_open_again(dead: Dead) -> None:
    """A contract that turns away what it let through once is told of, when the range is pulled again."""
    dead.replay()
    with dead.mini.feed(dead.stream) as (feed, _):
        list(sync(feed, "later", span=Slice(0)))
    assert dead.states() == {"open": 2}


def test_a_snapshot_is_not_replayed(dead: Dead) -> None:
    """One record cannot be added to a table that is replaced as a whole, and the error says what to do."""
    with dead.mini.feed(dead.mini.codes(format=Json(records="data"))) as (feed, _), pytest.raises(SpecError, match="refetch"):
        list(replay(feed, "replay", [], "tester"))


def test_a_dry_run_writes_nothing(dead: Dead) -> None:
    """It says what would land."""
    with dead.mini.feed(dead.mended) as (feed, _):
        (receipt,) = replay(feed, "replay", dead.entries(), "tester", dry_run=True)
    assert (receipt.outcome, receipt.accepted, receipt.version) == ("dry-run", 2, None)
    assert (dead.states(), dead.lake_rows()) == ({"open": 2}, 3)


def test_a_quarantine_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    """Its rows have no kind and no time of the pull; they are entries like others."""
    old = pa.schema([field for field in SCHEMA if field.name not in {"kind", "pulled_at", "actor", "note", "old_hash"}])
    old = pa.schema([field for field in old if field.name not in {"new_hash", "lake_version"}])
    quarantine = Quarantine(str(tmp_path / "old"))
    table = quarantine.table("mini", "items")
    table.prepare(old)
    row = rejection("mini", "items", Reject(b'{"id":2}', ("x: bad",), "2"), Slice(0, None), "run", "abc", None, None)
    with table.writer(old) as writer:
        writer.write(pa.Table.from_pylist([row], schema=old))
        table.append(writer)
    (entry,) = quarantine.entries("mini", "items")
    assert (entry.key, entry.state, entry.times) == ("2", "open", 1)
    assert quarantine.counts("mini", "items")["open"] == 1
    assert quarantine.payloads("mini", "items", [entry.identity]) == {entry.identity: b'{"id":2}'}
