"""What a history table must have, in plain Python, and rows that come in any order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from integration_assets.land.warehouse import Target
from integration_assets_tests.land.helpers import CONTRACT, day, row

HISTORY = Target("shop", "orders", CONTRACT, {"id": "The order's number."}, ("id",), "at", "history", tombstones=True)
COLUMNS = ("id", "n", "_valid_from", "_valid_to", "_is_current", "_deleted_at")


class Seen(NamedTuple):
    """One record version as one pull saw it: the same version in the same pull has the same content. Times in days."""

    key: str
    version: int
    pulled: int
    gone: bool
    value: int

    def row(self) -> dict[str, Any]:
        """As the lake has it."""
        return row(self.key, self.version, None if self.gone else self.value, deleted=self.gone, extracted=self.pulled)


def seen(key: str, version: int, pulled: int) -> Seen:
    """A version whose content follows from what names it."""
    return Seen(key, version, pulled, (version + 3 * pulled) % 4 == 0, version * 10 + pulled)


class Held(NamedTuple):
    """One row of the table, as `COLUMNS`."""

    id: str
    n: int
    valid_from: datetime
    valid_to: datetime | None
    is_current: bool
    deleted_at: datetime | None


def truth(versions: Iterable[Seen]) -> list[Held]:
    """The history of all that was seen, by key and version: no order, no merge, no neighbour to mend."""
    live: dict[tuple[str, int], Seen] = {}
    gone: dict[tuple[str, int], Seen] = {}
    for one in versions:
        newest = gone if one.gone else live
        if (one.key, one.version) not in newest or one.pulled >= newest[one.key, one.version].pulled:
            newest[one.key, one.version] = one
    found = []
    for key, version in sorted(live):
        mine = live[key, version]
        later = sorted(other for k, other in live if k == key and other > version)
        following = later[0] if later else None
        ends = sorted(
            other
            for (k, other), tombstone in gone.items()
            if k == key
            and other >= version
            and (following is None or other < following)
            and (other > version or tombstone.pulled >= mine.pulled)
        )
        end = ends[0] if ends else following
        found.append(
            Held(key, mine.value, day(version), None if end is None else day(end), end is None, day(ends[0]) if ends else None)
        )
    return found
