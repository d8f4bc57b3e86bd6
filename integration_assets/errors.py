"""Every error this project raises on purpose, classed by what to do next.

    IntegrationError
    ├── SpecError            fix the code: a source is described wrongly (raised while loading)
    ├── TransientError       retry the request: a reset, a time-out, a 5xx, a 429
    ├── RescheduleError      wait and reschedule the run: the API, the disk or a lock is not available now
    │   ├── UpstreamUnavailableError    ├── BreakerOpenError    ├── QuotaSpentError
    │   └── WarehouseBusyError          └── LimitsUnavailableError
    ├── HumanNeededError     call a human: no retry mends it
    │   ├── SecretMissingError      ├── ResponseError       ├── LakeError
    │   ├── AccessDeniedError       ├── PagingError         ├── LakeNewerThanContractError
    │   ├── UnknownHostError        ├── CrossHostError      └── WarehouseError
    │   ├── RejectThresholdError    ├── LimitExceededError
    │   ├── SweepRefusedError       └── LimitsStoreError
    └── ReplanError          plan again: what the run was planned on is no longer so
        ├── SliceTakenError         another run committed the slice first
        └── PageTokenExpiredError   the API aged the token out: the slice starts again

A record that is bad alone is no error: it is a `Reject` and goes to quarantine.
"""

from __future__ import annotations


class IntegrationError(Exception):
    """What went wrong, where, and what to do about it.

    Parameters
    ----------
    what : one sentence, no secret in it.
    source, stream, field : where; None where it does not apply.
    remedy : what the reader should do next.
    """

    missing = 0
    """How many partitions of a run were not pulled because of it."""

    def __init__(
        self,
        what: str,
        *,
        source: str | None = None,
        stream: str | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.source = source
        self.stream = stream
        self.field = field
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        """`source.stream (field): what. Remedy.`"""
        where = ".".join(part for part in (self.source, self.stream) if part)
        if self.field:
            where = f"{where} ({self.field})" if where else self.field
        text = self.what if self.what.endswith((".", "!", "?")) else f"{self.what}."
        return " ".join(part for part in (f"{where}:" if where else "", text, self.remedy or "") if part)

    def at(self, source: str | None = None, stream: str | None = None) -> IntegrationError:
        """Fill in where it happened, if the raiser could not know; returns itself."""
        self.source = self.source or source
        self.stream = self.stream or stream
        return self

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword parts when the error crosses a process."""
        return (_rebuild, (type(self), self.what, self.source, self.stream, self.field, self.remedy, self.__dict__))


def _rebuild(
    kind: type[IntegrationError],
    what: str,
    source: str | None,
    stream: str | None,
    field: str | None,
    remedy: str | None,
    rest: dict[str, object],
) -> IntegrationError:
    error = kind(what, source=source, stream=stream, field=field, remedy=remedy)
    error.__dict__.update(rest)
    return error


class SpecError(IntegrationError):
    """A source, stream or contract is described wrongly; found before any work is done."""


class TransientError(IntegrationError):
    """One request failed in a way that usually passes; the client retries it.

    `retry_after` is what the API asked for, in seconds, or None; `unanswered`, that no answer came at all.
    """

    retry_after: float | None = None
    unanswered: bool = False


class RescheduleError(IntegrationError):
    """Not now: what is committed stays, and a later run goes on from there.

    `retry_after` is the seconds until another try is worth it, where the API said so, or None.
    """

    retry_after: float | None = None


class UpstreamUnavailableError(RescheduleError):
    """The API kept failing through every retry the stream allows."""


class BreakerOpenError(RescheduleError):
    """The API kept failing for all runs together, and none of them asks it before `retry_after` seconds have passed."""


class QuotaSpentError(RescheduleError):
    """The requests that runs may spend of the API's day are spent; `retry_after` is the seconds until the next day."""


class LimitsUnavailableError(RescheduleError):
    """What runs share to keep an API's limits does not answer; without it nobody may ask."""


class WarehouseBusyError(RescheduleError):
    """Another process held the warehouse for longer than the allowed wait."""


class HumanNeededError(IntegrationError):
    """No retry mends this; someone must change a key, the code, the API's account or the disk."""


class SecretMissingError(HumanNeededError):
    """The secret a source names is not set."""


class AccessDeniedError(HumanNeededError):
    """The API refused the credential (401 or 403)."""


class UnknownHostError(HumanNeededError):
    """The source's host name does not resolve."""


class ResponseError(HumanNeededError):
    """The answer is not what the stream describes: status, content type or envelope.

    `status` is the HTTP status where that is what was wrong, or None.
    """

    status: int | None = None


class PagingError(HumanNeededError):
    """Paging does not end or does not advance: a page or a token repeats itself."""


class CrossHostError(HumanNeededError):
    """A redirect or a next link leads to another host; credentials never follow it."""


class LimitExceededError(HumanNeededError):
    """A response is larger, or a slice longer, than the source's limits allow."""


class LimitsStoreError(HumanNeededError):
    """What runs share to keep an API's limits cannot be written, or is damaged."""


class RejectThresholdError(HumanNeededError):
    """More records of the slice were rejected than the stream tolerates; nothing of it was committed.

    `rejected` of `records` were, for these `reasons`.
    """

    rejected: int = 0
    records: int = 0
    reasons: tuple[str, ...] = ()


class SweepRefusedError(HumanNeededError):
    """A sweep's list of keys looked incomplete, or would have deleted more than is allowed; nothing was deleted."""


class LakeError(HumanNeededError):
    """The lake cannot be read or written: no permission, no space, or not a lake."""


class LakeNewerThanContractError(LakeError):
    """The lake's table has columns that this code's contract does not know."""


class WarehouseError(HumanNeededError):
    """The warehouse refused a table or a merge."""


class ReplanError(IntegrationError):
    """What the run was planned on has changed; plan again, nothing was doubled."""


class SliceTakenError(ReplanError):
    """Another run committed this slice while this one was pulling it."""


class PageTokenExpiredError(ReplanError):
    """The API refused a page token midway; the slice must be read again from its start."""
