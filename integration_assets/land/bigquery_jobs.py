"""Jobs that are done once: named by what they do, so that a killed or repeated run finds them instead of doing it again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from google.api_core.exceptions import Conflict, NotFound
from google.cloud.bigquery import (
    Client,
    LoadJob,
    LoadJobConfig,
    ParquetOptions,
    QueryJob,
    QueryJobConfig,
    ScalarQueryParameter,
    SchemaField,
    WriteDisposition,
)

from integration_assets.errors import RescheduleError
from integration_assets.land.bigquery_errors import CLIENT_ERRORS, explain, passes, reason
from integration_assets.land.bigquery_tables import Names
from integration_assets.land.store import VersionsGoneError

_ATTEMPTS = 100
_TRIES = 3
_PAUSE = 1.0

AnyJob = TypeVar("AnyJob", LoadJob, QueryJob)


def job_name(parts: Sequence[str], *content: object) -> str:
    """A name of `parts` that is another one when `content` is."""
    digest = hashlib.sha256("\n".join(str(one) for one in content).encode()).hexdigest()[:12]
    return "-".join([*parts, digest])


def once(
    client: Client, names: Names, name: str, submit: Callable[[str], AnyJob], usable: Callable[[], bool], wait: float
) -> tuple[AnyJob, bool]:
    """Run a job to its end unless one of this name did; returns it, and whether it was started here.

    submit : starts the job under an id.
    usable : whether what a job of an earlier run left is still there; otherwise it is done again.
    wait   : seconds; a job that takes longer goes on, and the next run finds it.
    Raises the client's errors; what passes by itself is tried a few times, each time under the next id, because an id that
    failed is spent.
    """
    failures = 0
    for attempt in range(_ATTEMPTS):
        job_id = f"{name}_{attempt}"
        try:
            job, mine = submit(job_id), True
        except Conflict:
            # An earlier run's, another run's, or our own whose answer was lost.
            job, mine = _found(client, names, job_id), False
        try:
            job.result(timeout=wait)
        except CLIENT_ERRORS as error:
            if job.state != "DONE":
                raise
            failures += mine
            if mine and (not passes(error) or failures == _TRIES):
                raise
            if mine:
                time.sleep(_PAUSE * 2 ** (failures - 1))
            continue
        if mine or usable():
            return job, mine
    raise RescheduleError(f"the BigQuery job {name} failed {_ATTEMPTS} times", remedy="Look at its errors in the console.")


def _found(client: Client, names: Names, job_id: str) -> Any:  # noqa: ANN401 - any kind of job
    return client.get_job(job_id, project=names.project, location=names.location)


def load(
    client: Client,
    names: Names,
    name: str,
    uris: Sequence[str],
    schema: Sequence[SchemaField],
    labels: Mapping[str, str],
    wait: float,
) -> LoadJob:
    """Load Parquet files into the staging table `name`, once; columns that a file lacks are null.

    Raises `VersionsGoneError` when a file has been vacuumed, else errors of ours.
    """
    config = LoadJobConfig(
        source_format="PARQUET",
        schema=list(schema),
        write_disposition=WriteDisposition.WRITE_TRUNCATE,
        labels=dict(labels),
    )
    config.parquet_options = _lists()
    table = f"{names.staging}.{name}"

    def submit(job_id: str) -> LoadJob:
        return client.load_table_from_uri(
            list(uris), table, job_id=job_id, job_config=config, project=names.project, location=names.location
        )

    def usable() -> bool:
        try:
            client.get_table(table)
        except NotFound:
            return False
        return True

    try:
        return once(client, names, f"load-{name}", submit, usable, wait)[0]
    except CLIENT_ERRORS as error:
        if reason(error) == "notFound" and "gs://" in str(error):
            raise VersionsGoneError(str(error)) from error
        raise explain(error, f"load {len(uris)} files into {table}") from error


def _lists() -> ParquetOptions:
    options = ParquetOptions()  # type: ignore[no-untyped-call]
    options.enable_list_inference = True
    return options


def run_script(
    client: Client,
    names: Names,
    name: str,
    sql: str,
    parameters: Mapping[str, str | int | None],
    labels: Mapping[str, str],
    maximum_bytes_billed: int | None,
    took_effect: Callable[[], bool],
    wait: float,
) -> tuple[QueryJob, bool]:
    """Run a script once; returns its job, and whether it was started here. Raises the client's errors.

    took_effect : whether what an earlier run's job did is still so.
    """
    config = query_config(labels, maximum_bytes_billed)
    config.query_parameters = [
        ScalarQueryParameter(key, "INT64" if key in {"version", "version_before", "rows_read"} else "STRING", value)
        for key, value in parameters.items()
    ]

    def submit(job_id: str) -> QueryJob:
        return client.query(sql, config, job_id, location=names.location, project=names.project, job_retry=None)

    return once(client, names, f"merge-{name}", submit, took_effect, wait)


def query_config(labels: Mapping[str, str], maximum_bytes_billed: int | None = None, *, dry_run: bool = False) -> QueryJobConfig:
    """A query's settings: labelled, and bounded in cost where a bound is given."""
    config = QueryJobConfig(labels=dict(labels), dry_run=dry_run, use_query_cache=False)
    if maximum_bytes_billed:
        config.maximum_bytes_billed = maximum_bytes_billed
    return config
