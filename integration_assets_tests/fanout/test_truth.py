"""The warehouse has the children that the API has, whatever happens to them, their parents and the runs."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from integration_assets.cli.ranges import asked
from integration_assets.cli.run import run_sync
from integration_assets.differences import from_api
from integration_assets.errors import ResponseError, SpecError, UpstreamUnavailableError
from integration_assets.replay import check_replayable, refetch, replay
from integration_assets.settings import Settings
from integration_assets.spec import Parent, Single, Slice, Sweep
from integration_assets.spec.parent import for_parent
from integration_assets.sweep import sweep
from integration_assets.sync import merge, sync
from integration_assets.transform.showing import Showing
from integration_assets_tests.fanout.orders import HERE, START, Api, at, by_day, items, orders


def test_children_follow_their_parents_through_changes(api: Api) -> None:
    """New and changed parents have their children pulled, others are not asked; names are quoted."""
    api.put("a", 1, 5, 6, 7)
    api.put("b/ä 1", 2, 8)
    api.put("none", 3)
    receipts = api.both(now=10)
    assert api.rows() == api.truth()
    assert sum(receipt.fetched for receipt in receipts) == 4
    assert all(receipt.adds_up for receipt in receipts)

    api.asked.clear()
    api.put("a", 20, 5, 60, 7, 70)
    api.put("c", 21, 1)
    api.both(now=24)
    assert sorted({*api.asked}) == ["a", "c"]
    assert api.rows() == api.truth()


def test_a_child_never_gets_ahead_of_its_parent(api: Api) -> None:
    """The children's watermark stops where the parents' does, and there is nothing to pull before they have begun."""
    api.put("a", 1, 5)
    assert api.pull("items", now=10) == []
    api.pull("orders", now=10)
    api.put("late", 11, 6)
    api.pull("items", now=20)
    assert api.watermark("items") == Slice(at(0), at(10))
    assert api.asked == ["a"]
    api.both(now=20)
    assert api.watermark("items") == Slice(at(0), at(20))
    assert api.rows() == api.truth()


def test_partitions_may_be_pulled_in_any_order(api: Api) -> None:
    """A backfill out of order ends with the truth; a day that the parents do not have yet is refused, saying so."""
    api.streams = by_day()
    for day in range(4):
        for number in range(3):
            api.put(f"{day}-{number}", 24 * day + number, day, number)
    days = ["2024-03-03", "2024-03-01", "2024-03-04", "2024-03-02"]
    with pytest.raises(SpecError, match="orders, whose children these are, has nothing of"):
        api.pull("items", 200, ["2024-03-03"])
    for each in days:
        api.pull("orders", 200, [each])
    api.put("0-0", 50, 9, 9)  # changes on the third day, which the parents have to see again
    api.pull("orders", 200, ["2024-03-03"])
    for each in reversed(days):
        api.pull("items", 200, [each])
    assert api.rows() == api.truth()
    assert api.asked.count("0-0") == 1, "only the day of its newest version asks for it"


def test_an_old_partition_asked_again_changes_nothing(api: Api) -> None:
    """Children pulled again for a day that is over leave newer versions in place and move no watermark."""
    api.streams = by_day()
    api.put("a", 1, 1)
    api.put("b", 30, 2)
    api.both(200, ["2024-03-01", "2024-03-02"])
    mark = api.watermark("items")
    api.pull("items", 200, ["2024-03-01"])
    assert api.watermark("items") == mark
    assert api.rows() == api.truth()


def test_a_parent_that_fails_holds_the_slice_and_loses_nothing(api: Api) -> None:
    """One order answers 500: nothing of the slice lands, the error names the order; the next run lands all."""
    for number in range(20):
        api.put(f"o{number:02}", 1 + number / 100, number, number)
    api.failing = {"o07"}
    api.pull("orders", 10)
    with pytest.raises(UpstreamUnavailableError, match="orders order_id=o07") as failed:
        api.pull("items", 10)
    assert (failed.value.source, failed.value.stream) == ("shop", "items")
    assert api.watermark("items") is None
    api.failing = set()
    api.pull("items", 10)
    assert api.rows() == api.truth()


def test_parents_that_are_gone_have_no_children(api: Api) -> None:
    """A 404 is counted in a warning; so many that the path must be wrong refuse the slice. A deleted parent is not asked."""
    for number in range(12):
        api.put(f"o{number:02}", 1 + number / 100, number)
    api.put("deleted", 2, 1, gone=True)
    api.gone = {"o03"}
    (receipt,) = api.both(10)
    assert [warning for warning in receipt.warnings if "1 of 12 orders are gone (404)" in warning and "o03" in warning]
    assert "deleted" not in api.asked
    del api.items["o03"]
    assert api.rows() == api.truth()

    api.gone = {*api.orders}
    for number in range(12):
        api.put(f"o{number:02}", 12, 99)
    with pytest.raises(ResponseError, match="12 of 12 orders are gone"):
        api.both(20)
    assert api.watermark("items") == Slice(at(0), at(10))


def test_parents_are_asked_at_once_and_land_in_their_order(api: Api) -> None:
    """Several orders are in flight together, never more than there are connections, and the lake has them one after the other."""
    for number in range(40):
        api.put(f"o{number:02}", 1 + number / 100, number, number, number)
    api.latency = 0.005
    api.both(10)
    assert 1 < api.most_at_once <= api.limits.max_connections
    with api.feed("items") as (feed, _):
        table = feed.table.scan(feed.table.snapshot_files()).read_all()
    assert table.column("order_id").to_pylist() == [f"o{number:02}" for number in range(40) for _ in range(3)]
    assert api.rows() == api.truth()


def test_a_late_parent_is_found_in_the_lookback(api: Api) -> None:
    """An order that shows up late, within the parents' lookback, has its children pulled though the watermark has passed it."""
    api.put("a", 9.9, 1)
    api.both(now=10)
    api.put("late", 9.5, 2)
    api.both(now=11)
    assert api.rows() == api.truth()


