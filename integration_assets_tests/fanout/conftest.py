"""A running API of orders and their items."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_assets_tests.fanout.orders import Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """The API, empty, with a lake and a warehouse of its own."""
    with Api(tmp_path).served() as served:
        yield served
