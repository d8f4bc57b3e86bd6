"""Threads of one process at one table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from integration_assets.land.turns import alone


def test_what_one_thread_does_for_all_no_other_does_meanwhile() -> None:
    """Of slices that land at once only one joins the table's small files; the next to look may again, also after an error."""

    def first() -> bool:
        with alone("tidy a table") as mine:
            return mine

    with ThreadPoolExecutor(1) as other:
        with alone("tidy a table") as mine:
            assert mine
            assert not other.submit(first).result()
            with alone("tidy another") as free:
                assert free
        assert other.submit(first).result()
        with suppress(OSError), alone("tidy a table"):
            Path("/there/is/no/such/file").read_bytes()
        assert other.submit(first).result()
