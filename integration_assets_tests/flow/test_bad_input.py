"""Whatever comes from outside: a clear error or a reject, in bounded time, and nothing lost."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from integration_assets.errors import (
    AccessDeniedError,
    IntegrationError,
    LakeError,
    LakeNewerThanContractError,
    PageTokenExpiredError,
    PagingError,
    RejectThresholdError,
    ResponseError,
    SecretMissingError,
    SpecError,
    UnknownHostError,
    UpstreamUnavailableError,
)
from integration_assets.feed import Feed, Job
from integration_assets.ingest import ingest
from integration_assets.spec.receipt import Receipt
from integration_assets.sync import merge, sync
from integration_assets_tests.flow.conftest import START
from integration_assets_tests.flow.world import World

FLIGHTS = "/v1/flights"
DAY = "2013-01-01"


@pytest.fixture
def world(world: World) -> World:
    """The world after its first day, of a thousand flights."""
    world.upstream.set_clock("2013-01-02T00:00:00Z")
    return world


def fails(world: World, kind: type[IntegrationError], stream: str = "flights", **environ: str) -> IntegrationError:
    """Sync the stream, which must fail so; the error names source and stream, says what to do, and nothing is committed."""
    with pytest.raises(kind) as caught, world.feed(stream, **environ) as (feed, _):
        list(sync(feed, "run"))
    assert str(caught.value).startswith(f"nyc_ops.{stream}") or caught.value.stream is None
    assert caught.value.source == "nyc_ops"
    assert caught.value.remedy
    assert "sandbox-key" not in str(caught.value)
    with world.feed(stream) as (feed, _):
        assert feed.table.count() == 0
    return caught.value


def recovers(world: World, stream: str = "flights") -> None:
    """With the upstream well again, the next sync brings everything."""
    world.upstream.clear_faults()
    world.pull(stream)
    assert world.rows(stream) == world.truth(stream)


def test_a_wrong_key_is_named_and_not_shown(world: World) -> None:
    """A refused credential says which secret to mend, and is not retried."""
    error = fails(world, AccessDeniedError, NYC_OPS_KEY="wrong-key-value")
    assert "NYC_OPS_KEY" in str(error)
    assert "wrong-key-value" not in str(error)
    assert world.upstream.requests()[FLIGHTS] == {"401": 1}


def test_a_missing_key_costs_no_request(world: World) -> None:
    """A secret that is not set is found before the API is asked anything."""
    with pytest.raises(SecretMissingError, match="NYC_OPS_KEY"), world.feed("flights", NYC_OPS_KEY=""):
        pass
    assert world.upstream.requests() == {}


def test_an_unknown_host_is_said_to_be_one(world: World) -> None:
    """A host name that does not resolve is told apart from an API that is down."""
    error = fails(world, UnknownHostError, INTEGRATION_NYC_OPS_BASE_URL="https://no-such-host.invalid")
    assert "no-such-host.invalid" in str(error)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "html"}, "text/html"),
        ({"kind": "content_type", "media": "application/pdf"}, "application/pdf"),
        ({"kind": "malformed"}, "JSON"),
    ],
)
def test_an_answer_that_is_not_the_described_one_is_refused(world: World, fault: dict[str, object], says: str) -> None:
    """An HTML page with 200, another content type or broken JSON never become rows."""
    world.upstream.faults([{"path": FLIGHTS, **fault}])
    assert says in str(fails(world, ResponseError))
    recovers(world)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503, "rate": 0.3, "seed": 3},
        {"kind": "status", "status": 429, "retry_after": 0, "rate": 0.3, "seed": 3},
        {"kind": "reset", "rate": 0.3, "seed": 5},
        {"kind": "truncate", "rate": 0.3, "seed": 6},
        {"kind": "slow", "rate": 0.3, "seed": 7, "seconds": 0.001},
    ],
)
def test_passing_faults_are_retried_and_lose_nothing(world: World, fault: dict[str, object]) -> None:
    """Errors, throttling, resets, cut and slow bodies on a third of the requests still end in the truth."""
    world.upstream.set_clock(START)
    world.upstream.faults([{"path": FLIGHTS, **fault}])
    receipts = world.pull("flights")
    assert sum(world.upstream.fired()) > 0
    assert world.rows("flights") == world.truth("flights")
    assert fault["kind"] == "slow" or sum(receipt.retries for receipt in receipts) > 0


def test_an_outage_ends_the_run_and_the_next_goes_on(world: World) -> None:
    """An API that stays down is given up after the allowed tries; what was committed before stays."""
    world.upstream.set_clock(START)
    world.upstream.faults([{"path": FLIGHTS, "kind": "status", "after": 4}])
    with pytest.raises(UpstreamUnavailableError, match="503"):
        world.pull("flights")
    with world.feed("flights") as (feed, _):
        assert feed.table.state().receipt is not None
    recovers(world)


def test_an_empty_page_is_the_end_and_no_error(world: World) -> None:
    """A page without a record and without a next one ends the slice; nothing is claimed that was not seen."""
    world.upstream.faults([{"path": "/v1/weather", "kind": "empty"}])
    (receipt,) = world.pull("weather")
    assert (receipt.outcome, receipt.fetched) == ("empty", 0)


def test_a_snapshot_that_comes_empty_does_not_empty_the_table(world: World) -> None:
    """A full snapshot without a record is refused when the table has some."""
    world.pull("airports")
    world.upstream.faults([{"path": "/v1/airports", "kind": "empty"}])
    with pytest.raises(ResponseError, match="without a record"):
        world.pull("airports")
    assert world.rows("airports") == world.truth("airports")


def test_a_snapshot_that_may_be_empty_empties_the_table(world: World) -> None:
    """Where the stream allows it, an empty full snapshot is a fact like any other, and the next one fills the table again."""
    listed = world.source.stream("airports").changed(allow_empty=True)
    for faults, rows in (([], 1458), ([{"path": "/v1/airports", "kind": "empty"}], 0), ([], 1458)):
        world.upstream.faults(faults)
        with world.feed("airports") as (feed, stores):
            allowed = Feed(feed.source, listed, feed.contract, feed.client, feed.table, feed.quarantine)
            (receipt,) = sync(allowed, "run")
            assert (receipt.outcome, receipt.accepted) == ("committed", rows)
            merge(allowed, stores, "run")
        assert len(world.rows("airports")) == rows


@pytest.mark.parametrize("stream", ["flights", "weather", "airports"])
def test_endless_paging_is_stopped(world: World, stream: str) -> None:
    """A token, link or offset that leads back to the same page is an error after it repeats, not a loop."""
    world.upstream.faults([{"path": f"/v1/{stream}", "kind": "loop"}])
    with world.feed(stream, page_size=100) as (feed, _), pytest.raises(PagingError):
        list(sync(feed, "run"))


def test_a_page_token_refused_midway_restarts_the_slice(world: World) -> None:
    """When the API ages a token out, the slice is read again from its start, once or twice, and nothing is doubled."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "token_refused", "times": 1, "after": 1}])
    with world.feed("flights", page_size=100) as (feed, _):
        (receipt,) = sync(feed, "run", partitions=[DAY])
        assert world.upstream.fired() == [1]
        assert feed.table.count() == receipt.accepted
    recovers(world)


