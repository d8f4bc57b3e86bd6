"""Long campaigns of kills, behind INTEGRATION_SOAK=1."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from integration_assets_tests.resume.upstream import FORMS, Upstream, killed_at, start

pytestmark = pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="a long campaign: INTEGRATION_SOAK=1")
_KILLS = 12


@pytest.mark.parametrize("form", FORMS)
def test_ten_thousand_pages_killed_at_nine_thousand(form: str, tmp_path: Path) -> None:
    """The slice of the promise: 10,000 pages, killed at page 9,000, with the limits as they are by default but for the time."""
    with Upstream(10_000, tmp_path).served() as upstream:
        pull = upstream.job(form, limits={"checkpoint_pages": 100, "checkpoint_seconds": 0})
        killed_at(upstream, pull, 9_000, timeout=600)
        first = pull.run("second")[0]
        assert len(upstream.asked) <= 10_000 + 100 + 4
        assert first.resumed_pages >= 8_900
        assert first.adds_up
        assert (pull.rows(), pull.landed()) == (upstream.truth(), 40_000)


@pytest.mark.parametrize("form", FORMS)
def test_killed_again_and_again(form: str, tmp_path: Path) -> None:
    """Killed at random pages, in whatever it does at that moment, a slice ends with every row once and no page forgotten."""
    chance = random.Random(form)  # noqa: S311 - no secret
    with Upstream(600, tmp_path).served() as upstream:
        pull = upstream.job(form, limits={"checkpoint_pages": 20, "checkpoint_seconds": 0})
        reached = 0
        for _ in range(_KILLS):
            reached = min(590, reached + chance.randint(1, 90))
            killed_at(upstream, pull, reached)
            reached = max(pull.begun(), default=0)
        process = start(pull)
        process.join(timeout=60)
        assert process.exitcode == 0
        assert len(upstream.asked) <= 600 + (_KILLS + 1) * 26
        assert (pull.rows(), pull.landed(), pull.begun()) == (upstream.truth(), 2_400, [])
