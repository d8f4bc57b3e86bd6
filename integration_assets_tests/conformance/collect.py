"""What the suite runs over: whatever is under `integration_assets/sources/` and asks an API. Files have no recorded responses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integration_assets.sources import load_sources
from integration_assets.spec import NoAuth, Source, Stream


def _each(wanted: Callable[[Source, Stream], bool]) -> pytest.MarkDecorator:
    pairs = [
        (source, stream) for source in load_sources() for stream in source.streams if not stream.files and wanted(source, stream)
    ]
    named = [pytest.param(source, stream, id=f"{source.name}.{stream.name}") for source, stream in pairs]
    return pytest.mark.parametrize(("source", "stream"), named)


each_source = pytest.mark.parametrize("source", [pytest.param(source, id=source.name) for source in load_sources()])
each_stream = _each(lambda _, __: True)
each_stream_with_secrets = _each(lambda source, _: not isinstance(source.auth, NoAuth))
each_stream_with_key = _each(lambda _, stream: bool(stream.key))
each_stream_with_cursor = _each(lambda _, stream: stream.cursor is not None)
each_stream_with_versions = _each(lambda _, stream: stream.disposition == "merge" and stream.version_column is not None)
