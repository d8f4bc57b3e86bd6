"""dlt with a hand-written resource that yields Arrow tables: its quickest way. Validates nothing, keeps no reject."""

from __future__ import annotations

import argparse
import os

from benchmarks.contenders.floor import PAGES_A_CALL, offset_pages, pages, parse
from benchmarks.contenders.job import finish, job


def main() -> None:
    """Append Arrow tables to Parquet files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=8)
    asked, rest = job(parser)
    os.environ.update(
        {
            "DESTINATION__FILESYSTEM__BUCKET_URL": f"{asked.folder}/files",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RUNTIME__LOG_LEVEL": "ERROR",
            "LOAD__WORKERS": "2",
        }
    )
    import dlt
    import pyarrow as pa

    rows = 0

    @dlt.resource(name="orders", write_disposition="append")
    def orders():  # type: ignore[no-untyped-def] # noqa: ANN202 - dlt reads no annotation here
        nonlocal rows
        waiting: list[bytes] = []
        for body in offset_pages(asked, rest.connections) if asked.paging == "offset" else pages(asked):
            waiting.append(body)
            if len(waiting) == PAGES_A_CALL:
                table = pa.Table.from_batches([parse(waiting)])
                rows += table.num_rows
                waiting.clear()
                yield table
        if waiting:
            table = pa.Table.from_batches([parse(waiting)])
            rows += table.num_rows
            yield table

    pipeline = dlt.pipeline("arrow", pipelines_dir=f"{asked.folder}/state", destination="filesystem", dataset_name="bench")
    pipeline.run(orders(), loader_file_format="parquet")
    finish(rows=rows)


if __name__ == "__main__":
    main()
