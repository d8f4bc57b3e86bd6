"""What a run can be asked to do, by its configuration and by its tags."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from integration_assets.errors import SpecError
from integration_assets.orchestrate.modes import FROM, MODE, TO, Mode, PullConfig, wanted
from integration_assets.spec import Cursor
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, Bench, partitions, value
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

RETURNS = dg.AssetKey(["shop", "returns"])
COUNTRIES = dg.AssetKey(["shop", "countries"])
DAY1, DAY2, DAY3 = "2024-03-01", "2024-03-02", "2024-03-03"
NIGHT = datetime(2024, 3, 4, 1, 30, tzinfo=UTC)


@pytest.fixture
def bench(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The shop with a clock of its own, where it is half past one in the night of the fourth of March."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    shop.clock = NIGHT
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "home")) as instance:
        yield make_bench(source(shop.url, clock_path="/clock"), tmp_path, instance)


def config(**given: str) -> PullConfig:
    """A step's configuration as the launchpad would hand it over."""
    return PullConfig(**({**given, "mode": Mode(given["mode"])} if "mode" in given else given))


def test_the_launchpad_shows_modes_and_what_they_mean(bench: Bench) -> None:
    """The step's configuration has its fields with descriptions, all optional; the modes are an enumeration."""
    job = bench.definitions.resolve_implicit_global_asset_job_def()
    fields = job.run_config_schema.run_config_schema_type.fields["ops"].config_type.fields["shop__orders"]  # type: ignore[attr-defined]
    shown = fields.config_type.fields["config"].config_type.fields
    assert set(shown) == {"mode", "from", "to", "only"}
    assert all(field.description and not field.is_required for field in shown.values())
    assert [each.config_value for each in shown["mode"].config_type.inner_type.enum_values] == [mode.value for mode in Mode]


@pytest.mark.parametrize(
    ("given", "tags", "partitions", "said"),
    [
        ({}, {MODE: "refrech"}, False, "no mode 'refrech'. The modes are: incremental, refetch, full_reload, dry_run, replay."),
        ({"mode": "refetch"}, {MODE: "dry_run"}, False, "the run's tag says 'dry_run' and its configuration 'refetch'"),
        ({"mode": "refetch"}, {}, False, "refetch needs a range"),
        ({"mode": "refetch", "to": DAY2}, {}, False, "to needs from"),
        ({"from": DAY1}, {}, False, "incremental takes no range"),
        ({"mode": "full_reload", "from": DAY1}, {}, False, "full_reload takes no range"),
        ({"mode": "refetch", "from": DAY1}, {}, True, "a partition is a range already"),
        ({"mode": "refetch", "from": DAY2, "to": DAY1}, {}, False, "holds nothing"),
        ({"mode": "refetch", "from": "soon"}, {}, False, "'soon' is no moment"),
        ({}, {MODE: "refetch", FROM: DAY1, TO: "later"}, False, "'later' is no moment"),
    ],
)
def test_a_wrong_request_is_refused_in_words(given: dict[str, str], tags: dict[str, str], partitions: bool, said: str) -> None:
    """Each impossible request is an error that names the stream and what to give instead."""
    shop = source()
    with pytest.raises(SpecError) as error:
        wanted(shop, shop.stream("orders"), config(**given), tags, partitions=partitions)
    assert said in str(error.value)
    assert str(error.value).startswith("shop.orders (")


def test_a_range_is_read_on_the_cursor_s_own_axis() -> None:
    """Moments without a zone are UTC; a stream that counts takes integers; one without a cursor takes no range."""
    shop = source()
    asked = {MODE: "refetch", FROM: "2024-03-01", TO: "2024-03-02T12:00:00+02:00"}
    span = wanted(shop, shop.stream("orders"), PullConfig(), asked, partitions=False).span
    assert span is not None
    assert (span.start, span.end) == (datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, 10, tzinfo=UTC))
    counted = shop.stream("returns").changed(cursor=Cursor(field="number", kind="integer"))
    assert str(wanted(shop, counted, config(mode="refetch", **{"from": "7"}), {}, partitions=False).span) == "[7, …)"
    with pytest.raises(SpecError, match="always pulled whole"):
        wanted(shop, shop.stream("countries"), config(mode="refetch", **{"from": "7"}), {}, partitions=False)


