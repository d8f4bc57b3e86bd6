"""Objects: plain files, names, ranges, checksums, metadata, copies, compositions, batches."""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5

import google.cloud.storage as gcs
import httpx
import pytest
from google.api_core.exceptions import BadRequest, NotFound, PreconditionFailed, RequestRangeNotSatisfiable

from integration_assets_tests.gcs.process import GcsEmulator

ODD = ["p", "p/q", "p/q/r", "a//b", "dir/", "dir", "./x", "../x", "%self", "p/%self", "%empty", "ü/€ +?&#=%2F.txt", "l" * 900]


def test_an_object_is_a_plain_file(emulator: GcsEmulator, bucket: gcs.Bucket) -> None:
    """Another program finds the bytes at `<folder>/<bucket>/<object path>` and nothing else beside them."""
    bucket.blob("year=2013/part-0.parquet").upload_from_string(b"PAR1")
    folder = emulator.folder / bucket.name
    assert [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()] == ["year=2013/part-0.parquet"]
    assert (folder / "year=2013/part-0.parquet").read_bytes() == b"PAR1"
    bucket.blob("year=2013/part-0.parquet").delete()
    assert not any(folder.iterdir())


@pytest.mark.parametrize("names", [ODD, ODD[::-1]], ids=["forwards", "backwards"])
def test_every_name_is_an_object_of_its_own(
    emulator: GcsEmulator, http: httpx.Client, bucket: gcs.Bucket, names: list[str]
) -> None:
    """`p` and `p/q` and odder names live together, in whatever order they come, stay in the folder, and go again."""
    for name in names:
        bucket.blob(name).upload_from_string(f"bytes of {name}")
    assert [blob.name for blob in bucket.list_blobs()] == sorted(names, key=str.encode)
    for name in names:
        assert bucket.blob(name).download_as_text() == f"bytes of {name}"
    folder = emulator.folder / bucket.name
    assert sum(file.is_file() for file in folder.rglob("*")) == len(names)
    assert not (emulator.folder / "x").exists()
    for name in names[::2] + names[1::2]:
        bucket.blob(name).delete()
    assert not any(folder.iterdir())
    assert http.put(f"/{bucket.name}/line%0Afeed").status_code == 400


