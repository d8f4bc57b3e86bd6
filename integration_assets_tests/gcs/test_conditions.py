"""Preconditions hold on every verb of both APIs, also among racing writers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import google.cloud.storage as gcs
import httpx
import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed

from integration_assets_tests.gcs.process import GcsEmulator

RACERS = 20
STALE = 17


def race(run: Callable[[int], int]) -> list[int]:
    """Run a request from 20 threads at once; give their statuses."""
    barrier = Barrier(RACERS)

    def one(racer: int) -> int:
        barrier.wait()
        return run(racer)

    with ThreadPoolExecutor(RACERS) as pool:
        return sorted(pool.map(one, range(RACERS)))


@pytest.mark.parametrize("api", ["json", "xml"])
def test_one_of_twenty_create_only_writers_wins(emulator: GcsEmulator, http: httpx.Client, name: str, api: str) -> None:
    """Of 20 racing writers that want to create an object exactly one does, and its bytes are the ones that stay."""
    racers = [httpx.Client(base_url=emulator.url, trust_env=False) for _ in range(RACERS)]
    for racer in racers:
        racer.head(f"/{name}")  # connected before the race begins

    def put(racer: int) -> int:
        if api == "xml":
            headers = {"x-goog-if-generation-match": "0"}
            answer = racers[racer].put(f"/{name}/{target}", content=bytes([racer]), headers=headers)
        else:
            url = f"/upload/storage/v1/b/{name}/o?uploadType=media&name={target}&ifGenerationMatch=0"
            answer = racers[racer].post(url, content=bytes([racer]))
        if answer.status_code == 200:
            winners.append(racer)
        return answer.status_code

    for lap in range(10):
        target = f"log/{lap}.json"
        winners: list[int] = []
        assert race(put) == [200] + [412] * (RACERS - 1)
        assert list(http.get(f"/{name}/{target}").content) == winners
    for racer in racers:
        racer.close()


def test_one_of_twenty_conditional_overwriters_wins(emulator: GcsEmulator, bucket: gcs.Bucket) -> None:
    """Of 20 writers that all saw the same generation exactly one replaces it."""
    blob = bucket.blob("state.json")
    blob.upload_from_string("0")
    seen = blob.generation

    def put(racer: int) -> int:
        client = emulator.client()
        try:
            client.bucket(bucket.name).blob("state.json").upload_from_string(str(racer), if_generation_match=seen)
        except PreconditionFailed:
            return 412
        else:
            return 200
        finally:
            client.close()

    assert race(put) == [200] + [412] * (RACERS - 1)


@pytest.mark.parametrize(
    ("method", "path", "parameters"),
    [
        ("GET", "/storage/v1/b/{b}/o/a", ""),
        ("GET", "/storage/v1/b/{b}/o/a", "alt=media"),
        ("GET", "/download/storage/v1/b/{b}/o/a", "alt=media"),
        ("PATCH", "/storage/v1/b/{b}/o/a", ""),
        ("PUT", "/storage/v1/b/{b}/o/a", ""),
        ("DELETE", "/storage/v1/b/{b}/o/a", ""),
        ("POST", "/upload/storage/v1/b/{b}/o", "uploadType=media&name=a"),
        ("POST", "/upload/storage/v1/b/{b}/o", "uploadType=resumable&name=a"),
        ("POST", "/storage/v1/b/{b}/o/z/copyTo/b/{b}/o/a", ""),
        ("POST", "/storage/v1/b/{b}/o/z/rewriteTo/b/{b}/o/a", ""),
        ("POST", "/storage/v1/b/{b}/o/z/moveTo/o/a", ""),
        ("POST", "/storage/v1/b/{b}/o/a/compose", ""),
    ],
)
def test_every_verb_of_the_json_api_heeds_its_conditions(
    http: httpx.Client, bucket: gcs.Bucket, method: str, path: str, parameters: str
) -> None:
    """A match that does not hold is 412, a "not match" that does not hold is 304, and neither changes anything."""
    bucket.blob("z").upload_from_string("source")
    blob = bucket.blob("a")
    blob.upload_from_string("bytes")

    def send(condition: str) -> int:
        body = {"sourceObjects": [{"name": "z"}]} if path.endswith("compose") else {}
        url = f"{path.format(b=bucket.name)}?{parameters}&{condition}"
        return http.request(method, url, json=body if method != "GET" else None).status_code

    assert send(f"ifGenerationMatch={STALE}") == 412
    assert send("ifGenerationMatch=0") == 412
    assert send("ifMetagenerationMatch=2") == 412
    assert send(f"ifGenerationNotMatch={blob.generation}") == 304
    assert send("ifMetagenerationNotMatch=1") == 304
    assert send("ifGenerationMatch=yesterday") == 400
    before = blob.generation
    blob.reload()
    assert (blob.generation, blob.metageneration, blob.download_as_bytes()) == (before, 1, b"bytes")
    assert bucket.blob("z").exists()
    assert send(f"ifGenerationMatch={before}&ifMetagenerationMatch=1&ifGenerationNotMatch={STALE}") < 300


def test_conditions_on_the_source_of_a_copy(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """A copy, a move and a composition fail when the source is not the one that was seen."""
    blob = bucket.blob("a")
    blob.upload_from_string("bytes")
    base = f"/storage/v1/b/{bucket.name}/o"
    for verb in (f"copyTo/b/{bucket.name}/o/c", f"rewriteTo/b/{bucket.name}/o/c", "moveTo/o/c"):
        assert http.post(f"{base}/a/{verb}?ifSourceGenerationMatch={STALE}").status_code == 412
        assert http.post(f"{base}/a/{verb}?ifSourceGenerationNotMatch={blob.generation}").status_code == 304
        assert http.post(f"{base}/a/{verb}?sourceGeneration={STALE}").status_code == 404
    wrong = {"sourceObjects": [{"name": "a", "objectPreconditions": {"ifGenerationMatch": str(STALE)}}]}
    assert http.post(f"{base}/c/compose", json=wrong).status_code == 412
    assert http.post(f"{base}/c/compose", json={"sourceObjects": [{"name": "a", "generation": str(STALE)}]}).status_code == 404
    assert not bucket.blob("c").exists()


def test_the_xml_api_heeds_its_conditions(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """GET, HEAD, PUT, copy and DELETE answer 412 or 304 by generation, tag and instant."""
    blob = bucket.blob("a")
    blob.upload_from_string("bytes")
    url = f"/{bucket.name}/a"
    head = http.head(url).headers
    tag, modified = head["etag"], head["last-modified"]
    stale = {"x-goog-if-generation-match": str(STALE)}

    def status(method: str, headers: dict[str, str], path: str = url) -> int:
        return http.request(method, path, headers=headers).status_code

    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert status(method, stale) == 412
        assert status(method, {"x-goog-if-metageneration-match": "9"}) == 412
        assert status(method, {"if-match": '"other"'}) == 412
    for method in ("GET", "HEAD"):
        assert status(method, {"if-none-match": tag}) == 304
        assert status(method, {"if-modified-since": modified}) == 304
        assert status(method, {"if-unmodified-since": "Thu, 01 Jan 2015 00:00:00 GMT"}) == 412
        assert status(method, {"if-match": tag}) == 200
    copy = {"x-goog-copy-source": f"{bucket.name}/a"}
    assert status("PUT", copy | {"x-goog-copy-source-if-generation-match": str(STALE)}, f"/{bucket.name}/b") == 412
    assert status("PUT", copy | {"x-goog-if-generation-match": "0"}, url) == 412
    assert status("PUT", copy | {"x-goog-if-generation-match": "0"}, f"/{bucket.name}/b") == 200
    assert status("DELETE", {"x-goog-if-generation-match": str(blob.generation)}) == 204


def test_a_generation_that_is_no_longer_live_is_not_found(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """Reading, changing or deleting by generation never reaches another generation's bytes."""
    blob = bucket.blob("a")
    blob.upload_from_string("first")
    old = blob.generation
    blob.upload_from_string("second")
    assert blob.generation > old
    with pytest.raises(NotFound):
        bucket.blob("a", generation=old).download_as_bytes()
    with pytest.raises(NotFound):
        bucket.blob("a", generation=old).delete()
    assert http.get(f"/{bucket.name}/a?generation={old}").status_code == 404
    assert http.delete(f"/{bucket.name}/a?generation={old}").status_code == 404
    assert bucket.blob("a", generation=blob.generation).download_as_bytes() == b"second"


def test_a_condition_on_nothing(bucket: gcs.Bucket) -> None:
    """Writing with the generation of an object that is gone is 412, reading or deleting it is 404."""
    with pytest.raises(PreconditionFailed):
        bucket.blob("gone").upload_from_string("x", if_generation_match=STALE)
    with pytest.raises(NotFound):
        bucket.blob("gone").delete(if_generation_match=STALE)
    with pytest.raises(NotFound):
        bucket.blob("gone").download_as_bytes(if_generation_match=STALE)
