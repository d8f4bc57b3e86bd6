"""The process: faults on demand, clients that do not block each other, a restart, a certain end."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import google.cloud.storage as gcs
import httpx
import pytest
from google.api_core.exceptions import PreconditionFailed
from google.cloud.storage.retry import DEFAULT_RETRY

from integration_assets_tests.gcs.process import GcsEmulator

QUICK = DEFAULT_RETRY.with_delay(initial=0.01, maximum=0.05)


def test_faults_strike_as_often_as_told(emulator: GcsEmulator, bucket: gcs.Bucket, http: httpx.Client) -> None:
    """429, 503 and resets strike matching requests only, in number; the client's retries get over them."""
    rules: list[dict[str, object]] = [
        {"action": "429", "match": "^POST .*name=a"},
        {"action": "503", "match": "^POST", "times": 2},
    ]
    emulator.faults([*rules, {"action": "reset", "match": "^GET .*alt=media"}])
    blob = bucket.blob("a")
    blob.upload_from_string("bytes", if_generation_match=0, retry=QUICK)
    assert blob.download_as_bytes(retry=QUICK) == b"bytes"
    assert emulator.fired() == [0, 2, 1]
    emulator.faults([{"action": "429", "match": f"GET /{bucket.name}/a", "times": None}])
    answer = http.get(f"/{bucket.name}/a")
    assert (answer.status_code, "<Code>SlowDown</Code>" in answer.text) == (429, True)
    emulator.clear_faults()
    assert http.get(f"/{bucket.name}/a").status_code == 200


def test_an_answer_can_be_lost_after_the_deed(emulator: GcsEmulator, bucket: gcs.Bucket) -> None:
    """A create-only write whose answer is lost has happened: the retry is told 412, and the object is there."""
    emulator.faults([{"action": "lost", "match": "^POST"}])
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").upload_from_string("bytes", if_generation_match=0, retry=QUICK)
    assert bucket.blob("a").download_as_bytes() == b"bytes"


def test_a_download_can_break_off(emulator: GcsEmulator, bucket: gcs.Bucket, http: httpx.Client) -> None:
    """A body that breaks off in the middle is an error, never a short object."""
    bucket.blob("a").upload_from_string(b"x" * 100_000)
    emulator.faults([{"action": "truncate", "match": "^GET"}])
    with pytest.raises(httpx.TransportError):
        http.get(f"/{bucket.name}/a")


def test_faults_are_seeded(emulator: GcsEmulator, http: httpx.Client, name: str) -> None:
    """The same seed strikes the same requests again."""

    def run(seed: int) -> list[int]:
        emulator.faults([{"action": "503", "times": None, "probability": 0.5, "seed": seed}])
        return [http.head(f"/{name}").status_code for _ in range(40)]

    first = run(7)
    assert set(first) == {200, 503}
    assert run(7) == first
    assert run(8) != first


def test_a_fault_that_is_none_is_refused(emulator: GcsEmulator) -> None:
    """A rule with an unknown action or field is 400."""
    for rule in ({"action": "explode"}, {"action": "503", "often": True}):
        with pytest.raises(HTTPError, match="400"):
            emulator.faults([rule])


def test_idle_and_slow_clients_block_nobody(emulator: GcsEmulator, http: httpx.Client, name: str) -> None:
    """Connections that say nothing, or that stop in the middle of a body, hold nobody up and leave no object."""
    address = (urlsplit(emulator.url).hostname, urlsplit(emulator.url).port)
    idle = [socket.create_connection(address) for _ in range(30)]
    try:
        for one in idle[::2]:
            one.sendall(f"PUT /{name}/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode())
        assert http.put(f"/{name}/quick", content=b"x").status_code == 200
        assert http.get(f"/{name}/quick").content == b"x"
    finally:
        for one in idle:
            one.close()
    assert http.get(f"/{name}/slow").status_code == 404


def test_a_restart_finds_everything_and_the_end_is_certain(tmp_path: Path) -> None:
    """Bytes, generations and buckets outlive the process, generations go on rising, and after the block nothing listens."""
    with GcsEmulator(tmp_path) as emulator:
        emulator.create_bucket("kept")
        written = httpx.put(f"{emulator.url}/kept/a/b", content=b"bytes", trust_env=False).headers["x-goog-generation"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(emulator.url, trust_env=False)
    with GcsEmulator(tmp_path) as emulator:
        answer = httpx.get(f"{emulator.url}/kept/a/b", trust_env=False)
        assert (answer.content, answer.headers["x-goog-generation"]) == (b"bytes", written)
        again = httpx.put(f"{emulator.url}/kept/a/b", content=b"new", trust_env=False).headers["x-goog-generation"]
        assert int(again) > int(written)


def test_the_emulator_ends_with_its_parent(tmp_path: Path) -> None:
    """When the parent dies without a word, so does the emulator."""
    code = (
        "import os, pathlib, sys\n"
        "from integration_assets_tests.gcs.process import GcsEmulator\n"
        "print(GcsEmulator(pathlib.Path(sys.argv[1])).__enter__().url, flush=True)\n"
        "os._exit(0)\n"
    )
    root = Path(__file__).parents[2]
    # The emulator inherits standard error: its end is seen only once the emulator too is gone.
    parent = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    with pytest.raises(httpx.ConnectError):
        httpx.get(parent.stdout.strip(), trust_env=False)