def test_a_bad_child_is_kept_and_tells_its_parent(api: Api) -> None:
    """A child that does not hold the contract is in quarantine with its order named, and the others land."""
    for number in range(20):
        api.put(f"o{number:02}", 1, 1, 2)
    api.items["o05"][0]["pieces"] = "many"
    api.items["o06"][1]["pieces"] = -1
    (receipt,) = api.both(10)
    assert (receipt.rejected, receipt.accepted) == (2, 38)
    with api.feed("items") as (feed, _):
        found = feed.quarantine.list("shop", "items")
        entries = feed.quarantine.entries("shop", "items")
        payloads = feed.quarantine.payloads("shop", "items", [one.identity for one in entries])
        today = [from_api(feed, Showing(feed.contract, None), one, payloads[one.identity]) for one in entries]
    assert any("orders order_id=o05" in reason for one in found for reason in one.reasons)
    assert any(one.key == "o06|1" for one in found)
    assert [one.says for one in today] == ["the API still gives it as it is here"] * 2


def test_the_same_bad_child_of_two_parents_is_fetched_again_of_both(api: Api) -> None:
    """Children of different orders whose records are alike are kept apart in quarantine, so that a refetch mends each of them."""
    for number in range(20):
        api.put(f"o{number:02}", 1, 1, 2)
    for number in range(10):
        api.put(f"l{number}", 20, 1, 2)
    bad = {"o05": -1, "o06": -1, "o07": "many", "o08": "many", "l5": -1}
    for order, pieces in bad.items():
        api.items[order][0]["pieces"] = pieces
    api.both(10)
    api.both(30)
    with api.feed("items") as (feed, stores):
        found = feed.quarantine.entries("shop", "items")
        assert len(found) == len(bad)
        for order in bad:
            api.items[order][0]["pieces"] = 9
        assert len(list(refetch(feed, "mend", found, "someone"))) == 2
        merge(feed, stores, "mend")
        assert {entry.state for entry in feed.quarantine.entries("shop", "items")} == {"replayed"}
    assert api.rows() == api.truth()


