"""Which tenants a sync goes through, and what becomes of the ones that fail: they do not stop the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from integration_assets.errors import (
    BreakerOpenError,
    HumanNeededError,
    IntegrationError,
    LakeError,
    LimitsStoreError,
    LimitsUnavailableError,
    QuotaSpentError,
    ReplanError,
    RescheduleError,
    SecretMissingError,
    SpecError,
    UnknownHostError,
)
from integration_assets.extract.client import SourceClient
from integration_assets.extract.listing import hurried, list_tenants
from integration_assets.feed import Feed
from integration_assets.spec.cursor import Slice, watermark
from integration_assets.spec.tenants import enumerated

_OF_ALL = (
    SpecError,
    SecretMissingError,
    UnknownHostError,
    LakeError,
    BreakerOpenError,
    QuotaSpentError,
    LimitsUnavailableError,
    LimitsStoreError,
)
"""Errors that are no tenant's own: the next one would meet the same."""
_PATIENCE = 3
_TOLD = 5


def tenants_of(feed: Feed, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The stream's tenants, as fixed or as the API lists them now: the wanted ones, or all. None for a stream without.

    Raises `SpecError` for one that is not there.
    """
    source, stream = feed.source, feed.stream
    if stream.tenants is None:
        if wanted:
            raise SpecError(
                f"there is no tenant {wanted[0]!r}: the stream has none",
                source=source.name,
                stream=stream.name,
                field="tenant",
                remedy="Leave the tenant out.",
            )
        return ()
    listing = stream.tenants.listing
    client = feed.client
    there = stream.tenants.keys
    if listing is not None and isinstance(client, SourceClient):  # files have no tenants
        there = list_tenants(client, source, listing)
    try:
        return stream.tenants.choose(there, wanted)
    except SpecError as error:
        raise error.at(source.name, stream.name) from None


def check_axis(feed: Feed, finished: Iterable[Slice]) -> None:
    """See that the lake's table was filled with tenants if the stream has some, and without if not. Raises `LakeError`."""
    with_tenants = feed.stream.tenants is not None
    if all((done.tenant is not None) == with_tenants for done in finished):
        return
    raise LakeError(
        f"the lake's table was filled {'before the stream had tenants' if with_tenants else 'tenant by tenant'}: its rows and its"
        " watermark would not fit the new ones",
        source=feed.source.name,
        stream=feed.stream.name,
        field="tenants",
        remedy="Give the stream a new name, or move its table in the lake and in the warehouse away, and sync from the start.",
    )


def in_turn(feed: Feed, tenants: Sequence[str]) -> list[str]:
    """The tenants in the order to pull them: those that kept up before those that lag, so that who fails again delays nobody."""
    finished = feed.table.state().finished
    found = {tenant: watermark(finished, feed.stream.origin, tenant) for tenant in tenants}
    marks: dict[str, Any] = {tenant: mark for tenant, mark in found.items() if mark is not None}
    return [*sorted(marks, key=marks.__getitem__, reverse=True), *(tenant for tenant in tenants if tenant not in marks)]


@dataclass
class Failures:
    """The errors of a sync's tenants, kept until all had their turn. Thread safe."""

    errors: dict[str, IntegrationError] = field(default_factory=dict)
    unanswered: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @contextmanager
    def of(self, tenant: str | None) -> Iterator[None]:
        """Keep what fails inside as the tenant's. What concerns all tenants, or a stream without, is raised at once."""
        try:
            yield
        except IntegrationError as error:
            if tenant is None:
                raise
            with self._lock:
                if isinstance(error, _OF_ALL):
                    if self.errors:
                        error.what = f"{error.what}; before that failed {_told(self.errors)}"
                    raise
                self.errors.setdefault(tenant, error)
                self.unanswered = self.unanswered + 1 if isinstance(error, RescheduleError) else 0
        else:
            with self._lock:
                self.unanswered = 0

    def feed(self, feed: Feed) -> Feed:
        """The feed to pull the next tenant by: once the API has left several in a row without an answer, it tries only once.

        An outage must not be waited for as often as there are tenants.
        """
        client = feed.client
        if self.unanswered < _PATIENCE or not isinstance(client, SourceClient):
            return feed
        return replace(feed, client=hurried(client))

    def end(self, tenants: Collection[str | None]) -> None:
        """Raise one error for all that failed of the `tenants`, naming them in their order; nothing if none did."""
        failed = {tenant: self.errors[tenant] for tenant in tenants if tenant is not None and tenant in self.errors}
        if failed:
            raise combined(failed, len(tenants)) from next(iter(failed.values())).__cause__


def combined(errors: Mapping[str, IntegrationError], total: int) -> IntegrationError:
    """The errors of several tenants as one, of the class that says what to do next for them all."""
    several = list(errors.values())
    kinds = {type(error) for error in several}
    if len(kinds) == 1:
        kind = kinds.pop()
    else:
        # Who needs a human is not helped by waiting, and what can wait is pulled by the next run anyway.
        classes: tuple[type[IntegrationError], ...] = (HumanNeededError, RescheduleError, ReplanError)
        kind = next((one for one in classes if any(isinstance(error, one) for error in several)), IntegrationError)
    if len(several) == total == 1:
        what = f"tenant {next(iter(errors))}: {several[0].what}"
    else:
        what = f"{len(errors):,} of {total:,} tenants failed and nothing stopped the others: {_told(errors)}"
    fields, remedies = ({*found} for found in zip(*((error.field, error.remedy) for error in several), strict=True))
    made = kind(
        what,
        source=several[0].source,
        stream=several[0].stream,
        field=fields.pop() if len(fields) == 1 else None,
        remedy=remedies.pop() if len(remedies) == 1 else "Mend each as it says; the next sync goes on from each one's watermark.",
    )
    made.missing = sum(error.missing for error in several)
    if isinstance(made, RescheduleError):
        waits = [error.retry_after for error in several if isinstance(error, RescheduleError) and error.retry_after is not None]
        made.retry_after = max(waits, default=None)
    return made


def _told(errors: Mapping[str, IntegrationError]) -> str:
    """Who failed and why, the first few with their reason."""
    shown = [f"{tenant} ({error.what.rstrip('.')})" for tenant, error in list(errors.items())[:_TOLD]]
    rest = list(errors)[_TOLD:]
    return "; ".join([*shown, *([f"and {enumerated(rest, 100)}"] if rest else [])])
