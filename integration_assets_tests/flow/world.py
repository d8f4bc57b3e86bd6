"""A lake, a warehouse and a running sandbox: what a whole flow needs, and how the tests look at the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from integration_assets.feed import Feed, open_feeds
from integration_assets.land.warehouse import MergeResult
from integration_assets.sandbox.process import SandboxProcess
from integration_assets.settings import Settings
from integration_assets.sources import load_source
from integration_assets.spec.contract import Contract, check_stream
from integration_assets.spec.cursor import Slice
from integration_assets.spec.paging import Offset
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Limits, Source
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync

Row = dict[str, Any]
_TRUTHS: dict[tuple[str, str, str], list[Row]] = {}
"""By stream, upstream and its clock: what many tests of one process hold their rows against."""


@dataclass(frozen=True)
class World:
    """The sandbox source over a running upstream, with an own lake and warehouse in `folder`, or where `elsewhere` says."""

    upstream: SandboxProcess
    folder: Path
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment that points everything at this world."""
        return {
            "INTEGRATION_LAKE_URI": str(self.folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(self.folder / "warehouse.duckdb"),
            "INTEGRATION_NYC_OPS_BASE_URL": self.upstream.url,
            "NYC_OPS_KEY": self.upstream.key,
            **self.elsewhere,
        }

    @property
    def source(self) -> Source:
        """The bundled source, quicker to retry so that tests of outages are short."""
        return load_source("nyc_ops").changed(limits=Limits(wait_initial=0.01, wait_max=0.05, attempts=4, retry_timeout=20))

    @contextmanager
    def feed(self, stream: str, page_size: int | None = None, **environ: str) -> Iterator[tuple[Feed, Stores]]:
        """One stream of the source, opened; with pages of another size if asked; `environ` changes the environment."""
        settings = Settings.from_environ({**self.environ, **environ})
        stores = Stores.from_settings(settings)
        described = self.source.stream(stream)
        if page_size:
            setting = "limit" if isinstance(described.paging, Offset) else "size"
            described = described.changed(paging=described.paging.changed(**{setting: page_size}))
        with open_feeds(self.source, stores, settings, [described]) as feeds:
            yield feeds[0], stores

    def pull(
        self, stream: str, partitions: Sequence[str] | None = None, span: Slice | None = None, *, dry_run: bool = False
    ) -> list[Receipt]:
        """Sync a stream into the lake and merge it into the warehouse; the receipts."""
        with self.feed(stream) as (feed, stores):
            receipts = list(sync(feed, uuid4().hex, partitions=partitions, span=span, dry_run=dry_run))
            if not dry_run:
                merge(feed, stores, "test")
            return receipts

    def merge(self, stream: str) -> MergeResult:
        """Only merge what the lake has."""
        with self.feed(stream) as (feed, stores):
            return merge(feed, stores, "test")

    def contract(self, stream: str) -> Contract:
        """The stream's contract."""
        return check_stream(self.source, self.source.stream(stream))

    def query(self, sql: str) -> pa.Table:
        """Ask the warehouse."""
        return Stores.from_settings(Settings.from_environ(self.environ)).warehouse.query(sql)

    def rows(self, stream: str) -> list[Row]:
        """The warehouse's live rows of a stream, contract columns only, by key."""
        described = self.source.stream(stream)
        live = "where _deleted_at is null" if described.disposition == "merge" else ""
        columns = ", ".join(column.name for column in self.contract(stream).columns)
        rows = self.query(f"select {columns} from {self.elsewhere.get('prefix', '')}nyc_ops.{stream} {live}").to_pylist()
        return sorted(rows, key=lambda row: str(row[described.key[0]]))

    def truth(self, stream: str) -> list[Row]:
        """What the warehouse should hold at the sandbox's present clock, by the upstream's own account."""
        asked = stream, self.upstream.url, self.upstream.now()
        if asked not in _TRUTHS:
            columns, key = self.contract(stream).columns, self.source.stream(stream).key[0]
            rows = [
                {column.name: _typed(_at(record, column.path), column.type) for column in columns}
                for record in self.upstream.truth(stream)
            ]
            _TRUTHS[asked] = sorted(rows, key=lambda row: str(row[key]))
        return [dict(row) for row in _TRUTHS[asked]]


def _at(record: Any, path: Sequence[str | int]) -> Any:  # noqa: ANN401 - JSON
    for part in path:
        record = record[part] if isinstance(part, int) else (record or {}).get(part)
    return record


def _typed(value: Any, type_: pa.DataType) -> Any:  # noqa: ANN401 - JSON
    if value is None:
        return None
    if pa.types.is_timestamp(type_):
        return datetime.fromisoformat(value)
    return float(value) if pa.types.is_floating(type_) else value
