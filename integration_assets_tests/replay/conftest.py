"""An API whose records are half mended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_assets_tests.flow.mini import Mini
from integration_assets_tests.replay.dead import Dead, item


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Dead]:
    """Serve five items, two of which the contract turned away when they were pulled."""
    with Mini(tmp_path).served() as mini:
        mini.records = [item(1, 1), item(2, -2), item(3, 3), item(4, -4), item(5, 5)]
        mini.pull()
        yield Dead(mini, mini.stream())
