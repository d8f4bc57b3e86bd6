"""Strikes below Python: at the changes that Arrow, Delta, DuckDB and SQLite themselves make to disks and send over sockets."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

_DEEDS = {"count": 0, "kill": 1, "tear": 2, "full": 3, "broken": 4}


def build(folder: Path) -> Path | None:
    """Compile `disk.c` into the folder; None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None or os.uname().sysname != "Linux":
        return None
    library = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)  # noqa: S603 - our own file
    return library


def arm(deed: str | None, change: int, ahead: float) -> None:
    """Strike in this process, which was started with the library preloaded."""
    library = ctypes.CDLL(None)
    if ahead:
        library.campaign_clock(ctypes.c_double(ahead))
    if deed:
        library.campaign_arm(_DEEDS[deed], change)


def changes() -> int:
    """How many changes there were since `arm`; 0 without the library."""
    library = ctypes.CDLL(None)
    return int(library.campaign_seen()) if hasattr(library, "campaign_seen") else 0
