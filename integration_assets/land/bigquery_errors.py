"""What BigQuery's errors mean: what to do next, and for whom."""

from __future__ import annotations

import requests
from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    NotFound,
    RetryError,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from google.auth.exceptions import GoogleAuthError, TransportError

from integration_assets.errors import RescheduleError, WarehouseError

CLIENT_ERRORS = (GoogleAPICallError, RetryError, GoogleAuthError, requests.RequestException, TimeoutError)
"""Everything that a call of the client raises when BigQuery or the way to it is at fault."""

_PASSING = {
    "backendError",
    "internalError",
    "jobBackendError",
    "jobInternalError",
    "jobRateLimitExceeded",
    "quotaExceeded",
    "rateLimitExceeded",
    "tableUnavailable",
}
_SHOWN = 400


def reason(error: BaseException) -> str:
    """BigQuery's word for the error, such as `notFound`; empty if it has none."""
    errors = getattr(error, "errors", None) or [{}]
    return str(errors[0].get("reason", "")) if isinstance(errors[0], dict) else ""


def passes(error: BaseException) -> bool:
    """Whether the same call may work later with nothing changed."""
    word = reason(error)
    if word:
        return word in _PASSING
    kinds = (ServerError, TooManyRequests, RetryError, TransportError, requests.RequestException, TimeoutError)
    return isinstance(error, kinds)


def text(error: BaseException) -> str:
    """BigQuery's sentence, without the job's coordinates."""
    errors = getattr(error, "errors", None) or [{}]
    message = errors[0].get("message") if isinstance(errors[0], dict) else None
    return " ".join(str(message or getattr(error, "message", "") or error or type(error).__name__).split())[:_SHOWN]


def explain(error: BaseException, doing: str) -> WarehouseError | RescheduleError:
    """The error as ours, with a remedy. `doing` completes "BigQuery could not …"."""
    what = f"BigQuery could not {doing}: {text(error)}"
    if passes(error):
        return RescheduleError(what, remedy="The lake has the rows; a later run merges them.")
    if reason(error) == "bytesBilledLimitExceeded" or "bytes billed" in what.lower():
        return WarehouseError(
            what, remedy="Raise the stream's maximum_bytes_billed, or partition the table by a column that never changes."
        )
    if isinstance(error, Forbidden | Unauthorized | GoogleAuthError):
        return WarehouseError(
            what,
            remedy="Give the run's service account roles/bigquery.jobUser on the project, roles/bigquery.dataEditor on the"
            " datasets and roles/storage.objectViewer on the lake's bucket.",
        )
    if "too many partitions" in what.lower():
        return WarehouseError(
            what, remedy="Partition the table by a coarser unit: add &partition=MONTH to INTEGRATION_WAREHOUSE_URI."
        )
    if isinstance(error, NotFound):
        return WarehouseError(
            what, remedy="See that project, location and datasets are those of the settings, all in one location."
        )
    return WarehouseError(what)
