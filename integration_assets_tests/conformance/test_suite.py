"""The suite itself fails where it should, with a sentence that says what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from integration_assets.errors import ResponseError
from integration_assets.spec import Source, Stream
from integration_assets_tests.conformance.collect import each_stream, each_stream_with_secrets
from integration_assets_tests.conformance.fixtures import load
from integration_assets_tests.conformance.harness import bench, changed, secrets_of
from integration_assets_tests.conformance.replay import serving


@each_stream
def test_a_stream_without_a_recording_is_told_what_to_add(source: Source, stream: Stream) -> None:
    """The failure names the file and where its form is described."""
    new = changed(stream, name="brand_new")
    with pytest.raises(AssertionError, match=rf"add integration_assets/sources/{source.name}/fixtures/brand_new\.json"):
        load(source, new)


@each_stream
def test_a_request_that_was_not_recorded_fails_the_test(source: Source, stream: Stream, tmp_path: Path) -> None:
    """A page too few in the recording is a complaint that names the request, not a shorter table."""
    with pytest.raises(AssertionError, match="asked for what its fixtures do not have") as complaint:
        _sync_with_a_page_too_few(source, stream, tmp_path)
    assert stream.path.partition("{")[0] in str(complaint.value)


def _sync_with_a_page_too_few(source: Source, stream: Stream, folder: Path) -> None:
    with bench(source, stream, folder) as made:
        first = made.recording.phases[0]
        with pytest.raises(ResponseError):
            made.sync(replace(first, exchanges=first.exchanges[:-1]))
        # One tenant's missing page stops no other.
        assert stream.tenants or made.nothing_landed()


@each_stream_with_secrets
def test_the_replay_server_asks_for_the_credential(source: Source, stream: Stream) -> None:
    """Without it there is a 401, so a client that forgets it on one page is found out."""
    phase = load(source, stream).phases[0]
    with serving(source, phase, secrets_of(source)) as replay:
        assert httpx.get(replay.url + stream.path, trust_env=False).status_code == 401