@pytest.mark.parametrize(
    ("header", "status", "body"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-2", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_ranges(http: httpx.Client, bucket: gcs.Bucket, header: str, status: int, body: bytes | None) -> None:
    """Both APIs give exactly the bytes of a range, of a suffix too, and 416 behind the end."""
    bucket.blob("digits").upload_from_string(b"0123456789")
    for url in (f"/{bucket.name}/digits", f"/storage/v1/b/{bucket.name}/o/digits?alt=media"):
        answer = http.get(url, headers={"range": header})
        assert answer.status_code == status
        assert body is None or answer.content == body
        if status == 206 and body:
            start = 10 - len(body) if header.startswith("bytes=-") else int(header[6])
            assert answer.headers["content-range"] == f"bytes {start}-{start + len(body) - 1}/10"
        if status == 416:
            assert answer.headers["content-range"] == "bytes */10"


def test_head_tells_what_get_would(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """HEAD on both APIs gives length and headers and no body, as a reader by ranges asks first."""
    bucket.blob("digits").upload_from_string(b"0123456789")
    for url in (f"/{bucket.name}/digits", f"/storage/v1/b/{bucket.name}/o/digits?alt=media"):
        head = http.head(url)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")
        assert head.headers["x-goog-generation"] == http.get(url).headers["x-goog-generation"]
    assert http.head(f"/{bucket.name}/missing").status_code == 404


def test_the_client_sees_ranges(bucket: gcs.Bucket) -> None:
    """google-cloud-storage reads ranges, and an empty object."""
    blob = bucket.blob("digits")
    blob.upload_from_string(b"0123456789")
    assert blob.download_as_bytes(start=2, end=4) == b"234"
    with pytest.raises(RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=10)
    blob.upload_from_string(b"")
    assert blob.download_as_bytes() == b""


def test_checksums_are_told_and_checked(bucket: gcs.Bucket, http: httpx.Client) -> None:
    """An object tells its MD5, its CRC32C and a tag; an upload whose checksum is wrong is refused and leaves nothing."""
    blob = bucket.blob("a")
    blob.upload_from_string(b"bytes", checksum="md5")
    assert blob.md5_hash == b64encode(md5(b"bytes", usedforsecurity=False).digest()).decode()
    assert blob.download_as_bytes(checksum="md5") == blob.download_as_bytes(checksum="crc32c") == b"bytes"
    headers = http.get(f"/{bucket.name}/a").headers
    assert headers["x-goog-hash"] == f"crc32c={blob.crc32c},md5={blob.md5_hash}"
    assert headers["x-goog-generation"] == str(blob.generation)
    assert headers["etag"] == f'"{md5(b"bytes", usedforsecurity=False).hexdigest()}"'
    assert headers["last-modified"].endswith("GMT")
    assert http.put(f"/{bucket.name}/b", content=b"other", headers={"content-md5": blob.md5_hash}).status_code == 400
    url = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=b"
    assert http.post(url, content=b"other", headers={"x-goog-hash": f"crc32c={blob.crc32c}"}).status_code == 400
    assert not bucket.blob("b").exists()


def test_a_reader_never_sees_half_a_write(http: httpx.Client, emulator: GcsEmulator, name: str) -> None:
    """While an object is overwritten again and again every read gets one whole version, with that version's headers."""
    url = f"{emulator.url}/{name}/hot"

    def overwrite(_: int) -> None:
        with httpx.Client(trust_env=False) as writer:
            for number in range(40):
                writer.put(url, content=bytes([number]) * (50_000 + number))

    http.put(url, content=b"first")
    generations = []
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(overwrite, number) for number in range(2)]
        while not all(writer.done() for writer in writers):
            answer = http.get(url)
            digest = b64encode(md5(answer.content, usedforsecurity=False).digest()).decode()
            assert f"md5={digest}" in answer.headers["x-goog-hash"]
            generations.append(int(answer.headers["x-goog-generation"]))
    assert [writer.result() for writer in writers] == [None, None]
    assert generations == sorted(generations)


def test_metadata_in_headers(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """What the XML API takes as headers the JSON API gives as metadata, and back, in any script."""
    headers = {b"content-type": b"text/csv", b"x-goog-meta-city": "Zürich".encode()}
    assert http.put(f"/{bucket.name}/a", headers=headers, content=b"x").status_code == 200
    blob = bucket.get_blob("a")
    assert (blob.content_type, blob.metadata) == ("text/csv", {"city": "Zürich"})
    assert http.head(f"/{bucket.name}/a").headers["x-goog-meta-city"].encode() == "Zürich".encode()


def test_metadata_is_merged_and_counted(bucket: gcs.Bucket) -> None:
    """A patch changes what it names, deletes what it sets to null, and raises the metageneration alone."""
    blob = bucket.blob("a")
    blob.metadata = {"kept": "1", "dropped": "2"}
    blob.upload_from_string("bytes", content_type="text/csv")
    generation = blob.generation
    blob.metadata = {"dropped": None, "added": "3"}
    blob.cache_control = "no-store"
    blob.patch(if_metageneration_match=1)
    again = bucket.get_blob("a")
    assert again.metadata == {"kept": "1", "added": "3"}
    assert (again.content_type, again.cache_control) == ("text/csv", "no-store")
    assert (again.generation, again.metageneration) == (generation, 2)
    with pytest.raises(PreconditionFailed):
        blob.patch(if_metageneration_match=1)
    again.metadata = {"only": "4"}
    again.update()
    assert bucket.get_blob("a").metadata == {"only": "4"}
    blob.upload_from_string("new bytes")
    assert blob.metageneration == 1


def test_copies_keep_bytes_and_metadata(client: gcs.Client, emulator: GcsEmulator, bucket: gcs.Bucket) -> None:
    """Copy, rewrite and move give a new generation of the same bytes; later writes touch only their own object."""
    emulator.create_bucket(f"{bucket.name}-other", "europe-west1")
    other = client.bucket(f"{bucket.name}-other")
    blob = bucket.blob("a")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("bytes", content_type="text/csv")
    copied = bucket.copy_blob(blob, other, "deep/copy", if_generation_match=0)
    assert copied.generation > blob.generation
    assert (copied.metadata, copied.content_type, copied.md5_hash) == ({"k": "v"}, "text/csv", blob.md5_hash)
    token, done, total = other.blob("rewritten").rewrite(copied)
    assert (token, done, total) == (None, 5, 5)
    blob.upload_from_string("changed")
    assert other.blob("deep/copy").download_as_bytes() == other.blob("rewritten").download_as_bytes() == b"bytes"
    moved = bucket.move_blob(blob, "moved")
    assert moved.download_as_bytes() == b"changed"
    assert [found.name for found in bucket.list_blobs()] == ["moved"]
    with pytest.raises(NotFound):
        bucket.copy_blob(blob, other, "nothing")


def test_compositions(bucket: gcs.Bucket) -> None:
    """A composition joins up to 32 objects in order, may contain its own target, and has no MD5."""
    for number in range(3):
        bucket.blob(f"part-{number}").upload_from_string(str(number), content_type="text/plain")
    whole = bucket.blob("whole")
    whole.compose([bucket.blob(f"part-{number}") for number in range(3)], if_generation_match=0)
    assert whole.download_as_bytes() == b"012"
    whole.compose([whole, bucket.blob("part-0")])
    whole.reload()
    assert (whole.download_as_bytes(), whole.component_count, whole.md5_hash) == (b"0120", 4, None)
    with pytest.raises(NotFound):
        whole.compose([bucket.blob("missing")])
    with pytest.raises(BadRequest):
        whole.compose([whole] * 33)


def test_batches(client: gcs.Client, bucket: gcs.Bucket) -> None:
    """A batch answers each of its requests: what can be deleted is, what cannot is told."""
    for name in ("a", "b", "c/d"):
        bucket.blob(name).upload_from_string(name)
    with client.batch(raise_exception=False) as batch:
        bucket.delete_blob("a")
        bucket.delete_blob("missing")
        bucket.delete_blob("c/d")
        bucket.blob("b").delete(if_generation_match=17)
    assert [answer.status_code for answer in batch._responses] == [204, 404, 204, 412]
    assert [blob.name for blob in bucket.list_blobs()] == ["b"]
    with client.batch():
        bucket.blob("b").metadata = {"k": "v"}
        bucket.blob("b").patch()


def test_what_is_not_emulated_is_refused(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """A parameter or field that would be ignored is 501, so that no client believes in it."""
    bucket.blob("a").upload_from_string("x")
    base = f"/storage/v1/b/{bucket.name}"
    assert http.get(f"{base}/o?matchGlob=**").status_code == 501
    assert http.patch(f"{base}/o/a", json={"temporaryHold": True}).status_code == 501
    assert http.patch(base, json={"versioning": {"enabled": True}}).status_code == 501
    assert http.get(f"/{bucket.name}?uploads").status_code == 501
