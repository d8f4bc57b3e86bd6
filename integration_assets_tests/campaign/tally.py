"""What a campaign did and found, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from integration_assets_tests.campaign.account import Account

ARTEFACTS = Path(__file__).parents[2] / "test-artefacts"
_COLUMNS = ("kills", "outlived", "races", "faults", "records", "lost", "doubled")


@dataclass
class Tally:
    """One row of the table.

    kills    : runs that SIGKILL ended.
    outlived : runs that were over before their kill came.
    races    : runs that were started at once with others.
    faults   : what went wrong upstream or in the store while a run worked.
    records  : versions that were accounted for, summed over all accounts.
    """

    what: str
    kills: int = 0
    outlived: int = 0
    races: int = 0
    faults: int = 0
    records: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was lost or doubled, and nothing else was wrong."""
        return not (self.lost or self.doubled or self.wrong)

    def add(self, found: Account, when: str) -> None:
        """Take an account in; `when` says after what."""
        self.records += found.records
        self.lost += found.lost
        self.doubled += found.doubled
        self.wrong += [f"{when}: {one}" for one in found.wrong]


def table(rows: Iterable[Tally]) -> str:
    """The final table, its sums last, and below it everything that was wrong."""
    rows = list(rows)
    total = Tally("all", *(sum(getattr(row, name) for row in rows) for name in _COLUMNS))
    width = max(len(row.what) for row in [*rows, total])
    lines = ["  ".join(["".ljust(width), *(name.rjust(8) for name in _COLUMNS)])]
    lines += [
        "  ".join([row.what.ljust(width), *(f"{getattr(row, name):,}".rjust(8) for name in _COLUMNS)]) for row in [*rows, total]
    ]
    return "\n".join([*lines, *(f"WRONG {row.what}: {one}" for row in rows for one in row.wrong)])


def write(rows: Iterable[Tally], folder: Path, name: str) -> None:
    """Keep these rows, and make `soak.txt` and `soak.json` anew of all that are kept: each process of pytest has its own."""
    kept = folder / "soak"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / f"{name}.json").write_text(json.dumps([asdict(row) for row in rows], indent=1))
    everything = [one for path in sorted(kept.glob("*.json")) for one in json.loads(path.read_text())]
    (folder / "soak.txt").write_text(table([Tally(**one) for one in everything]) + "\n")
    (folder / "soak.json").write_text(json.dumps(everything, indent=1) + "\n")
