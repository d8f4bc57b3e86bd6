"""Keeping the lake small: many small files joined into few, and files deleted that nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from integration_assets.errors import IntegrationError, SpecError
from integration_assets.land.lake import LakeTable
from integration_assets.land.store import VersionsGoneError
from integration_assets.land.waste import Waste
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Stores

OLDER_THAN = timedelta(days=7)
"""How long a file is left alone after it was written, or replaced, unless something else is said."""
FEW = 20
"""Small files of a table that are joined when it is looked after anyway."""
LEAST = timedelta(days=1)
"""No run goes on for longer: what it writes is not yet in any commit."""


@dataclass(frozen=True)
class Kept:
    """What was done to one table.

    name   : `source.stream`, or `source.stream quarantine`.
    joined : small files that were joined into larger ones; they are deleted once they are old enough.
    waste  : the files that were deleted, or that would be.
    error  : why nothing was done, or not everything; None where all was.
    """

    name: str
    joined: int = 0
    waste: tuple[Waste, ...] = field(default=(), repr=False)
    error: IntegrationError | None = None

    @property
    def bytes(self) -> int:
        """What the deleted files took."""
        return sum(file.bytes for file in self.waste)

    @property
    def half_written(self) -> int:
        """How many of them a run was killed over."""
        return sum(file.why == "half-written" for file in self.waste)


def vacuum(
    source: Source,
    streams: Sequence[Stream],
    stores: Stores,
    older_than: timedelta = OLDER_THAN,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
) -> Iterator[Kept]:
    """Join the small files of each stream's table and quarantine, and delete what nothing needs; yields each table's account.

    What stays: files of the table as it is now, of versions newer than `older_than`, of versions that the warehouse has not
    merged, and of slices that a run left unfinished and another may take up. What fails of one table is in its account, and
    stops no other.

    dry_run : only find what would be deleted; nothing is joined or deleted.
    Raises `SpecError` for an age that a run could still be going on at.
    """
    if older_than < LEAST:
        raise SpecError(
            f"files younger than {LEAST.days} day may be those of a run that goes on",
            source=source.name,
            field="older_than",
            remedy="Give at least 1d.",
        )
    before = (now or datetime.now(UTC)) - older_than
    for stream in streams:
        name = f"{source.name}.{stream.name}"
        try:
            merged = stores.warehouse.version(source.name, stream.name)
        except IntegrationError as error:
            # Without the warehouse there is no telling what it still needs.
            yield Kept(name, error=error.at(source.name, stream.name))
            continue
        yield _keep(name, stores.table(source, stream), before, merged, dry_run=dry_run)
        rejects = stores.quarantine.table(source.name, stream.name)
        yield _keep(f"{name} quarantine", rejects, before, None, dry_run=dry_run)


def _keep(name: str, table: LakeTable, before: datetime, merged: int | None, *, dry_run: bool) -> Kept:
    joined, waste = 0, list[Waste]()
    try:
        if not table.exists():
            return Kept(name)
        joined = 0 if dry_run else table.tidy(FEW)
        waste = table.waste(before, _unmerged(table, merged))
        if not dry_run:
            table.delete_waste(waste)
    except IntegrationError as error:
        source, _, stream = name.partition(" ")[0].partition(".")
        return Kept(name, joined, error=error.at(source, stream))
    return Kept(name, joined, tuple(waste))


def _unmerged(table: LakeTable, merged: int | None) -> set[str]:
    """The files that the warehouse's next merge reads one by one, though they may be replaced by now.

    A table that was never merged, or cannot be version by version, is read as it is then.
    """
    if merged is None:
        return set()
    try:
        return {file.path for file in table.files(merged)}
    except VersionsGoneError:
        return set()
