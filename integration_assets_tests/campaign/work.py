"""What a child of a campaign does: the engine's own way from the API to the warehouse, on stores that the environment names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

from integration_assets.errors import IntegrationError
from integration_assets.feed import Feed, open_feeds
from integration_assets.land.quarantine import Where
from integration_assets.replay import replay
from integration_assets.settings import Settings
from integration_assets.spec import Bearer, Cursor, Json, Limits, Partitions, Slice, Source, Stream, Tombstone
from integration_assets.spec.paging import Token
from integration_assets.spec.receipt import Receipt
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets_tests.campaign.upstream import ORIGIN, PAGE

CONTRACTS = "integration_assets_tests.campaign.contracts"
Mode = Literal["full", "delta", "backfill", "replay"]
MODES: tuple[Mode, ...] = ("full", "delta", "backfill", "replay")


@dataclass(frozen=True)
class Task:
    """What one run is to do.

    full and delta sync what is new; backfill syncs `partitions`; replay runs what is open in quarantine under the mended
    contract. `span`: sync this range instead, two ISO 8601 moments. Each merges what landed.
    """

    mode: Mode
    run_id: str
    partitions: Sequence[str] = ()
    span: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """As it goes to the child."""
        return asdict(self)


def ledger_source(url: str, *, mended: bool = False) -> Source:
    """The ledger: one stream by time, in daily partitions, with a lookback and pages that follow a token, each noted."""
    stream = Stream(
        name="entries",
        path="/entries",
        contract=f"{CONTRACTS}:{'Mended' if mended else 'Entry'}",
        key=("id",),
        format=Json(records="data"),
        paging=Token(path="next", param="page", size=PAGE),
        cursor=Cursor(field="changed_at", start_param="since", end_param="before", start=ORIGIN, lookback=timedelta(hours=6)),
        partitions=Partitions(every="day", start=ORIGIN.date()),
        tombstone=Tombstone(path="gone"),
        # Of an early day all good entries may have changed since, and its bad one alone be left.
        reject_threshold=1.0,
    )
    limits = Limits(
        attempts=4, wait_initial=0, wait_max=0.01, breaker=None, pool_timeout=30, checkpoint_pages=1, checkpoint_seconds=0
    )
    return Source(
        name="ledger", base_url=url, auth=Bearer(secret="LEDGER_KEY"), streams=(stream,), limits=limits, clock_path="/clock"
    )


@contextmanager
def opened(environ: Mapping[str, str], *, mended: bool = False) -> Iterator[tuple[Feed, Stores]]:
    """The stream over the stores that `environ` names."""
    settings = Settings.from_environ(environ)
    stores = Stores.from_settings(settings)
    with open_feeds(ledger_source(environ["LEDGER_URL"], mended=mended), stores, settings) as feeds:
        yield feeds[0], stores


def run(task: Task, environ: Mapping[str, str]) -> dict[str, Any]:
    """Do the task; what became of it: the outcomes of its slices, or the error that ended it and whether that was clean."""
    outcomes: list[str] = []
    try:
        with opened(environ, mended=task.mode == "replay") as (feed, stores):
            outcomes.extend(receipt.outcome for receipt in _receipts(feed, task))
            merge(feed, stores, task.run_id)
    except IntegrationError as error:
        return {"outcomes": outcomes, "error": f"{type(error).__name__}: {error}"}
    return {"outcomes": outcomes, "error": None}


def _receipts(feed: Feed, task: Task) -> Iterator[Receipt]:
    if task.mode == "replay":
        entries = feed.quarantine.entries(feed.source.name, feed.stream.name, Where(states=("open",)))
        return replay(feed, task.run_id, entries, "campaign")
    if task.span:
        return sync(feed, task.run_id, span=Slice.from_json((task.span[0], task.span[1])))
    return sync(feed, task.run_id, partitions=task.partitions if task.mode == "backfill" else None)
