"""The recorder that a new source's fixtures are made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration_assets.spec import Json, Source, Stream
from integration_assets_tests.conformance.collect import each_stream
from integration_assets_tests.conformance.harness import bench, secrets_of
from integration_assets_tests.conformance.record import record


@each_stream
def test_a_recording_of_a_recording_is_the_same(
    source: Source, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder keeps every page that tells itself apart and the counts that come of it, and no credential."""
    for name, value in secrets_of(source).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INTEGRATION_LAKE_URI", str(tmp_path / "mine"))
    with bench(source, stream, tmp_path) as made:
        phase = made.recording.phases[0]
        content = record(source.with_base_url(made.replay.url), stream, made.recording.page_size, None)
    assert content["expect"] == {
        "rows": phase.expect.rows,
        "rejected": phase.expect.rejected,
        "deleted": phase.expect.deleted,
    }
    bodies = [exchange["response"]["body"] for exchange in content["exchanges"]]
    assert [body if isinstance(body, str) else json.dumps(body) for body in bodies] == [each.body for each in phase.exchanges]
    if isinstance(stream.format, Json):
        assert not [body for body in bodies if isinstance(body, str)]
    asked = [json.dumps(exchange["request"]) for exchange in content["exchanges"]]
    assert len(asked) == len(set(asked))
    assert not [value for value in secrets_of(source).values() if value in json.dumps(content)]
    assert not (tmp_path / "mine").exists()
