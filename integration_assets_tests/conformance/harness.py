"""A source pointed at its recording, with a lake and a warehouse of its own in a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from integration_assets.feed import open_feeds
from integration_assets.land.quarantine import Rejected
from integration_assets.land.warehouse import DELETED_AT, EXTRACTED_AT, RUN_ID
from integration_assets.settings import Settings
from integration_assets.spec import NextLink, Offset, PageNumber, Slice, Source, Stream, Token
from integration_assets.spec.auth import secret_names
from integration_assets.spec.base import Spec
from integration_assets.spec.parent import ancestors
from integration_assets.spec.receipt import Receipt
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets_tests.conformance.fixtures import Phase, Recording, load
from integration_assets_tests.conformance.replay import Replay, serving

_S = TypeVar("_S", bound=Spec)
_RUNS = count(1)


def changed(spec: _S, **settings: Any) -> _S:  # noqa: ANN401 - the spec validates them
    """A copy of a spec with some settings changed, validated as any other."""
    return type(spec)(**{**{name: getattr(spec, name) for name in type(spec).model_fields}, **settings})


def with_page_size(stream: Stream, size: int | None) -> Stream:
    """The stream with pages of `size` records: a recording then has several pages without having thousands of records."""
    if size is None:
        return stream
    match stream.paging:
        case Offset() as paging:
            return changed(stream, paging=changed(paging, limit=size))
        case PageNumber() | Token() | NextLink() as paging:
            return changed(stream, paging=changed(paging, size=size))
        case _:
            return stream


def recorded(source: Source, stream: Stream, page_size: int | None) -> Source:
    """The source as its recording was made: one stream, its page size, one slice a sync, and no waiting between retries.

    Behind it are those that it is asked by, if it has a parent.
    """
    limits = changed(source.limits, attempts=2, wait_initial=0, wait_max=0)
    one = with_page_size(stream, page_size)
    if one.cursor:
        one = changed(one, cursor=changed(one.cursor, step=None))
    return changed(source, streams=(one, *ancestors(source, stream)), limits=limits)


def secrets_of(source: Source) -> dict[str, str]:
    """A value for each secret that the source names, easy to find where it must not be."""
    return {name: f"conformance-{name.lower()}-value" for name in secret_names(source.auth)}


def run(source: Source, stores: Stores, settings: Settings, span: Slice | None = None) -> list[Receipt]:
    """Pull the source's one stream, or a `span` of it again, and merge what landed; those that it is asked by before."""
    run_id = f"conformance-{next(_RUNS)}"
    receipts: list[Receipt] = []
    with open_feeds(source, stores, settings) as feeds:
        for feed in reversed(feeds):
            receipts = list(sync(feed, run_id, span=span))
            merge(feed, stores, run_id)
    return receipts


def warehouse_rows(source: Source, stores: Stores) -> list[dict[str, Any]]:
    """The rows of the source's one stream, deleted ones included, without which run they came by; in order of the key."""
    stream = source.streams[0]
    table = stores.warehouse.query(f'SELECT * FROM "{source.name}"."{stream.name}"')
    rows: list[dict[str, Any]] = table.drop_columns([EXTRACTED_AT, RUN_ID]).to_pylist()
    return sorted(rows, key=lambda row: [str(row[name]) for name in (stream.key or row)])


def live_and_deleted(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """How many rows are live, and how many are marked as deleted."""
    deleted = sum(1 for row in rows if row.get(DELETED_AT) is not None)
    return len(rows) - deleted, deleted


@dataclass(frozen=True)
class Bench:
    """A recorded source and where its data lands."""

    source: Source
    recording: Recording
    replay: Replay
    settings: Settings
    stores: Stores

    @property
    def stream(self) -> Stream:
        """The stream under test."""
        return self.source.streams[0]

    def sync(self, phase: Phase, span: Slice | None = None) -> list[Receipt]:
        """Pull what the API answered in that phase, and merge it; `span` pulls that range again."""
        self.replay.phase = phase
        return run(self.source, self.stores, self.settings, span)

    def rows(self) -> list[dict[str, Any]]:
        """The warehouse's rows, see `warehouse_rows`."""
        return warehouse_rows(self.source, self.stores)

    def rejects(self) -> list[Rejected]:
        """What is in quarantine, the newest first."""
        return self.stores.quarantine.list(self.source.name, self.stream.name)

    def nothing_landed(self) -> bool:
        """Whether neither lake nor warehouse has a row of the stream."""
        return self.stores.table(self.source, self.stream).count() == 0 and not Path(self.settings.warehouse_uri).exists()


@contextmanager
def bench(source: Source, stream: Stream, folder: Path) -> Iterator[Bench]:
    """A bench for one stream; fails at the end if the source asked for something unrecorded."""
    recording = load(source, stream)
    made = recorded(source, stream, recording.page_size)
    secrets = secrets_of(source)
    with serving(made, recording.phases[0], secrets) as replay:
        settings = settings_for(made, replay.url, folder, secrets)
        yield Bench(made, recording, replay, settings, Stores.from_settings(settings))


def settings_for(source: Source, url: str, folder: Path, environ: Mapping[str, str]) -> Settings:
    """Settings that put everything into `folder` and the source at `url`; secrets are looked up in `environ`."""
    return Settings.from_environ(
        {
            **environ,
            "INTEGRATION_LAKE_URI": str(folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(folder / "warehouse.duckdb"),
            f"INTEGRATION_{source.name.upper()}_BASE_URL": url,
        }
    )


def asks_for(stream: Stream, path: str) -> bool:
    """Whether a request's path is one of the stream's own, whatever stands for its placeholders."""
    own = "[^/]+".join(re.escape(part) for part in re.split(r"\{[^{}]*\}", stream.path))
    return re.fullmatch(f".*{own}", path) is not None


def whole_range(bench_: Bench) -> Slice | None:
    """The explicit range that covers the stream's history; None where a stream has no cursor and is pulled whole anyway."""
    return Slice(bench_.stream.origin) if bench_.stream.cursor else None


def receipt_text(receipts: list[Receipt]) -> str:
    """All receipts as text, to search in."""
    return "\n".join(json.dumps(json.loads(receipt.to_json())) for receipt in receipts)