def test_a_page_token_that_is_always_refused_is_an_error(world: World) -> None:
    """After a bounded number of new starts the run says that tokens do not live long enough."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "token_refused"}])
    with world.feed("flights", page_size=100) as (feed, _), pytest.raises(PageTokenExpiredError):
        list(sync(feed, "run", partitions=[DAY]))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"drop": "id"}, "id: is null"),
        ({"null": "updated_at"}, "updated_at: is null"),
        ({"field": "distance_mi", "value": "n/a"}, "distance_mi"),
        ({"field": "distance_mi", "value": -7}, "distance_mi: must be greater_than(0), got -7"),
        ({"field": "origin.faa", "value": "XXX"}, "origin: must be isin"),
    ],
)
def test_bad_records_are_rejected_alone_with_their_reason(world: World, fault: dict[str, object], says: str) -> None:
    """A few bad records go to quarantine whole; their neighbours land, and the account adds up."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "bad_rows", "share": 0.02, **fault}])
    (receipt,) = world.pull("flights", [DAY])
    assert receipt.rejected > 0
    assert receipt.adds_up
    assert any(says.partition(", got ")[0] in reason for reason in receipt.reasons)
    with world.feed("flights") as (feed, stores):
        kept = stores.quarantine.list("nyc_ops", "flights", limit=1000)
        assert len(kept) == receipt.rejected
        assert all(any(says in reason for reason in entry.reasons) for entry in kept)
        assert json.loads(kept[0].payload)
        assert feed.table.count() == receipt.accepted
    recovers_after_rejects(world)


def recovers_after_rejects(world: World) -> None:
    """With the API mended, refetching the day lands what had been rejected."""
    world.upstream.clear_faults()
    world.pull("flights", [DAY])
    world.pull("flights")
    assert world.rows("flights") == world.truth("flights")


def test_a_page_of_only_bad_rows_commits_nothing_and_says_why(world: World) -> None:
    """Past the stream's threshold nothing of the slice lands, the watermark stays, and the rejects are kept."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "bad_rows", "share": 1.0, "field": "status", "value": "lost"}])
    with world.feed("flights") as (feed, stores):
        with pytest.raises(RejectThresholdError, match="more than the allowed 5%"):
            list(sync(feed, "run", partitions=[DAY]))
        assert feed.table.state().receipt is None
        assert stores.quarantine.count("nyc_ops", "flights") > 0
    recovers(world)


def test_drift_is_on_the_receipt_and_loses_no_row(world: World) -> None:
    """A new field is reported by name and count; the rows land without it."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "schema", "add": {"gate": "B7"}}])
    (receipt,) = world.pull("flights", [DAY])
    assert receipt.drift["new"]["gate"] > 0
    assert any("new field gate" in warning for warning in receipt.warnings)
    recovers(world)