def test_a_wrong_mode_fails_the_run_before_any_request(bench: Bench, shop: Shop) -> None:
    """A mistyped tag fails the step at once, for good, and the API is not asked."""
    run = bench.run(LAKE, WAREHOUSE, partition=DAY1, tags={MODE: "refrech"})
    data = bench.failure(run)
    assert "there is no mode 'refrech'" in data.user_failure_data.description
    assert shop.asked == []


def test_refetch_pulls_a_range_again(bench: Bench, shop: Shop) -> None:
    """A range is landed once more by configuration or by tags; the warehouse takes only what is new from it."""
    assert bench.run(LAKE, WAREHOUSE, partition=DAY1, to=DAY3).success
    shop.orders[4]["amount"] = 99
    again = {"ops": {"shop__orders": {"config": {"mode": "refetch", "from": DAY2, "to": DAY3}}}}
    run = bench.run(LAKE, WAREHOUSE, config=again)

    assert run.success
    assert partitions(bench.events(LAKE, run)) == [DAY2]
    assert value(bench.events(LAKE, run)[0], "rows accepted") == 3
    assert bench.rows("SELECT amount FROM shop.orders WHERE id = '030201'") == [{"amount": 99}]
    tagged = bench.run(LAKE, WAREHOUSE, tags={MODE: "refetch", FROM: "2024-03-02T01:00:00Z", TO: "2024-03-03T01:00:00Z"})
    assert tagged.success
    assert [value(event, "rows accepted") for event in bench.events(LAKE, tagged)] == [2, 1]
    assert bench.rows("SELECT count(*) AS rows FROM shop.orders") == [{"rows": 9}]


def test_refetch_of_a_part_of_a_missing_partition_does_not_show_it_as_there(bench: Bench) -> None:
    """Half a day is in the lake afterwards; the catalogue has an observation of it, and no materialization."""
    run = bench.run(LAKE, tags={MODE: "refetch", FROM: "2024-03-02T01:00:00Z", TO: DAY3})
    assert run.success
    assert bench.events(LAKE) == []
    (seen,) = bench.observations(LAKE)
    assert (seen.partition, seen.metadata["rows accepted"].value) == (DAY2, 2)


def test_partitions_are_refetched_whole(bench: Bench) -> None:
    """With the tag, a run of partitions lands them anew, also what the lake has as it is."""
    assert bench.run(LAKE, partition=DAY1, to=DAY2).success
    run = bench.run(LAKE, partition=DAY1, to=DAY2, tags={MODE: "refetch"})
    assert [value(event, "rows accepted") for event in bench.events(LAKE, run)] == [3, 3]
    plain = bench.run(LAKE, partition=DAY1, to=DAY2)
    assert [value(event, "rows accepted") for event in bench.events(LAKE, plain)] == [0, 0]


def test_full_reload_begins_at_the_origin(bench: Bench) -> None:
    """Partition by partition, from the cursor's start, or the snapshot once more: each as the stream is."""
    assert bench.run(LAKE, WAREHOUSE, partition=DAY2).success
    reload = bench.run(LAKE, WAREHOUSE, RETURNS, COUNTRIES, tags={MODE: "full_reload"})
    assert reload.success
    assert partitions(bench.events(LAKE, reload)) == [DAY1, DAY2, DAY3]
    assert bench.rows("SELECT count(*) AS rows FROM shop.orders") == [{"rows": 9}]
    again = bench.run(RETURNS, tags={MODE: "full_reload"})
    assert [value(event, "rows accepted") for event in bench.events(RETURNS)] == [8, 8]
    assert value(bench.events(RETURNS, again)[0], "slice").startswith("[2024-03-01T00:00:00Z,")
    assert value(bench.events(COUNTRIES, reload)[0], "outcome") == "committed"


