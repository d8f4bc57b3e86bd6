"""The edges at which records get lost or doubled, each on an API of a few records."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_assets.errors import RejectThresholdError
from integration_assets.feed import Job
from integration_assets.ingest import ingest
from integration_assets.spec import Slice
from integration_assets.spec.receipt import Receipt
from integration_assets.sync import sync
from integration_assets_tests.flow.mini import HERE, KEY, Mini


def item(number: int, value: object = 0, **more: object) -> dict[str, object]:
    """Make one record."""
    return {"id": number, "seq": number, "value": value, **more}


@pytest.fixture
def mini(tmp_path: Path) -> Iterator[Mini]:
    """Serve an API without records."""
    with Mini(tmp_path).served() as api:
        yield api


def test_a_correction_without_a_new_version_arrives(mini: Mini) -> None:
    """A record that the API changes under the same version is in the table after the next sync, and so is its withdrawal."""
    mini.records = [item(1, 1), item(2, 2)]
    mini.pull()
    mini.records[0]["value"] = 100
    mini.pull()
    assert mini.rows() == [(1, 100), (2, 2)]
    mini.records[1] = {"id": 2, "seq": 2, "gone": True}
    mini.pull()
    assert mini.rows() == [(1, 100)]


def test_a_good_copy_of_a_rejected_record_lands(mini: Mini) -> None:
    """A record that came broken first and whole later in the same read is in the table."""
    mini.records = [item(1, -1), item(1, 5), *(item(number) for number in range(2, 40))]
    (receipt,) = mini.pull()
    assert (receipt.rejected, receipt.duplicate) == (1, 0)
    assert mini.rows()[0] == (1, 5)


def test_the_last_of_several_states_in_one_read_wins(mini: Mini) -> None:
    """Without a new version, what came last is what stands."""
    mini.records = [item(1, 1), item(1, 2), item(1, 1)]
    mini.pull()
    assert mini.rows() == [(1, 1)]


def test_a_range_beyond_the_data_does_not_move_the_watermark_past_it(mini: Mini) -> None:
    """An integer range is finished only as far as there were records, so what grows later is pulled."""
    mini.records = [item(number) for number in range(5)]
    mini.pull(span=Slice(0, 1000))
    mini.records += [item(number) for number in range(5, 20)]
    mini.pull()
    assert len(mini.rows()) == 20


def test_an_open_sync_reads_its_last_record_again_and_adds_nothing(mini: Mini) -> None:
    """Ties at the highest cursor are read again; equal ones are duplicates and the account says so."""
    mini.records = [item(number) for number in range(5)]
    mini.pull()
    mini.records.append({"id": 99, "seq": 4, "value": 7})
    (receipt,) = mini.pull()
    assert (receipt.accepted, receipt.duplicate) == (1, 5)
    assert receipt.adds_up


def test_a_new_column_is_filled_although_the_api_says_not_modified(mini: Mini) -> None:
    """After the contract grew, a snapshot is asked for whole, whatever its ETag."""
    mini.records = [{"code": "a", "name": "Alpha"}, {"code": "b", "name": "Beta"}]
    mini.pull(mini.codes(ignore=("name",)))
    (receipt,) = mini.pull(mini.codes(ignore=("name",)))
    assert receipt.outcome == "unchanged"
    wider = mini.codes(contract=f"{HERE}:WiderCode")
    (receipt,) = mini.pull(wider)
    assert receipt.outcome == "committed"
    assert mini.rows("code, name", wider) == [("a", "Alpha"), ("b", "Beta")]


def test_a_snapshot_with_rejects_is_asked_for_again(mini: Mini) -> None:
    """While records of a snapshot are in quarantine, its ETag is not taken for the whole truth."""
    mini.records = [{"code": "a"}, {"code": 5}, {"code": "c"}]
    mini.pull(mini.codes())
    (receipt,) = mini.pull(mini.codes())
    assert receipt.pages == 1


def test_one_bad_record_does_not_stop_a_small_delta(mini: Mini) -> None:
    """A typo among three new records is rejected alone; a slice with nothing good in it is refused."""
    mini.records = [item(number) for number in range(100)]
    mini.pull()
    mini.records += [item(100), item(101, -1), item(102)]
    (receipt,) = mini.pull()
    assert (receipt.accepted, receipt.rejected) == (2, 1)
    with mini.feed(mini.stream(name="others")) as (feed, _):
        mini.records = [item(1, -1), item(2, -1)]
        with pytest.raises(RejectThresholdError, match="value: must be greater_than_or_equal_to"):
            list(sync(feed, "run"))


def test_a_bad_record_that_was_met_before_does_not_stop_an_idle_sync(mini: Mini) -> None:
    """A lookback that holds only what is in quarantine already is an idle sync; a new bad record alone is refused still."""
    mini.records = [item(number) for number in range(100)]
    mini.pull()
    mini.records += [item(100), item(101, -1)]
    (receipt,) = mini.pull()
    assert (receipt.accepted, receipt.rejected) == (1, 1)
    del mini.records[:-1]
    (receipt,) = mini.pull()
    assert (receipt.outcome, receipt.fetched, receipt.rejected) == ("empty", 1, 1)
    mini.records += [item(number, -1) for number in range(102, 120)]
    for _ in range(2):  # nor is it let through because it came before: no slice that is finished had it
        with pytest.raises(RejectThresholdError, match="19 of 19 records"):
            mini.pull()


def test_a_key_that_the_api_echoes_is_not_kept(mini: Mini) -> None:
    """A credential in a bad record is cut from quarantine, receipt and log alike."""
    mini.records = [item(number) for number in range(3)]
    mini.echo_key = True
    with mini.feed(mini.stream()) as (feed, stores):
        with pytest.raises(RejectThresholdError) as caught:
            list(sync(feed, "run"))
        assert KEY not in str(caught.value)
        kept = stores.quarantine.list("mini", "items")
        assert len(kept) == 3
        assert not any(KEY.encode() in entry.payload or KEY in " ".join(entry.reasons) for entry in kept)
    assert not any(KEY.encode() in path.read_bytes() for path in (mini.folder / "lake").rglob("*") if path.is_file())


def test_reasons_on_a_receipt_hold_no_values(mini: Mini) -> None:
    """The log keeps what was wrong, not what the record said."""
    mini.records = [item(number) for number in range(50)] + [item(50, -424242)]
    (receipt,) = mini.pull()
    assert receipt.reasons
    assert "424242" not in receipt.to_json()


def test_a_refetch_is_not_dropped_for_a_part_that_another_run_committed(mini: Mini) -> None:
    """A range that was finished long ago is pulled again as asked, although another run commits a part of it meanwhile."""
    mini.records = [item(number, 1) for number in range(10)]
    mini.pull()
    for record in mini.records:
        record["value"] = 2

    def commit_a_part() -> None:
        mini.on_ask = lambda: None
        with mini.feed(mini.stream()) as (feed, _):
            ingest(feed, Job(Slice(8, 10), feed.table.state(), "other"))

    mini.on_ask = commit_a_part
    (receipt,) = mini.pull(span=Slice(0, 10))
    assert receipt.outcome == "committed"
    assert mini.rows() == [(number, 2) for number in range(10)]


def test_of_two_syncs_at_once_one_does_the_work(mini: Mini) -> None:
    """Two plain syncs end cleanly: what one committed the other does not pull again, and names it."""
    mini.records = [item(number) for number in range(50)]
    both, results = threading.Barrier(2), list[list[Receipt]]()

    def run(name: str) -> None:
        with mini.feed(mini.stream()) as (feed, _):

            def together(_: object) -> None:
                if not both.broken and both.n_waiting < 2 and not results and name not in met:
                    met.add(name)
                    both.wait(timeout=60)

            results.append(list(sync(feed, name, watch=together)))

    met: set[str] = set()
    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    outcomes = sorted(receipt.outcome for receipts in results for receipt in receipts)
    assert outcomes == ["committed", "taken"]
    mini.pull()
    assert len(mini.rows()) == 50


def test_the_account_of_every_slice_is_in_the_log(mini: Mini) -> None:
    """Receipts add up and can be read back from the lake alone."""
    mini.records = [item(number) for number in range(5)]
    mini.pull()
    log = sorted((mini.folder / "lake" / "mini" / "items" / "_delta_log").glob("*.json"))
    texts = [json.loads(line) for path in log for line in path.read_text().splitlines()]
    receipts = [
        entry["commitInfo"]["integration_assets_receipt"] for entry in texts if "integration_assets_receipt" in str(entry)
    ]
    assert all(Receipt.from_json(text).adds_up for text in receipts)


def test_a_mark_of_deletion_of_another_type_brings_nothing_back(mini: Mini) -> None:
    """A record whose deletion mark changed its type is rejected: it neither lives nor dies by a guess."""
    mini.records = [item(number) for number in range(5)]
    mini.pull()
    mini.records[0] = {"id": 0, "seq": 0, "gone": True}
    mini.pull()
    mini.records[0] = {"id": 0, "seq": 0, "value": 3, "gone": "true"}
    (receipt,) = mini.pull()
    assert (receipt.accepted, receipt.rejected) == (0, 1)
    assert [number for number, _ in mini.rows()] == [1, 2, 3, 4]
