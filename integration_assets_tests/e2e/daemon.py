"""Dagster's daemon with a clock that runs ahead: `python -m integration_assets_tests.e2e.daemon SECONDS run …`.

The clock of the whole process is moved before any other module of Dagster takes it, so that schedules come due at once; and it
looks after backfills every few seconds, not every thirty.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta

import dagster._time as clock


def main() -> None:
    """Move the clock, then be `dagster-daemon` with the arguments that are left."""
    ahead = float(sys.argv.pop(1))
    now = clock.get_current_datetime
    clock.get_current_timestamp = lambda: time.time() + ahead
    clock.get_current_datetime = lambda tz="UTC": now(tz) + timedelta(seconds=ahead)
    from dagster._daemon import controller
    from dagster._daemon.cli import main as daemon

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 3
    daemon()


if __name__ == "__main__":
    main()
