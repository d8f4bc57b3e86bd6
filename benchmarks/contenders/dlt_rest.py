"""dlt's rest_api source into Parquet files or DuckDB, by its defaults or tuned as its documentation advises."""

from __future__ import annotations

import argparse
import os

from benchmarks.contenders.job import Job, finish, job


def main() -> None:
    """Pull once; a second call in the same folder pulls what is new since its own cursor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--no-cursor", action="store_true", help="spare it the bookkeeping of a cursor: a full load only")
    parser.add_argument("--merge", action="store_true", help="merge by id into DuckDB instead of appending Parquet")
    asked, rest = job(parser)
    os.environ.update(_environment(asked, tuned=rest.tuned))
    import dlt
    from dlt.sources.rest_api import rest_api_source

    resource: dict[str, object] = {
        "name": "orders",
        "write_disposition": "merge" if rest.merge else "append",
        "primary_key": "id",
        "endpoint": {
            "path": "orders",
            "params": {"limit": asked.page},
            "data_selector": "data",
            "paginator": _paginator(asked),
        },
    }
    if not rest.no_cursor:
        resource["endpoint"]["params"]["updated_since"] = "{incremental.start_value}"  # type: ignore[index]
        resource["endpoint"]["incremental"] = {  # type: ignore[index]
            "cursor_path": "updated_at",
            "initial_value": "2025-01-01T00:00:00.000000Z",
        }
    source = rest_api_source({"client": {"base_url": asked.url}, "resources": [resource]})
    destination = dlt.destinations.duckdb(f"{asked.folder}/dlt.duckdb") if rest.merge else "filesystem"
    pipeline = dlt.pipeline("bench", pipelines_dir=f"{asked.folder}/state", destination=destination, dataset_name="bench")
    pipeline.run(source, loader_file_format="parquet")
    counted = pipeline.last_trace.last_normalize_info.row_counts if pipeline.last_trace.last_normalize_info else {}
    finish(rows=counted.get("orders", 0))


def _paginator(asked: Job) -> dict[str, object]:
    if asked.paging == "offset":
        return {"type": "offset", "limit": asked.page, "total_path": "total"}
    return {"type": "cursor", "cursor_path": "next", "cursor_param": "cursor"}


def _environment(asked: Job, *, tuned: bool) -> dict[str, str]:
    always = {
        "DESTINATION__FILESYSTEM__BUCKET_URL": f"{asked.folder}/files",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
    }
    if not tuned:
        return always
    return always | {
        "DATA_WRITER__BUFFER_MAX_ITEMS": "100000",
        "DATA_WRITER__FILE_MAX_ITEMS": "100000",
        "NORMALIZE__WORKERS": "2",
        "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
        "EXTRACT__DATA_WRITER__DISABLE_COMPRESSION": "true",
        "LOAD__WORKERS": "2",
    }


if __name__ == "__main__":
    main()
