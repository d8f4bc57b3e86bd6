"""An API with a few records that the contract turns away, the contract mended, and what is in quarantine of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandera.pandas as pandera

from integration_assets.land.quarantine import Entry
from integration_assets.replay import replay
from integration_assets.spec.contract import Int64, String, column
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Stream
from integration_assets.sync import merge
from integration_assets_tests.flow.mini import Mini

HERE = "integration_assets_tests.replay.dead"


class Mended(pandera.DataFrameModel):
    """An item whose value may be below zero."""

    id: Int64 = column(nullable=False)
    seq: Int64 = column(nullable=False)
    value: Int64 = column(ge=-100)


class Person(pandera.DataFrameModel):
    """An item that is a person."""

    id: Int64 = column(nullable=False)
    seq: Int64 = column(nullable=False)
    value: Int64 = column(ge=0)
    email: String = column(pii="redact")
    iban: String = column(mask="redact")


def item(number: int, value: object = 0, **more: object) -> dict[str, object]:
    """Make one record."""
    return {"id": number, "seq": number, "value": value, **more}


@dataclass(frozen=True)
class Dead:
    """A stream of items as it was, whose rejects wait, and the API that has them."""

    mini: Mini
    stream: Stream

    @property
    def mended(self) -> Stream:
        """The stream after someone mended its contract."""
        return self.stream.changed(contract=f"{HERE}:Mended")

    def entries(self) -> list[Entry]:
        """What is in quarantine, by key and identity."""
        with self.mini.feed(self.stream) as (feed, _):
            return sorted(feed.quarantine.entries("mini", self.stream.name), key=lambda one: (one.key or "", one.identity))

    def states(self) -> dict[str, int]:
        """How many are in each state, without those in which none is."""
        with self.mini.feed(self.stream) as (feed, _):
            return {state: count for state, count in feed.quarantine.counts("mini", self.stream.name).items() if count}

    def replay(self, stream: Stream | None = None, entries: Sequence[Entry] | None = None) -> list[Receipt]:
        """Replay the open entries, or these, and merge."""
        with self.mini.feed(stream or self.mended) as (feed, stores):
            chosen = [one for one in self.entries() if one.state == "open"] if entries is None else entries
            receipts = list(replay(feed, "replay", chosen, "tester"))
            merge(feed, stores, "replay")
            return receipts

    def lake_rows(self) -> int:
        """Record versions in the lake."""
        with self.mini.feed(self.stream) as (feed, _):
            return feed.table.count()
