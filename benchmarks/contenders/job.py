"""What every contender is told and what it says at the end. Imports nothing that a contender does not need anyway."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

STARTED = time.monotonic()


@dataclass(frozen=True)
class Job:
    """One pull.

    url    : the upstream's address.
    folder : the contender's own; a delta finds there what its full load left.
    paging : `token` or `offset`.
    page   : records asked for at once.
    since, before : ISO boundaries of `updated_at`; None has none.
    """

    url: str
    folder: str
    paging: str
    page: int
    since: str | None
    before: str | None

    @property
    def window(self) -> dict[str, str]:
        """The boundaries as query parameters."""
        named = {"updated_since": self.since, "updated_before": self.before}
        return {name: value for name, value in named.items() if value}


def job(parser: argparse.ArgumentParser | None = None) -> tuple[Job, argparse.Namespace]:
    """The job of this process, and what else its own parser takes."""
    parser = parser or argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--paging", default="token", choices=["token", "offset"])
    parser.add_argument("--page", type=int, default=1000)
    parser.add_argument("--since")
    parser.add_argument("--before")
    found = parser.parse_args()
    return Job(found.url, found.folder, found.paging, found.page, found.since, found.before), found


def finish(**said: object) -> None:
    """Print the contender's line; `seconds` is its own time, without the interpreter's start."""
    print(json.dumps({**said, "seconds": round(time.monotonic() - STARTED, 3)}), flush=True)
