"""Where the demo keeps what it makes, so that the demo, the command line and the UI see the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "nyc_ops"
KEY = "sandbox-key"


def prepare(base_url: str | None = None) -> Path:
    """Point this process at the repository's own `data/` and `.dagster/`; what is set already stays. Returns DAGSTER_HOME."""
    os.chdir(ROOT)
    os.environ.setdefault("DAGSTER_HOME", str(ROOT / ".dagster"))
    os.environ.setdefault("NYC_OPS_KEY", KEY)
    if base_url:
        os.environ["INTEGRATION_NYC_OPS_BASE_URL"] = base_url
    home = Path(os.environ["DAGSTER_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
    return home
