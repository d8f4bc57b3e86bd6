"""A file's bounds, by which files that cannot hold what is asked for are not opened."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from integration_assets.land.lake import Lake
from integration_assets_tests.land.helpers import SCHEMA, day, days, land, row

NESTED = pa.field("who", pa.struct([("name", pa.string()), ("at", pa.struct([("city", pa.string())]))]))


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_struct_does_not_hide_the_bounds_of_other_columns(tmp_path: Path, place: int) -> None:
    """Wherever a contract has a nested column, the files' first and last cursor are known, and no text of a person's is."""
    schema = pa.schema([*[*SCHEMA][:place], NESTED, *[*SCHEMA][place:]])
    table = Lake(str(tmp_path)).table("shop", "orders")
    for first in (1, 5):
        given = [row("a", first), row("b", first + 1)]
        land(table, [one | {"who": {"name": "Ada", "at": {"city": "X"}}} for one in given], days(first, first + 2), schema=schema)
    assert table.bounds("at") == [(day(1), day(2)), (day(5), day(6))]
    rows = pa.concat_tables(table.known(["id", "who"], "at", days(5, 6)))
    assert rows.to_pylist() == [{"id": "a", "who": {"name": "Ada", "at": {"city": "X"}}}]
    assert table.bounds("who") == [(None, None)] * 2
    assert table.at(1).bounds("at") == [(day(1), day(2))]
