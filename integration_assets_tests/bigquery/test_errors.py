"""What BigQuery's errors become: for a later run, or for a person, with what to do."""

from __future__ import annotations

import pytest
import requests
from google.api_core.exceptions import BadRequest, Forbidden, InternalServerError, NotFound, ServiceUnavailable
from google.auth.exceptions import DefaultCredentialsError, TransportError

from integration_assets.errors import RescheduleError, WarehouseError
from integration_assets.land.bigquery_errors import explain


def job_error(kind: type[Exception], reason: str, message: str) -> Exception:
    """An error as the client raises it for a job that failed."""
    return kind(message, errors=[{"reason": reason, "message": message}])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "error",
    [
        job_error(ServiceUnavailable, "", "503"),
        requests.ConnectionError("refused"),
        TransportError("reset"),  # type: ignore[no-untyped-call]
        TimeoutError(),
        job_error(Forbidden, "rateLimitExceeded", "too many table updates"),
        job_error(Forbidden, "quotaExceeded", "quota"),
        job_error(InternalServerError, "backendError", "try again"),
    ],
)
def test_what_passes_is_left_to_a_later_run(error: Exception) -> None:
    """A later run goes on from the lake."""
    told = explain(error, "merge")
    assert isinstance(told, RescheduleError)
    assert "later run" in str(told)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (job_error(Forbidden, "accessDenied", "no"), "roles/bigquery.jobUser"),
        (DefaultCredentialsError("none"), "roles/bigquery.jobUser"),  # type: ignore[no-untyped-call]
        (job_error(NotFound, "notFound", "Dataset a:b was not found in location EU"), "all in one location"),
        # The client knows no class for this reason and takes the one for a server at fault.
        (job_error(InternalServerError, "bytesBilledLimitExceeded", "limit"), "maximum_bytes_billed"),
        (job_error(BadRequest, "invalidQuery", "Too many partitions produced by query"), "coarser"),
        (job_error(BadRequest, "invalidQuery", "no such column"), "no such column"),
    ],
)
def test_what_does_not_pass_says_what_to_do(error: Exception, remedy: str) -> None:
    """Permission, cost, place and statement are for a person."""
    told = explain(error, "merge")
    assert isinstance(told, WarehouseError)
    assert remedy in str(told)
