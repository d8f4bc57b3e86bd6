"""Errors as Dagster should treat them: each class of `errors` says what to do next, and so does the failure it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from integration_assets.errors import (
    IntegrationError,
    LimitExceededError,
    PagingError,
    RejectThresholdError,
    ReplanError,
    RescheduleError,
    ResponseError,
    TransientError,
)

WAITS = (60.0, 300.0, 900.0)
"""Seconds until the step is tried again when the API, the disk or a lock was not available: once for each."""
REPLANS = 2
_REPLAN_WAIT = 5.0


OF_ONE_PARTITION = (RejectThresholdError, ResponseError, PagingError, LimitExceededError)
"""What may be wrong with one partition's data alone: the run's others are pulled all the same."""
IN_A_ROW = 3
"""Partitions that fail one after the other until the run takes it for the API's failure, not the data's."""


@contextmanager
def explained(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Iterator[None]:
    """Turn an `IntegrationError` into what Dagster does about it: fail for good, or try the step again later.

    The failure's cause is cut: the sentence says it all, and a library's own error may hold a URL with a key in it.
    """
    try:
        yield
    except IntegrationError as error:
        decision = decide(error, context.retry_number)
        if isinstance(decision, dg.RetryRequested):
            # Dagster shows the cause's description, not the request's own.
            raise decision from failure(error, allow_retries=True)
        raise decision from None


def decide(error: IntegrationError, tries: int) -> dg.Failure | dg.RetryRequested:
    """What becomes of `error` in a step that was retried `tries` times already."""
    passes = isinstance(error, RescheduleError | TransientError)
    asked = error.retry_after or 0.0 if isinstance(error, RescheduleError | TransientError) else 0.0
    # A step that waits keeps its run alive: when the API asks for longer than that is worth, the next scheduled run goes on.
    if passes and tries < len(WAITS) and asked <= WAITS[-1]:
        return dg.RetryRequested(max_retries=len(WAITS), seconds_to_wait=max(WAITS[tries], asked))
    if isinstance(error, ReplanError) and tries < REPLANS:
        return dg.RetryRequested(max_retries=REPLANS, seconds_to_wait=_REPLAN_WAIT)
    return failure(error, allow_retries=passes or isinstance(error, ReplanError))


def together(failed: Mapping[str, IntegrationError], left: int) -> IntegrationError:
    """One error for the partitions that failed, of the first one's class; `left` of the run's were not tried any more."""
    first = next(iter(failed.values()))
    first.missing = len(failed) + left
    if len(failed) == 1 and not left:
        return first
    named = ", ".join(failed) + (f", and {left} more were not tried" if left else "")
    error = type(first)(
        f"{len(failed)} of the run's partitions failed: {named}. The first said: {first.what}",
        source=first.source,
        stream=first.stream,
        field=first.field,
        remedy=first.remedy,
    )
    error.missing = first.missing
    error.__cause__ = first.__cause__
    return error


def failure(error: IntegrationError, *, allow_retries: bool) -> dg.Failure:
    """A failure whose description says what went wrong and what to do; the parts again as metadata."""
    parts = {"source": error.source, "stream": error.stream, "field": error.field, "remedy": error.remedy}
    missing = {"partitions missing": error.missing} if error.missing else {}
    return dg.Failure(
        description=str(error),
        metadata={"error": type(error).__name__, **{name: part for name, part in parts.items() if part}, **missing},
        allow_retries=allow_retries,
    )
