"""The script that every team has: requests by hand, json_normalize, one Parquet file. Holds everything in memory."""

from __future__ import annotations

from pathlib import Path

import httpx
import pandas as pd

from benchmarks.contenders.job import Job, finish, job


def main(asked: Job) -> None:
    """Pull it all, then write it."""
    frames = []
    params: dict[str, str | int] = {"limit": asked.page, **asked.window}
    with httpx.Client(base_url=asked.url) as client:
        while True:
            body = client.get("/orders", params=params).raise_for_status().json()
            frames.append(pd.json_normalize(body["data"]))
            if body["next"] is None:
                break
            params["cursor"] = body["next"]
    table = pd.concat(frames, ignore_index=True)
    table["updated_at"] = pd.to_datetime(table["updated_at"])
    Path(asked.folder).mkdir(parents=True, exist_ok=True)
    table.to_parquet(f"{asked.folder}/orders.parquet", compression="zstd")
    finish(rows=len(table))


if __name__ == "__main__":
    main(job()[0])
