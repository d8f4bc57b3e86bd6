"""The floor: download, parse by schema, write Parquet, and nothing else. No contract, no state, no merge, no retry.

Ours is measured in shares of it; whatever is quicker than this leaves something out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from benchmarks.contenders.job import Job, finish, job

TIME = pa.timestamp("us", "UTC")
ORDER = pa.struct(
    [
        ("id", pa.int64()),
        ("updated_at", TIME),
        ("amount", pa.float64()),
        ("created_at", TIME),
        ("status", pa.string()),
        ("currency", pa.string()),
        ("tax", pa.float64()),
        ("quantity", pa.int64()),
        ("paid", pa.bool_()),
        ("email", pa.string()),
        ("name", pa.string()),
        ("phone", pa.string()),
        ("note", pa.string()),
        ("tags", pa.list_(pa.string())),
        (
            "address",
            pa.struct(
                [
                    ("line", pa.string()),
                    ("city", pa.string()),
                    ("postcode", pa.string()),
                    ("country", pa.string()),
                    ("lat", pa.float64()),
                    ("lon", pa.float64()),
                ]
            ),
        ),
        ("items", pa.list_(pa.struct([("sku", pa.string()), ("quantity", pa.int64()), ("price", pa.float64())]))),
        ("channel", pa.string()),
        ("referrer", pa.string()),
        ("ip", pa.string()),
        ("user_agent", pa.string()),
        ("score", pa.float64()),
        ("rank", pa.int64()),
        ("discount", pa.float64()),
        ("campaign", pa.struct([("source", pa.string()), ("name", pa.string()), ("variant", pa.string())])),
        ("version", pa.int64()),
        ("deleted", pa.bool_()),
        ("url", pa.string()),
    ]
)
ENVELOPE = pa.schema([("data", pa.list_(ORDER)), ("next", pa.string()), ("total", pa.int64())])
TABLE = pa.schema(list(ORDER))
PAGES_A_CALL = 8
ROWS_A_GROUP = 100_000


def pages(asked: Job) -> Iterator[bytes]:
    """Bodies by token, one after the other; the token is the last thing of a body but the total."""
    params: dict[str, str | int] = {"limit": asked.page, **asked.window}
    with httpx.Client(base_url=asked.url) as client:
        while True:
            body = client.get("/orders", params=params).content
            yield body
            token = body[body.rindex(b'"next":') + 7 : body.rindex(b',"total"')]
            if token == b"null":
                return
            params["cursor"] = token.decode().strip('"')


def offset_pages(asked: Job, connections: int) -> Iterator[bytes]:
    """Bodies by offset, several asked for at once, in order."""
    with httpx.Client(base_url=asked.url) as client, ThreadPoolExecutor(connections) as pool:

        def one(offset: int) -> bytes:
            return client.get("/orders", params={"limit": asked.page, "offset": offset, **asked.window}).content

        first = one(0)
        yield first
        total = int(first[first.rindex(b":") + 1 : -1])
        yield from pool.map(one, range(asked.page, total, asked.page))


def parse(bodies: list[bytes]) -> pa.RecordBatch:
    """Each body as one row of the envelope, so that no boundary is searched; then the lists flattened."""
    text = b"\n".join(bodies)
    table = pa.json.read_json(
        pa.BufferReader(text),
        pa.json.ReadOptions(block_size=len(text) + 1, use_threads=False),
        pa.json.ParseOptions(explicit_schema=ENVELOPE),
    )
    return pa.RecordBatch.from_struct_array(table.column("data").combine_chunks().flatten())


def main(asked: Job, connections: int) -> None:
    """Pull it all into one Parquet file."""
    found = offset_pages(asked, connections) if asked.paging == "offset" else pages(asked)
    rows = 0
    waiting: list[bytes] = []
    held: list[pa.RecordBatch] = []
    Path(asked.folder).mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(f"{asked.folder}/orders.parquet", TABLE, compression="zstd", compression_level=1) as writer:

        def write() -> None:
            nonlocal rows
            table = pa.Table.from_batches(held, TABLE)
            rows += table.num_rows
            writer.write_table(table)
            held.clear()

        for body in found:
            waiting.append(body)
            if len(waiting) == PAGES_A_CALL:
                held.append(parse(waiting))
                waiting.clear()
                if sum(batch.num_rows for batch in held) >= ROWS_A_GROUP:
                    write()
        if waiting:
            held.append(parse(waiting))
        if held:
            write()
    finish(rows=rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=8)
    asked, rest = job(parser)
    main(asked, rest.connections)
