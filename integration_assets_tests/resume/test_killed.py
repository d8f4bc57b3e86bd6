"""A run that is killed in the middle of a slice: the next one goes on near there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from integration_assets_tests.resume.upstream import FORMS, Upstream, killed_at

CHOSEN = FORMS if os.environ.get("INTEGRATION_SOAK") else ("offset", "token", "next_link")
AGAIN = 60
"""The pulls' `checkpoint_pages`."""


@pytest.mark.parametrize("form", CHOSEN)
def test_a_killed_run_is_gone_on_with(form: str, tmp_path: Path) -> None:
    """Killed at page 270 of 300, a slice is finished with no more pages asked for again than are configured; all rows once."""
    with Upstream(300, tmp_path).served() as upstream:
        pull = upstream.job(form)
        killed_at(upstream, pull, 270)
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
