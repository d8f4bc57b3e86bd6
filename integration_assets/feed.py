"""A stream with everything it flows through, and one slice of it to pull."""

from __future__ import annotations

from dataclasses import dataclass, field

from integration_assets.extract.lane import Lane
from integration_assets.extract.opening import Client
from integration_assets.land.lake import LakeTable
from integration_assets.land.quarantine import Quarantine
from integration_assets.land.state import LakeState
from integration_assets.parents import Parents
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.cursor import Slice
from integration_assets.spec.source import Source, Stream
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
