"""Kills, many parents, and children of children: nothing is lost, and no more is held than a few parents' pages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from integration_assets.land.lake import Lake
from integration_assets.land.newest import ROWS, newest
from integration_assets.land.state import EMPTY
from integration_assets.spec import Cursor, Json, Parent, Slice, Stream
from integration_assets.spec.receipt import Receipt
from integration_assets_tests.fanout.orders import HERE, START, Api, at, items, orders

PULL = """
import sys
from pathlib import Path
from integration_assets_tests.fanout.orders import Api
Api(Path(sys.argv[1]), url=sys.argv[2]).pull("items", 10)
"""
LONG = 60.0


def until(true: object) -> None:
    """Wait for a condition, for a minute at most."""
    deadline = time.monotonic() + LONG
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_killed_among_the_parents_loses_nothing(api: Api) -> None:
    """A process that dies in the middle of a slice leaves nothing of it in the lake; the next run lands all, once."""
    for number in range(30):
        api.put(f"o{number:02}", 1 + number / 100, number, number)
    api.pull("orders", 10)
    api.hold("o20")
    command = [sys.executable, "-c", PULL, str(api.folder), api.url]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # noqa: S603 - ours
    try:
        until(api.held.is_set)
    finally:
        process.kill()
        process.wait(LONG)
        api.release()
    assert api.watermark("items") is None
    (receipt,) = api.pull("items", 10)
    assert (receipt.accepted, receipt.duplicate) == (60, 0)
    assert api.rows() == api.truth()


def test_a_slow_parent_lets_only_a_few_others_get_ahead(api: Api) -> None:
    """While the first order's answer takes its time, others are asked, but only twice as many as there are connections."""
    for number in range(40):
        api.put(f"o{number:02}", 1 + number / 100, number)
    api.pull("orders", 10)
    api.hold("o00")
    thread = Thread(target=api.pull, args=("items", 10))
    thread.start()
    try:
        until(lambda: api.at_once == 1 and len(api.asked) >= 2 * api.limits.max_connections)
        assert len(api.asked) == 2 * api.limits.max_connections
    finally:
        api.release()
        thread.join(LONG)
    assert api.rows() == api.truth()


def test_the_newest_version_of_each_parent_is_found_exactly(tmp_path: Path) -> None:
    """Of many versions in many files, each live record comes once, by its newest, in order and a few thousand at a time."""
    table = Lake(str(tmp_path / "lake")).table("shop", "orders")
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("at", pa.timestamp("us", "UTC")),
            ("_deleted", pa.bool_()),
            ("_extracted_at", pa.timestamp("us", "UTC")),
        ]
    )
    table.prepare(schema)
    keys = 30_000
    for day in range(3):
        chosen = pa.array(range(0, keys, day + 1), pa.int64())
        moments = pc.add(pa.scalar(at(24 * day)), pc.multiply(chosen, pa.scalar(timedelta(seconds=1))))
        rows = pa.table(
            [
                chosen,
                moments.cast(schema.field("at").type),
                pc.equal(chosen, 6),
                pa.repeat(pa.scalar(at(day), schema.field(3).type), len(chosen)),
            ],
            schema=schema,
        )
        with table.writer(schema) as writer:
            writer.write(rows)
            receipt = Receipt("shop", "orders", "run", "committed", (None, None))
            table.commit(writer, receipt, Slice(at(24 * day), at(24 * day + 24)), table.state() if day else EMPTY, START)
    table.compact()
    newest_day = [2 if key % 3 == 0 else 1 if key % 2 == 0 else 0 for key in range(keys)]
    for day in range(3):
        found = list(newest(table, ["id"], ["id"], "at", "at", Slice(at(24 * day), at(24 * day + 24))))
        assert max(part.num_rows for part in found) <= ROWS
        ids = pa.concat_tables(found).column("id").to_pylist()
        assert ids == [key for key in range(keys) if newest_day[key] == day and key != 6]


def test_children_have_children(api: Api) -> None:
    """A stream below a stream below a stream follows the same axis, and each change at the top reaches the bottom."""
    notes = Stream(
        name="notes",
        path="/orders/{order}/items/{item}/notes",
        contract=f"{HERE}:Note",
        key=("order_id", "item", "id"),
        format=Json(records="data"),
        cursor=Cursor(field="order_changed_at", start=START, lookback=timedelta(hours=1)),
        parent=Parent(
            stream="items",
            keys={"order": "order_id", "item": "id"},
            columns={"order_id": "order_id", "item": "id", "order_changed_at": "order_changed_at"},
        ),
    )
    api.streams = (orders(), items(), notes)
    api.put("a", 1, 5, 6)
    api.put("b", 2, 7)
    api.both(10)
    api.pull("notes", 10)
    api.put("b", 11, 7, 8)
    api.both(20)
    (receipt,) = api.pull("notes", 20)
    assert receipt.watermark_after == "2024-03-01T20:00:00Z"
    with api.feed("notes") as (_, stores):
        found = stores.warehouse.query("select order_id, item from shop.notes order by all").to_pylist()
    assert [tuple(row.values()) for row in found] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


@pytest.mark.parametrize("last", ["b", "c"])
def test_parents_by_number_reach_the_last_one(api: Api, last: str) -> None:
    """On an axis of numbers the highest parent's children are there, also those of one that came later with the same number."""
    order = Cursor(field="seq", kind="integer", start=0, start_param="since")
    item = Cursor(field="seq", kind="integer", start=0)
    above = Parent(stream="orders", keys={"order_id": "id"}, columns={"order_id": "id", "seq": "seq"})
    api.streams = (
        orders(contract=f"{HERE}:NumberedOrder", cursor=order),
        items(contract=f"{HERE}:NumberedItem", cursor=item, parent=above),
    )
    for name, seq, pieces in (("a", 3, (1, 2)), ("b", 7, (3,)), ("childless", 7, ())):
        api.put(name, seq, *pieces)
        api.orders[name]["seq"] = seq
    api.both(10)
    assert api.rows() == api.truth()
    api.put(last, 7, 4, 5)
    api.orders[last]["seq"] = 7
    api.both(20)
    assert api.rows() == api.truth()
    assert api.watermark("items") == Slice(0, 7)
