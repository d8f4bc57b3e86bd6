"""What a page is before and after its records are decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from integration_assets.errors import TransientError
from integration_assets.extract.plan import ABSENT
from integration_assets.spec.paths import Path
from integration_assets.spec.records import Batch, Drift


class BrokenBodyError(TransientError):
    """The body as a whole cannot be read: cut off, or no JSON or XML at all. Worth asking once more, no more than that."""


class OpenedPage(Protocol):
    """A body that is whole, and enough of it known to ask for the next page."""

    @property
    def weight(self) -> int:
        """Its bytes."""
        ...

    @property
    def fetched(self) -> int:
        """The records that the API gave."""
        ...

    @property
    def empty(self) -> bool:
        """Whether it gave none."""
        ...

    @property
    def rows(self) -> int:
        """The records that surely were ones of the API."""
        ...

    @property
    def counted(self) -> bool:
        """As of a `DecodedPage`."""
        ...

    def value(self, path: Path) -> Any:  # noqa: ANN401 - any JSON value
        """The value at a path of the body outside the records; `ABSENT` when there is none."""
        ...

    def text(self) -> bytes:
        """The records as they came, to tell pages from each other."""
        ...


@dataclass(frozen=True)
class DecodedPage:
    """One page: its rows and rejects, how its records differ from the contract, and what stands around them.

    value   : the value at a path of the body outside the records; `ABSENT` when there is none.
    counted : whether `batch.fetched` is how many records the API gave; False where what became of a broken part may be
              more or fewer than they were.
    """

    batch: Batch
    drift: Drift
    value: Callable[[Path], Any] = lambda _path: ABSENT
    counted: bool = True


@dataclass(frozen=True)
class ReadPage:
    """An `OpenedPage` of a format that is decoded at once."""

    page: DecodedPage
    weight: int

    @property
    def fetched(self) -> int:
        """The records that the API gave."""
        return self.page.batch.fetched

    @property
    def empty(self) -> bool:
        """Whether it gave none."""
        return not self.page.batch.fetched

    @property
    def rows(self) -> int:
        """The records that decoded."""
        return int(self.page.batch.table.num_rows)

    @property
    def counted(self) -> bool:
        """As of the page."""
        return self.page.counted

    def value(self, path: Path) -> Any:  # noqa: ANN401 - any JSON value
        """The value at a path of the body."""
        return self.page.value(path)

    def text(self) -> bytes:
        """The records as they came, one a line."""
        return b"\n".join([*self.page.batch.raw, *(reject.payload for reject in self.page.batch.rejects)])
