"""Uploads in pieces: resumable ones of the JSON API, multipart ones of the XML API."""

from __future__ import annotations

import os
from hashlib import md5
from io import BytesIO

import google.cloud.storage as gcs
import httpx
import pytest
from google.api_core.exceptions import PreconditionFailed
from google.cloud.storage.retry import DEFAULT_RETRY

from integration_assets_tests.gcs.process import GcsEmulator

QUANTUM = 256 * 1024
MIB = 1 << 20
PART = 5 * MIB
QUICK = DEFAULT_RETRY.with_delay(initial=0.01, maximum=0.05)


def begin(http: httpx.Client, bucket: gcs.Bucket, extra: str = "", **metadata: str) -> str:
    """Start a resumable upload of `big`; give its address."""
    answer = http.post(f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=big{extra}", json=metadata)
    assert answer.status_code == 200
    return answer.headers["location"]


def chunk(http: httpx.Client, address: str, data: bytes, start: int, total: str) -> httpx.Response:
    """Send one chunk."""
    return http.put(address, content=data, headers={"content-range": f"bytes {start}-{start + len(data) - 1}/{total}"})


def test_the_client_uploads_in_chunks(bucket: gcs.Bucket) -> None:
    """google-cloud-storage uploads by chunks of known and of unknown total size; no object is there before the end."""
    data = os.urandom(9 * MIB + 5)
    bucket.blob("known", chunk_size=4 * MIB).upload_from_string(data)
    with bucket.blob("unknown", chunk_size=MIB).open("wb", ignore_flush=True) as file:
        for start in range(0, len(data), MIB - 1):
            file.write(data[start : start + MIB - 1])
        assert not bucket.blob("unknown").exists()
    assert bucket.blob("known").download_as_bytes() == bucket.blob("unknown").download_as_bytes() == data


def test_a_resumable_upload_is_resumed(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """The server tells how much it holds, keeps whole multiples of 256 KiB, skips what it has and refuses a gap."""
    data = os.urandom(2 * QUANTUM + 100)
    address = begin(http, bucket)
    assert "range" not in http.put(address, headers={"content-range": "bytes */*"}).headers
    answer = chunk(http, address, data[: QUANTUM + 50], 0, "*")
    assert (answer.status_code, answer.headers["range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    assert chunk(http, address, data[QUANTUM + 50 :], QUANTUM + 50, str(len(data))).status_code == 400
    assert not bucket.blob("big").exists()
    answer = chunk(http, address, data[100:], 100, str(len(data)))
    assert (answer.status_code, answer.json()["size"]) == (200, str(len(data)))
    assert bucket.blob("big").download_as_bytes() == data
    assert (
        http.put(address, headers={"content-range": f"bytes */{len(data)}"}).json()["generation"] == answer.json()["generation"]
    )


def test_a_resumable_upload_survives_lost_answers(emulator: GcsEmulator, bucket: gcs.Bucket) -> None:
    """The client recovers when chunks fail or their answers are lost, and the bytes are right."""
    data = os.urandom(4 * QUANTUM + 5)
    client_file = BytesIO(data)  # of unknown size: otherwise the client sends so little at once
    emulator.faults([{"action": "lost", "match": "upload_id", "skip": 1}, {"action": "503", "match": "upload_id", "skip": 3}])
    bucket.blob("big", chunk_size=QUANTUM).upload_from_file(client_file, if_generation_match=0, retry=QUICK)
    assert emulator.fired() == [1, 1]
    assert bucket.blob("big").download_as_bytes() == data


def test_a_resumable_upload_checks_its_condition_at_the_end(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """Of two uploads begun on an absent object the second to end is refused."""
    first, second = (begin(http, bucket, "&ifGenerationMatch=0") for _ in range(2))
    assert http.put(first, content=b"one").status_code == 200
    assert http.put(second, content=b"two").status_code == 412
    assert bucket.blob("big").download_as_bytes() == b"one"
    with pytest.raises(PreconditionFailed):
        bucket.blob("big", chunk_size=QUANTUM).upload_from_file(BytesIO(b"x" * 2 * QUANTUM), if_generation_match=0)


def test_a_resumable_upload_checks_its_hash_and_can_be_cancelled(http: httpx.Client, bucket: gcs.Bucket) -> None:
    """A wrong checksum is 400, a cancelled upload 499 and then unknown; neither leaves an object."""
    assert http.put(begin(http, bucket, crc32c="AAAAAA=="), content=b"one").status_code == 400
    address = begin(http, bucket)
    assert http.delete(address).status_code == 499
    assert http.put(address, content=b"one").status_code == 404
    assert not bucket.blob("big").exists()


def test_multipart_uploads(http: httpx.Client, emulator: GcsEmulator, bucket: gcs.Bucket) -> None:
    """Parts may come in any order and again; wrong tags, small parts and strangers' ids are refused; the end joins them."""
    url = f"/{bucket.name}/big"
    uploads = emulator.folder / ".emulator/uploads"
    before = set(uploads.iterdir())
    upload = http.post(f"{url}?uploads", headers={"content-type": "text/csv"}).text.split("<UploadId>")[1].split("<")[0]
    bodies = {1: b"1" * PART, 2: b"2" * 10, 3: b"3"}

    def document(*numbers: int, tag: str = "") -> str:
        tags = {number: tag or md5(bodies[number], usedforsecurity=False).hexdigest() for number in numbers}
        parts = (f'<Part><PartNumber>{number}</PartNumber><ETag>"{tags[number]}"</ETag></Part>' for number in numbers)
        return f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>"

    for number in (2, 1, 3, 2):
        answer = http.put(f"{url}?partNumber={number}&uploadId={upload}", content=bodies[number])
        assert answer.headers["etag"].strip('"') in document(number)
    for wrong, code in (
        (document(1, 2, tag="00"), "InvalidPart"),
        (document(2, 1), "InvalidPartOrder"),
        (document(1, 2, 3), "EntityTooSmall"),
        ("<no", "MalformedCompleteMultipartUploadRequest"),
    ):
        answer = http.post(f"{url}?uploadId={upload}", content=wrong)
        assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (400, True)
    assert http.put(f"/{bucket.name}/other?partNumber=1&uploadId={upload}", content=b"x").status_code == 404
    assert not bucket.blob("big").exists()
    assert http.post(f"{url}?uploadId={upload}", content=document(1, 2)).status_code == 200
    blob = bucket.get_blob("big")
    assert (blob.download_as_bytes(), blob.content_type) == (bodies[1] + bodies[2], "text/csv")
    assert http.post(f"{url}?uploadId={upload}", content=document(1, 2)).status_code == 404
    assert set(uploads.iterdir()) == before, "parts and bodies are cleaned up"
