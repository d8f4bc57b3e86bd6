"""What a merge may scan. The emulator bills nothing, so the statements themselves are what can be looked at here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from integration_assets.land.bigquery_merge import script
from integration_assets.land.bigquery_parts import Merge
from integration_assets.land.bigquery_tables import Names, wanted_columns
from integration_assets.land.merging import Action, Plan
from integration_assets.land.warehouse import Target
from integration_assets_tests.land.helpers import SCHEMA
from integration_assets_tests.land.histories import HISTORY
from integration_assets_tests.land.parity.test_merging import PLAIN, TARGET

_NAMED_DAYS = "TIMESTAMP_TRUNC(_t.`at`, DAY) IN UNNEST(_days)"


def statements(target: Target, action: Action) -> list[str]:
    """The statements of a merge of some staged rows."""
    plan = Plan("lake", 2, 1, [], snapshot=False, schema=SCHEMA, action=action, pulled_at=None)
    merge = Merge(Names("project", "EU"), target, wanted_columns(target), plan, "project.staging.rows", "DAY")
    return script(merge).split(";")


@pytest.mark.parametrize(
    ("target", "action", "count"),
    [
        (TARGET, "merge", 2),
        (HISTORY, "history", 2),
        (replace(PLAIN, disposition="append"), "append", 1),
        (replace(PLAIN, disposition="replace"), "replace", 0),
    ],
)
def test_whatever_changes_the_table_names_its_days(target: Target, action: Action, count: int) -> None:
    """Every MERGE and UPDATE, and an append's look for versions that are there, is kept to the days that can matter."""
    table = f"{Names('project', 'EU').table(target)}`"
    changing = [one for one in statements(target, action) if table in one and ("AS _t USING" in one or "AS _t SET" in one)]
    naming = [one for one in statements(target, action) if _NAMED_DAYS in one]
    assert len(naming) == count
    assert all(one in naming for one in changing)


def test_a_history_reads_no_values_to_mend_its_ranges() -> None:
    """Of the rows that are there it reads keys, versions and ranges, whatever else the contract has."""
    (ranges,) = [one for one in statements(HISTORY, "history") if "CREATE TEMP TABLE" in one]
    assert "`n`" not in ranges
    assert "SELECT * FROM" not in ranges