@pytest.mark.parametrize("mend", [refetch, replay])
def test_a_parent_mended_late_says_to_pull_its_children(api: Api, mend: Any) -> None:  # noqa: ANN401 - either function
    """An order that leaves quarantine behind its items' watermark says which range of them to pull, and that brings them."""
    for number in range(20):
        api.put(f"o{number:02}", 1, 1, 2)
    api.put("o05", 2, 1, 2)
    api.streams = (orders(contract=f"{HERE}:FirstOrder"), items())
    api.both(10)
    api.both(30)
    api.streams = (orders(), items())
    with api.feed("orders") as (feed, _):
        (receipt,) = mend(feed, "mend", feed.quarantine.entries("shop", "orders"), "someone")
    (warning,) = receipt.warnings
    assert "of items again" in warning
    api.both(31)
    assert api.rows() != api.truth()
    api.pull("items", 31, span=Slice(at(2), at(2.5)))
    assert api.rows() == api.truth()


def test_a_parent_brought_back_by_a_sweep_says_to_pull_its_children(api: Api) -> None:
    """An order that was hidden while its items' turn came, and is listed again as it was, says which range of them to pull."""
    keys = Sweep(path="/orders", params={"since": START.isoformat()}, paging=Single())
    api.streams = (orders(sweep=keys), items())
    for number in range(20):
        api.put(f"o{number:02}", 1, 1, 2)
    api.pull("orders", 10)
    hidden = api.orders.pop("o05")
    warnings = []
    for back in (False, True):
        if back:
            api.pull("items", 10)
            api.orders["o05"] = hidden
        with api.feed("orders") as (feed, stores):
            (swept,) = sweep(feed, stores, "sweep", "someone")
        warnings.append(swept.receipt.warnings)
    assert (warnings[0], "of items again" in warnings[1][0]) == ((), True)
    assert api.rows() != api.truth()
    api.pull("items", 31, span=Slice(at(1), at(1.5)))
    assert api.rows() == api.truth()


def test_a_replay_says_to_refetch(api: Api) -> None:
    """A child's record alone does not say whose it is, so it is not replayed but fetched again."""
    with api.feed("items") as (feed, _), pytest.raises(SpecError, match="which parent") as refused:
        check_replayable(feed.source, feed.stream, feed)
    assert "refetch" in str(refused.value)


def test_a_dry_run_asks_one_parent(api: Api) -> None:
    """A dry run reads one page of one order and writes nothing."""
    api.put("a", 1, 1, 2, 3)
    api.put("b", 2, 1)
    api.pull("orders", 10)
    with api.feed("items") as (feed, _):
        (receipt,) = sync(feed, "run", now=at(10), dry_run=True)
        assert (receipt.fetched, feed.table.exists()) == (2, False)
    assert api.asked == ["a"]


def test_a_value_that_looks_like_a_placeholder_is_a_value(api: Api) -> None:
    """Keys go into params as they are, whatever they hold; one that would be a step in a path is told of and not asked."""
    made = for_parent(
        items(path="/items/{a}", params={"of": "{b}-{a}", "x": "{c}"}, **_asked_by("a", "b")), {"a": "{b}/", "b": "{a}"}
    )
    assert made is not None
    assert (made.path, made.params) == ("/items/%7Bb%7D%2F", {"of": "{a}-{b}/", "x": "{c}"})
    api.put("..", 1, 5)
    api.put("good", 2, 6)
    (receipt,) = api.both(10)
    assert api.rows() == {("good", 0, 6)}
    assert receipt.warnings == ("1 of orders cannot stand in a path and were not asked: order_id=..",)


def test_the_command_line_pulls_parents_first(api: Api) -> None:
    """One sync of a source pulls parents and then their children, in whatever order the spec has them; a range as well."""
    api.streams = (items(), orders())
    api.put("a", 1, 5)
    settings, out = Settings.from_environ(api.environ), Console(record=True, width=100)
    run_sync(api.source, asked(api.source, api.streams, None, None, None), settings, out, run_id="one", dry_run=False)
    assert api.rows() == api.truth()
    api.put("b", 2, 6)
    ranged = asked(api.source, api.streams, "2024-03-01", "2024-03-02", None)
    run_sync(api.source, ranged, settings, out, run_id="two", dry_run=False)
    assert api.rows() == api.truth()
    text = out.export_text()
    assert text.index("shop.orders: committed") < text.index("shop.items: committed")


def _asked_by(*names: str) -> dict[str, Any]:
    columns = {"order_id": "id", "order_changed_at": "changed_at"}
    return {"parent": Parent(stream="orders", keys=dict.fromkeys(names, "id"), columns=columns)}
