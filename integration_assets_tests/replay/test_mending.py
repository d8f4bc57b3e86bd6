"""Edits, refetches and discards: each leaves a line in the log, and the record as it came."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from integration_assets.cli.quarantine_view import print_entries, print_entry, print_raw
from integration_assets.errors import SpecError
from integration_assets.land.entries import where
from integration_assets.replay import discard, edit, refetch
from integration_assets.settings import Settings
from integration_assets.spec.cursor import Slice
from integration_assets.spec.records import Reject
from integration_assets.sync import merge
from integration_assets_tests.flow.mini import KEY, Mini
from integration_assets_tests.replay.dead import HERE, Dead, item

MENDED = b'{"id": 2, "seq": 2, "value": 22}'


def test_an_edit_lands_and_is_audited(dead: Dead) -> None:
    """The mended record is in the table; who, when, why and both hashes are in the log, and the one that came is kept."""
    two, _ = dead.entries()
    with dead.mini.feed(dead.stream) as (feed, stores):
        (old,) = feed.quarantine.payloads("mini", "items", [two.identity]).values()
        edit(feed, "edit", two, MENDED, "the shop says 22", "ada")
        merge(feed, stores, "edit")
        assert feed.quarantine.payloads("mini", "items", [two.identity]) == {two.identity: old}
    assert dead.mini.rows()[1] == (2, 22)
    two, _ = dead.entries()
    last = two.history[-1]
    assert (two.state, last.kind, last.actor, last.note) == ("edited", "edited", "ada", "the shop says 22")
    assert (last.old_hash, last.new_hash) == tuple(hashlib.sha256(one).hexdigest() for one in (old, MENDED))
    assert last.at > two.first_seen
    dead.mini.pull()
    assert dead.states() == {"open": 1, "edited": 1}  # the API still sends what it sent, and that was judged


def test_an_edit_may_be_taken_back(dead: Dead) -> None:
    """The last edit stands, also one that has an earlier one's text; each has its line in the log."""
    with dead.mini.feed(dead.stream) as (feed, stores):
        for value in (22, 23, 22):
            edit(feed, "edit", dead.entries()[0], MENDED.replace(b"22", b"%d" % value), "as the shop says", "ada")
            merge(feed, stores, "edit")
            assert dead.mini.rows()[1] == (2, value)
    assert [event.kind for event in dead.entries()[0].history] == ["rejected", *["edited"] * 3]


def test_without_a_key_a_record_is_edited_once(dead: Dead) -> None:
    """A second edit would land a second row beside the first."""
    stream = dead.mini.stream(name="log", disposition="append", key=(), cursor=None, tombstone=None)
    dead.mini.pull(stream)
    with dead.mini.feed(stream) as (feed, _):
        one = feed.quarantine.entries("mini", "log")[0]
        edit(feed, "edit", one, MENDED, "as the shop says", "ada")
        (one,) = (entry for entry in feed.quarantine.entries("mini", "log") if entry.state == "edited")
        with pytest.raises(SpecError, match="no key"):
            edit(feed, "edit", one, MENDED.replace(b"22", b"23"), "as the shop says", "ada")
        assert feed.table.count() == 4


def test_an_edit_that_does_not_hold_lands_nothing(dead: Dead) -> None:
    """The entry stays open, and the try is in the log with its reasons."""
    two, _ = dead.entries()
    with dead.mini.feed(dead.stream) as (feed, _):
        landed = edit(feed, "edit", two, b'{"id": 2, "seq": 2, "value": -22}', "a try", "ada")
        assert list(landed.rejected.values()) == [("value: must be greater_than_or_equal_to(0), got -22",)]
        for payload in (b"{", b'{"id": 2},{"id": 3}'):
            assert edit(feed, "edit", two, payload, "a try", "ada").rejected
        with pytest.raises(SpecError, match="a reason is needed"):
            edit(feed, "edit", two, MENDED, " ", "ada")
    assert (dead.states(), dead.lake_rows()) == ({"open": 2}, 3)
    assert [event.kind for event in dead.entries()[0].history] == ["rejected", *["edit rejected"] * 3]


def test_a_refetch_settles_what_the_api_mended(dead: Dead) -> None:
    """The slice is pulled again: what holds now lands, what does not stays open, and both are noted."""
    dead.mini.records[1] = item(2, 22)
    with dead.mini.feed(dead.stream) as (feed, stores):
        (receipt,) = refetch(feed, "again", dead.entries(), "ada")
        merge(feed, stores, "again")
    assert (receipt.accepted, receipt.rejected) == (4, 1)
    assert dead.mini.rows()[1] == (2, 22)
    two, four = dead.entries()
    assert [(one.state, one.history[-1].kind) for one in (two, four)] == [
        ("replayed", "refetched"),
        ("open", "refetch rejected"),
    ]


