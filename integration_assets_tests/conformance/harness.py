"""A source pointed at its recording, with a lake and a warehouse of its own in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from integration_assets.settings import Settings
from integration_assets.spec import Limits, NextLink, Offset, PageNumber, Slice, Source, Stream, Token
from integration_assets.spec.auth import secret_names
from integration_assets.spec.base import Spec
from integration_assets.spec.receipt import Receipt
from integration_assets.sync import Stores, merge, open_feeds, sync
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


def recorded(source: Source, stream: Stream, recording: Recording) -> Source:
    """The source as its recording was made: that one stream, its page size, and no waiting between retries."""
    limits = changed(source.limits, attempts=2, wait_initial=0, wait_max=0)
    assert isinstance(limits, Limits)
    return changed(source, streams=(with_page_size(stream, recording.page_size),), limits=limits)


def secrets_of(source: Source) -> dict[str, str]:
    """A value for each secret that the source names, easy to find where it must not be."""
    return {name: f"conformance-{name.lower()}-value" for name in secret_names(source.auth)}


@dataclass(frozen=True)
class Bench:
    """A recorded source and where its data lands."""

    source: Source
    recording: Recording
    replay: Replay
    settings: Settings
    stores: Stores
    folder: Path

    @property
    def stream(self) -> Stream:
        """The stream under test."""
        return self.source.streams[0]

    def sync(self, phase: Phase, span: Slice | None = None) -> list[Receipt]:
        """Pull what the API answered in that phase, and merge it; `span` pulls that range again."""
        self.replay.phase = phase
        run_id = f"conformance-{next(_RUNS)}"
        with open_feeds(self.source, self.stores, self.settings) as (feed,):
            receipts = list(sync(feed, run_id, span=span))
            merge(feed, self.stores, run_id)
        return receipts

    def pull(self, phase: Phase) -> list[Receipt]:
        """Pull what the API answered in that phase and leave the warehouse alone."""
        self.replay.phase = phase
        with open_feeds(self.source, self.stores, self.settings) as (feed,):
            return list(sync(feed, f"conformance-{next(_RUNS)}"))


@contextmanager
def bench(source: Source, stream: Stream, folder: Path) -> Iterator[Bench]:
    """A bench for one stream; fails at the end if the source asked for something unrecorded."""
    recording = load(source, stream)
    made = recorded(source, stream, recording)
    secrets = secrets_of(source)
    with serving(made, recording.phases[0], secrets) as replay:
        settings = settings_for(made, replay.url, folder, secrets)
        yield Bench(made, recording, replay, settings, Stores.from_settings(settings), folder)


def settings_for(source: Source, url: str, folder: Path, secrets: dict[str, str]) -> Settings:
    """Settings that put everything into `folder` and the source at `url`."""
    return Settings.from_environ(
        {
            "INTEGRATION_LAKE_URI": str(folder / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(folder / "warehouse.duckdb"),
            f"INTEGRATION_{source.name.upper()}_BASE_URL": url,
            **secrets,
        }
    )


def whole_range(bench_: Bench) -> Slice | None:
    """The explicit range that covers the stream's history; None where a stream has no cursor and is pulled whole anyway."""
    return Slice(bench_.stream.origin) if bench_.stream.cursor else None


def receipt_text(receipts: list[Receipt]) -> str:
    """All receipts as text, to search in."""
    return "\n".join(json.dumps(json.loads(receipt.to_json())) for receipt in receipts)
