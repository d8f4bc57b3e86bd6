"""A credential goes to its source's own host and nowhere else (law 7); a wrong one is a clear error that commits nothing."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path

import pytest

from integration_assets.errors import AccessDeniedError, CrossHostError, SecretMissingError
from integration_assets.spec import Source, Stream
from integration_assets.spec.auth import Basic, secret_names
from integration_assets_tests.conformance.collect import each_stream, each_stream_with_secrets
from integration_assets_tests.conformance.harness import Bench, asks_for, bench, receipt_text, secrets_of, settings_for
from integration_assets_tests.conformance.replay import presents, trap


def needles(source: Source) -> list[str]:
    """Every spelling of the source's test credential that could be found somewhere."""
    secrets = secrets_of(source)
    found = list(secrets.values())
    if isinstance(source.auth, Basic):
        pair = f"{secrets[source.auth.username_secret]}:{secrets[source.auth.password_secret]}"
        found.append(base64.b64encode(pair.encode()).decode())
    return found


@each_stream_with_secrets
def test_every_request_carries_the_credential(source: Source, stream: Stream, tmp_path: Path) -> None:
    """The API is asked the way the spec describes, on every page."""
    with bench(source, stream, tmp_path) as made:
        made.sync(made.recording.phases[0])
        asked = [seen for seen in made.replay.requests if asks_for(stream, seen.path)]
        assert asked
        assert all(presents(source.auth, secrets_of(source), seen) for seen in asked)


@each_stream_with_secrets
def test_the_credential_is_written_down_nowhere(
    source: Source, stream: Stream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a receipt, a log line of any library, the lake, the quarantine or the warehouse."""
    caplog.set_level(logging.DEBUG)
    with bench(source, stream, tmp_path) as made:
        receipts = [receipt for phase in made.recording.phases for receipt in made.sync(phase)]
        texts = {
            "a receipt": receipt_text(receipts),
            "the log": caplog.text,
            "the warehouse": json.dumps(made.rows(), default=str),
            "the quarantine": repr(made.rejects()),
        }
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for needle in needles(source):
        assert [place for place, text in texts.items() if needle in text] == []
        assert [place for place, content in files.items() if needle.encode() in content] == []


@each_stream_with_secrets
def test_a_wrong_credential_calls_a_human_and_commits_nothing(
    source: Source, stream: Stream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the secret to change and not its value; lake and warehouse stay empty."""
    caplog.set_level(logging.DEBUG)
    with bench(source, stream, tmp_path) as made:
        made.replay.secrets = dict.fromkeys(secrets_of(source), "another-value")
        with pytest.raises(AccessDeniedError) as refused:
            made.sync(made.recording.phases[0])
        said = f"{refused.value}\n{refused.value!r}\n{caplog.text}"
        assert any(name in str(refused.value) for name in secret_names(source.auth))
        assert not [needle for needle in needles(source) if needle in said]
        assert refused.value.source == source.name
        assert made.nothing_landed()


@each_stream_with_secrets
def test_a_missing_secret_is_named_before_any_request(source: Source, stream: Stream, tmp_path: Path) -> None:
    """The variable to set is in the error, and the API is not asked in vain."""
    with bench(source, stream, tmp_path) as made:
        bare = Bench(
            made.source, made.recording, made.replay, settings_for(made.source, made.replay.url, tmp_path, {}), made.stores
        )
        with pytest.raises(SecretMissingError) as missing:
            bare.sync(made.recording.phases[0])
        assert any(name in str(missing.value) for name in secret_names(source.auth))
        assert not made.replay.requests
        assert made.nothing_landed()


@each_stream
def test_a_redirect_to_another_host_is_refused(source: Source, stream: Stream, tmp_path: Path) -> None:
    """Neither credential nor query follows a redirect away from the source's host, and nothing is committed."""
    with bench(source, stream, tmp_path) as made, trap(made.source, made.recording.phases[0]) as elsewhere:
        made.replay.redirect = elsewhere.url + stream.path
        with pytest.raises(CrossHostError):
            made.sync(made.recording.phases[0])
        assert elsewhere.requests == []
        assert made.nothing_landed()
