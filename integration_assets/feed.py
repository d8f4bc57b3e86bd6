"""A stream with everything it flows through, how it is opened, and one slice of it to pull."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from integration_assets.extract.lane import Lane
from integration_assets.extract.limits import open_store
from integration_assets.extract.opening import Client, client_for
from integration_assets.land.lake import LakeTable
from integration_assets.land.quarantine import Quarantine
from integration_assets.land.state import LakeState
from integration_assets.masks import masking
from integration_assets.parents import Parents, parents_of
from integration_assets.settings import Settings
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.contract_loading import check_stream
from integration_assets.spec.cursor import Slice
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Say, Stores
from integration_assets.transform.masking import UNMASKED, Masking


@dataclass(frozen=True)
class Feed:
    """One stream with everything it flows through. `mask` makes of rows as decoded the rows as stored.

    lane    : the slice's place beside others that are pulled at once.
    parents : whose children the stream has; None for a stream that is nobody's child.
    """

    source: Source
    stream: Stream
    contract: Contract
    client: Client
    table: LakeTable
    quarantine: Quarantine
    mask: Masking = UNMASKED
    lane: Lane = field(default_factory=Lane)
    parents: Parents | None = None


@dataclass(frozen=True)
class Job:
    """One slice to pull, and how.

    base       : the lake's state it was planned on; a commit since then that overlaps it makes the run plan again.
    skip_known : drop records that are in the lake as they are (a planned sync reads its lookback again, an open partition
                 is read many times); a range that was asked for lands anew.
    dry_run    : ask for one page and write nothing.
    """

    slice: Slice
    base: LakeState
    run_id: str
    partition: str | None = None
    skip_known: bool = False
    dry_run: bool = False


@contextmanager
def open_feeds(
    source: Source, stores: Stores, settings: Settings, streams: Sequence[Stream] | None = None, say: Say | None = None
) -> Iterator[list[Feed]]:
    """Feeds of a source's streams that share one client an address. Checks spec, contracts and lake before any request is spent.

    streams : as they are to be asked; all, cut over as the settings say, when None.
    say     : told why and how long before each wait for the API.
    """
    chosen = settings.in_force(source).streams if streams is None else streams
    located = {stream.name: settings.locate_stream(source, stream) for stream in chosen}
    contracts = {stream.name: check_stream(source, stream) for stream in chosen}
    masks = {name: masking(source, name, contract, settings) for name, contract in contracts.items()}
    stores.check()

    def waiting(reason: str, seconds: float) -> None:
        if say:
            say(f"{source.name}: {reason}; trying again in {seconds:,.1f} s")

    secrets = settings.secrets_for(source)
    with open_store(settings.limits_uri) as limits, ExitStack() as stack:
        addresses = {one.base_url: one for one in located.values()}
        clients: dict[str, Client] = {}
        for url, one in addresses.items():
            clients[url] = client_for(one, secrets, waiting, limits)
            stack.enter_context(clients[url])
        yield [
            Feed(
                located[stream.name],
                stream,
                contracts[stream.name],
                clients[located[stream.name].base_url],
                stores.table(source, stream),
                stores.quarantine,
                masks[stream.name],
                parents=parents_of(source, stream, stores),
            )
            for stream in chosen
        ]
