"""A run that is killed in the middle of a slice: the next one goes on near there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from integration_assets_tests.resume.upstream import FORMS, Upstream, killed_at

SOME = FORMS if os.environ.get("INTEGRATION_SOAK") else ("offset", "token", "next_link")
AGAIN = 60
"""The pulls' `checkpoint_pages`."""


@pytest.mark.parametrize(("form", "by"), [*((form, signal.SIGKILL) for form in SOME), ("token", signal.SIGINT)])
def test_a_killed_run_is_gone_on_with(form: str, by: int, tmp_path: Path) -> None:
    """Killed or interrupted at page 270 of 300, a slice is finished with so few pages asked again as configured, rows once."""
    with Upstream(300, tmp_path).served() as upstream:
        pull = upstream.job(form)
        killed_at(upstream, pull, 270, by=by)
        assert pull.begun()

        first, *others = pull.run("second")
        empty = form in {"page_number", "counted", "offset"}  # they end at a page without records, each of both slices
        assert len(upstream.asked) <= 300 + AGAIN + 2 * empty + 1
        assert 270 - AGAIN <= first.resumed_pages <= 270
        pages = 300 + empty
        assert (first.outcome, first.pages, first.fetched, first.accepted) == ("committed", pages, 1200, 1200)
        assert first.adds_up
        assert first.requests >= 300
        assert sum(one.accepted for one in others) == 0
        assert pull.rows() == upstream.truth()
        assert pull.landed() == 1200
        assert pull.begun() == []
