"""A run's parts, of which several are pulled at once: what fails of one keeps others back only as far as it must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from integration_assets.errors import IntegrationError
from integration_assets.orchestrate.failures import IN_A_ROW, OF_ONE_PARTITION, together
from integration_assets.orchestrate.parts import Part

if TYPE_CHECKING:
    from integration_assets.each_tenant import Failures
    from integration_assets.spec.receipt import Receipt


@dataclass(frozen=True)
class Done:
    """A part that was pulled, or tried.

    receipts : those of its slices that committed; None for a part that another run had pulled already.
    error    : what ended it early.
    """

    part: Part
    receipts: Sequence[Receipt] | None
    error: IntegrationError | None = None


@dataclass
class Turns:
    """Which parts still have their turn. Thread safe.

    One whose own data is at fault does not keep the others back, unless several of a tenant fail in a row. Another error ends
    its tenant's turn, and where it concerns all or there are no tenants, the run's.
    """

    failures: Failures
    _failed: dict[str | None, dict[str, IntegrationError]] = field(default_factory=dict)
    _row: Counter[str | None] = field(default_factory=Counter)
    _left: Counter[str | None] = field(default_factory=Counter)
    _ended: set[str | None] = field(default_factory=set)
    _over: IntegrationError | None = None
    _lock: Lock = field(default_factory=Lock, repr=False)

    def coming(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The parts that are to be pulled, as it stands when each is asked for."""
        for part in parts:
            if self._over is None and part.tenant not in self._ended:
                yield part
            else:
                self._left[part.tenant] += 1

    def ended(self, part: Part, error: IntegrationError | None) -> None:
        """A part ended, well or not; told as soon as it did."""
        with self._lock:
            if isinstance(error, OF_ONE_PARTITION) and part.label is not None:
                self._failed.setdefault(part.tenant, {})[part.label] = error
                self._row[part.tenant] += 1
                if self._row[part.tenant] == IN_A_ROW:
                    self._ended.add(part.tenant)
                return
            self._row[part.tenant] = 0
            if error is not None:
                self._ended.add(part.tenant)
            try:
                with self.failures.of(part.tenant):
                    if error is not None:
                        raise error
            except IntegrationError as of_all:
                self._over = self._over or of_all

    def end(self, parts: Sequence[Part]) -> None:
        """Raise one error for all that failed; nothing if none did."""
        if self._over is not None:
            raise self._over
        tenants = dict.fromkeys(part.tenant for part in parts)
        order = {part.label: place for place, part in enumerate(parts)}
        for tenant in tenants:
            failed = self._failed.get(tenant)
            if failed and tenant not in self.failures.errors:
                with self.failures.of(tenant):
                    raise together(dict(sorted(failed.items(), key=lambda one: order[one[0]])), left=self._left[tenant])
        self.failures.end(tenants)