def test_a_renamed_field_is_both_new_and_missing(world: World) -> None:
    """What the API renamed shows as one field gone and one come."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "schema", "rename": {"air_time_min": "airtime"}}])
    (receipt,) = world.pull("flights", [DAY])
    assert receipt.drift["new"].keys() == {"airtime"}
    assert receipt.drift["missing"].keys() == {"air_time_min"}


def test_a_retyped_field_rejects_past_the_threshold(world: World) -> None:
    """A number that became text in every record stops the slice before anything lands."""
    world.upstream.faults([{"path": FLIGHTS, "kind": "schema", "retype": {"distance_mi": "string"}}])
    fails(world, RejectThresholdError)
    recovers(world)


def test_a_lake_that_cannot_be_written_costs_no_request(world: World) -> None:
    """An unwritable lake folder is found before the API is asked anything."""
    blocked = world.folder / "file"
    blocked.write_text("not a folder")
    with pytest.raises(LakeError, match="file"), world.feed("flights", INTEGRATION_LAKE_URI=str(blocked / "lake")):
        pass
    assert world.upstream.requests() == {}


def test_a_full_disk_is_a_clear_error_and_commits_nothing(world: World, tmp_path: Path) -> None:
    """When the disk fills while files are written, the error says so and the next run goes on from the last commit."""
    script = tmp_path / "fill.py"
    script.write_text(_FILL)
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(script)],
        env={**world.environ, "PYTHONPATH": str(Path.cwd()), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "nyc_ops.flights" in done.stdout
    recovers(world)


_FILL = """
import resource, signal, sys
from integration_assets.errors import IntegrationError
from integration_assets.settings import Settings
from integration_assets.sources import load_source
from integration_assets.feed import open_feeds
from integration_assets.stores import Stores
from integration_assets.sync import sync
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
settings, source = Settings.from_environ(), load_source("nyc_ops")
stores = Stores.from_settings(settings)
with open_feeds(source, stores, settings, [source.stream("flights")]) as feeds:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        list(sync(feeds[0], "run"))
    except IntegrationError as error:
        print(error)
        sys.exit(3)
"""


def test_a_lake_of_a_newer_contract_is_left_alone(world: World) -> None:
    """Old code refuses a table that has columns it does not know, names them, and asks the API nothing."""
    world.pull("airlines")
    with world.feed("airlines") as (feed, _):
        schema = feed.contract.arrow_schema.append(pa.field("alliance", pa.string()))
        feed.table.prepare(pa.schema([*schema, *_technical()]))
    world.upstream.forget_requests()
    with pytest.raises(LakeNewerThanContractError, match="alliance"):
        world.pull("airlines")
    assert world.upstream.requests() == {}


def _technical() -> list[pa.Field]:
    from integration_assets.transform.technical import _TECHNICAL

    return list(_TECHNICAL)


def test_a_slice_that_another_run_committed_is_not_doubled(world: World) -> None:
    """Two runs pull one partition at once: one commits, the other ends cleanly, names the winner and adds nothing."""
    results: list[Receipt] = []
    barrier = threading.Barrier(2)

    def run(name: str) -> None:
        with world.feed("flights") as (feed, _):

            def together(_: object) -> None:
                # Both have read their slice before either commits.
                if not getattr(run, name, False):
                    setattr(run, name, True)
                    barrier.wait(timeout=60)

            results.extend(sync(feed, name, partitions=[DAY], watch=together))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert sorted(receipt.outcome for receipt in results) == ["committed", "taken"]
    winner, loser = sorted(results, key=lambda receipt: receipt.outcome)
    assert winner.run_id in loser.warnings[0]
    with world.feed("flights") as (feed, _):
        assert feed.table.count() == winner.accepted
    recovers(world)


def test_a_stale_plan_is_refused_by_the_lake(world: World) -> None:
    """A slice planned on a state that has moved on by an overlapping commit is not committed."""
    with world.feed("flights") as (feed, _):
        stale = feed.table.state()
        world.pull("flights", [DAY])
        assert feed.stream.partitions
        job = Job(feed.stream.partitions.slice_of(DAY), stale, "late")
        with pytest.raises(IntegrationError, match="committed"):
            ingest(feed, job)


def test_a_partition_that_has_not_begun_is_refused(world: World) -> None:
    """A day after the API's now cannot be pulled, and the error says how far the data are final."""
    with pytest.raises(SpecError, match="has not begun"):
        world.pull("flights", ["2013-02-01"])