def test_what_is_discarded_is_kept_and_no_longer_open(dead: Dead) -> None:
    """With its reason; it stays so when it comes again, and can be replayed by name."""
    two, four = dead.entries()
    with dead.mini.feed(dead.stream) as (feed, _):
        source, stream = feed.source, feed.stream
        assert discard(feed.quarantine, source, stream, [two], "a test order", "ada", "run") == 1
        with pytest.raises(SpecError, match="a reason is needed"):
            discard(feed.quarantine, source, stream, [four], "", "ada", "run")
    dead.mini.pull()
    assert dead.states() == {"open": 1, "discarded": 1}
    assert dead.entries()[0].history[1].note == "a test order"
    dead.replay(entries=dead.entries()[:1])
    assert dead.states() == {"open": 1, "replayed": 1}


def test_entries_are_found_by_what_is_known_of_them(dead: Dead) -> None:
    """By key, a part of a reason, time and state; what is no moment, state or identity is an error that says so."""
    two, four = dead.entries()
    with dead.mini.feed(dead.stream) as (feed, _):

        def found(**given: str) -> list[str | None]:
            asked = where("mini", "items", **given)  # type: ignore[arg-type]
            return sorted(str(one.key) for one in feed.quarantine.entries("mini", "items", asked))

        assert found(key="2") == ["2"]
        assert found(reason="GOT -4") == ["4"]
        assert found(since=two.last_seen.isoformat()) == ["2", "4"]
        assert found(until=two.last_seen.isoformat()) == []
        for wrong in ({"since": "yesterday"}, {"states": ("lost",)}, {"identities": ("zz",)}, {"identities": ("",)}):
            with pytest.raises(SpecError):
                found(**wrong)  # type: ignore[arg-type]
    assert two.identity != four.identity


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Mini]:
    """Serve two people, one of whom the contract turned away."""
    with Mini(tmp_path).served() as mini:
        known = {"email": "ada@example.org", "iban": "DE02120300000000202051"}
        mini.records = [item(1, 1, **known), item(2, -2, **known), item(3, "three", **known)]
        mini.pull(mini.stream(contract=f"{HERE}:Person"))
        yield mini


def test_a_record_that_is_no_text_is_shown_byte_by_byte(dead: Dead, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """As it came, to be edited: what is no UTF-8 is in quarantine for just that."""
    payload = b'{"id": 6, "value": "\xff"}'
    with dead.mini.feed(dead.stream) as (feed, stores):
        reject = Reject(payload, ("record: not valid JSON",))
        feed.quarantine.add("mini", "items", [reject], Slice(0, 9), "run", feed.contract.hash)
        one = next(entry for entry in dead.entries() if entry.key is None)
        settings = Settings.from_environ({"INTEGRATION_LAKE_URI": stores.lake.uri})
        print_raw(feed.source, feed.stream, settings, one.identity)
        sys.stdout.flush()
    assert capfdbinary.readouterr().out == payload + b"\n"


def test_what_is_shown_has_no_personal_value(people: Mini) -> None:
    """Neither list nor show, with its comparisons with warehouse and API, prints what the contract marks."""
    stream = people.stream(contract=f"{HERE}:Person")
    people.records[1] = item(2, 22, email="grace@example.org", iban="DE02500105170137075030")
    people.pull(stream)
    shown = StringIO()
    out = Console(file=shown, width=80)
    with people.feed(stream) as (feed, _):
        entries = feed.quarantine.entries("mini", "items")
        environ = {
            "INTEGRATION_LAKE_URI": str(people.folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(people.folder / "warehouse.duckdb"),
            "MINI_KEY": KEY,
        }
        settings = Settings.from_environ(environ)
        print_entries(feed.source, stream, settings, out, where("mini", "items"), 20)
        for entry in entries:
            print_entry(feed.source, stream, settings, out, entry.identity, whole=False, api=True)
    text = shown.getvalue()
    assert "warehouse: there, with another version or values" in text
    assert "API today: the API gives it otherwise" in text
    assert "API today: the API still gives it as it is here" in text
    assert "22" in text
    for value in ("ada@", "grace@", "DE02"):
        assert value not in text