@pytest.mark.parametrize("name", ["orders", "returns", "countries"])
def test_a_dry_run_asks_for_one_page_and_writes_nothing(bench: Bench, shop: Shop, tmp_path: Path, name: str) -> None:
    """It says what would be pulled; nothing is materialized, nothing is in lake, quarantine or warehouse."""
    keys = (dg.AssetKey(["shop", name]), dg.AssetKey(["warehouse", "shop", name]))
    run = bench.run(*keys, tags={MODE: "dry_run"})

    assert run.success
    assert [event for key in keys for event in bench.events(key)] == []
    assert run.get_asset_check_evaluations() == []
    (seen,) = bench.observations(keys[0])
    assert (value(seen, "outcome"), value(seen, "pages")) == ("dry-run", 1)  # type: ignore[arg-type]
    assert "2024-03-03" in seen.metadata["dry run"].value or name == "countries"
    assert len(shop.asked) == (0 if name == "countries" else 1)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "home" not in path.parts] == []


def test_a_dry_run_of_a_range_says_its_partitions(bench: Bench, shop: Shop) -> None:
    """With a range it says what a refetch would pull."""
    bench.run(LAKE, WAREHOUSE, tags={MODE: "dry_run", FROM: DAY1, TO: DAY3})
    (seen,) = bench.observations(LAKE)
    assert seen.metadata["slices"].value == 2
    assert len(shop.asked) == 1


def test_a_run_without_a_partition_pulls_what_is_due(bench: Bench, shop: Shop) -> None:
    """The night after an outage pulls every day that was missed, oldest first, merges them, and the next finds nothing to do."""
    job = bench.definitions.resolve_job_def("shop_sync")
    assert bench.run(LAKE, WAREHOUSE, partition=DAY1).success
    run = job.execute_in_process(instance=bench.instance)

    assert run.success
    assert partitions(bench.events(LAKE, run)) == [DAY2, DAY3]
    assert value(bench.events(WAREHOUSE)[-1], "dagster/row_count") == 9
    assert bench.checks(run)["accounting_adds_up"].passed
    quiet = job.execute_in_process(instance=bench.instance)
    assert quiet.success
    assert bench.events(LAKE, quiet) == []
    assert [shop.asked.count(day) for day in (DAY1, DAY2)] == [2, 1]  # the first also by the stream of returns


def test_the_first_night_of_a_stream_pulls_its_last_day(bench: Bench) -> None:
    """A stream that was never pulled begins with the last day that is over; its history is a backfill's business."""
    run = bench.run(LAKE)
    assert run.success
    assert partitions(bench.events(LAKE)) == [DAY3]


def test_a_day_is_pulled_again_when_its_lookback_is_over(shop: Shop, bench: Bench, tmp_path: Path) -> None:
    """Pulled soon after midnight, a day is pulled once more after its lookback, finds the late order, and is left alone then."""
    orders = source().stream("orders")
    assert orders.cursor is not None
    late = orders.changed(cursor=orders.cursor.changed(lookback=timedelta(hours=6)))
    slow = make_bench(source(shop.url, clock_path="/clock", streams=(late,)), tmp_path, bench.instance)
    pulled = []
    for hour in (1, 5, 7, 9):
        shop.clock = datetime(2024, 3, 3, hour, tzinfo=UTC)
        run = slow.run(LAKE)
        assert run.success
        pulled.append([(event.partition, value(event, "rows accepted")) for event in slow.events(LAKE, run)])
        if hour == 1:
            shop.orders.append({"id": "late", "amount": 1, "note": "", "updated_at": "2024-03-02T23:59:00+00:00"})
    assert pulled == [[(DAY2, 3)], [], [(DAY2, 1)], []]
