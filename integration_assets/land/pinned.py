"""A table as it was at one of its versions."""

from __future__ import annotations

from dataclasses import dataclass

from deltalake import DeltaTable

from integration_assets.land.store import Store


@dataclass(frozen=True)
class PinnedStore(Store):
    """A store that opens its table at `pinned` instead of at the newest version. For reading."""

    pinned: int = 0

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table at `version`, at the pinned one for None."""
        return super().open(self.pinned if version is None else version)
