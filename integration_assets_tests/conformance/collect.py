"""What the suite runs over: whatever is under `integration_assets/sources/`."""

from __future__ import annotations

import pytest

from integration_assets.sources import load_sources
from integration_assets.spec import NoAuth, Source, Stream


def streams(*, with_secrets: bool = False) -> list[tuple[Source, Stream]]:
    """Every stream of every source, or only of those that need a credential."""
    return [
        (source, stream)
        for source in load_sources()
        if not (with_secrets and isinstance(source.auth, NoAuth))
        for stream in source.streams
    ]


def _each(pairs: list[tuple[Source, Stream]]) -> pytest.MarkDecorator:
    named = [pytest.param(source, stream, id=f"{source.name}.{stream.name}") for source, stream in pairs]
    return pytest.mark.parametrize(("source", "stream"), named)


each_source = pytest.mark.parametrize("source", [pytest.param(source, id=source.name) for source in load_sources()])
each_stream = _each(streams())
each_stream_with_secrets = _each(streams(with_secrets=True))
