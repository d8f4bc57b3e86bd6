"""Whatever changes while a list is read: what was visible is landed, or the receipt says that it may not be."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from integration_assets_tests.moving.machine import COUNTS, machine
from integration_assets_tests.moving.upstream import FORMS, Form

SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
LENGTH = settings(
    max_examples=int(os.environ.get("INTEGRATION_SOAK_EXAMPLES", "40")) if SOAK else 2,
    stateful_step_count=30 if SOAK else 8,
    derandomize=not SOAK,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


SHORT = {"single", "page number", "offset, open range", "overlap", "token", "next link", "link header"}
"""One of each kind of paging; the others when INTEGRATION_SOAK is set."""


@pytest.mark.parametrize("form", [form for form in FORMS if SOAK or form.name in SHORT], ids=lambda form: form.name)
def test_what_was_visible_is_landed_or_told_of(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    """Inserts, updates, deletions, ties, late and skewed records, between syncs and between pages, end in the API's truth."""
    COUNTS.clear()
    run_state_machine_as_test(machine(form), settings=LENGTH)
    assert COUNTS["told" if form.order == "shuffled" else "settled"]
    if SOAK:
        with capsys.disabled():
            print(f"\n{form.name}: {dict(COUNTS)}")  # noqa: T201 - the campaign's account
