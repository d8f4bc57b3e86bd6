"""Sweeps and syncs in any order, over an API whose records come, change, go and return, also while they are read."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from integration_assets.errors import SweepRefusedError
from integration_assets_tests.sweep.register import IDS, Register, check_equal

SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
SEEDS, STEPS = range(40 if SOAK else 1), 25


class Life:
    """What becomes of the API's records. `pulled` is the last version of each that a sync can have seen."""

    def __init__(self, register: Register, chance: random.Random) -> None:
        self.register, self.chance, self.clock = register, chance, 100
        self.hidden: dict[int, dict[str, Any]] = {}
        self.pulled: dict[int, int] = {one["id"]: one["seq"] for one in register.records}

    def happen(self) -> None:
        """One thing of five."""
        self.chance.choice([self.create, self.update, self.hide, self.show, self.sync])()

    def create(self) -> None:
        """A new record."""
        self.clock += 1
        self.register.records.append(self.register.item(self.clock, seq=self.clock))

    def update(self) -> None:
        """A new version of one."""
        if self.register.records:
            self.clock += 1
            self.chance.choice(self.register.records).update(seq=self.clock, value=self.clock)

    def hide(self) -> None:
        """One is given no more."""
        if len(self.register.records) > 5:
            (gone,) = self.register.drop(self.chance.choice(self.register.records)["id"])
            self.hidden[gone["id"]] = gone

    def show(self) -> None:
        """One is given again: as it was, or with a new version where no sync has seen its last one."""
        if self.hidden:
            back = self.hidden.pop(self.chance.choice(sorted(self.hidden)))
            if self.pulled.get(back["id"]) != back["seq"]:
                self.clock += 1
                back["seq"] = self.clock
            self.register.records.append(back)

    def sync(self) -> None:
        """Pull and merge what is new."""
        self.pulled |= {one["id"]: one["seq"] for one in self.register.records}
        self.register.pull(self.register.swept())

    def meanwhile(self, _: int) -> None:
        """Things that happen between two pages of the list, one at most half of the time."""
        if self.chance.random() < 0.5:
            self.happen()

    def sweep(self) -> None:
        """Sweep; things happen meanwhile. Whatever goes in that sweep, lake and table agree."""
        self.register.on_list = self.meanwhile
        with self.register.feed(self.register.swept()) as (feed, stores):
            try:
                self.register.sweep(self.register.swept(sweep=IDS.changed(total_path="count")), threshold=1.0)
            except SweepRefusedError as error:
                assert "it moved while it was read" in str(error) or "counts" in str(error)  # noqa: PT017 - either is right
            check_equal(feed, stores)
        self.register.on_list = lambda _: None


@pytest.mark.skipif(not SOAK, reason="a long campaign: set INTEGRATION_SOAK=1")
@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_end_the_table_is_the_api_s(tmp_path: Path, seed: int) -> None:
    """After a last sync and a last sweep in peace the live rows are the API's records, and so they are in a rebuilt warehouse."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable choice
    register = Register(tmp_path)
    register.fill(30)
    register.total = lambda count: count
    with register.served():
        register.pull(register.swept())
        life = Life(register, chance)
        for _ in range(STEPS):
            chance.choice([life.happen, life.happen, life.sweep])()
        life.sync()
        register.sweep(register.swept(sweep=IDS.changed(total_path="count")), threshold=1.0)
        live = {row[0]: row[1:3] for row in register.table() if row[3]}
        assert live == {one["id"]: (one["seq"], one["value"]) for one in register.records}
        register.rebuilt()
