"""The XML API's multipart uploads."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4
from xml.sax.saxutils import escape

from defusedxml import ElementTree

from integration_assets_tests.gcs.conditions import from_headers, number
from integration_assets_tests.gcs.errors import bad_request, no_upload
from integration_assets_tests.gcs.resource import Fields, fields_from_headers
from integration_assets_tests.gcs.store import Store
from integration_assets_tests.gcs.wire import Answer, Request, xml_answer
from integration_assets_tests.gcs.writing import Written, hashes_of, write

_LEAST = 5 << 20
_MOST = 10_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Multipart:
    """An upload under way: its object, and its parts by number."""

    bucket: str
    name: str
    fields: Fields
    parts: dict[int, Written] = field(default_factory=dict)


Multiparts = dict[str, Multipart]


def start(store: Store, uploads: Multiparts, request: Request, bucket: str, name: str) -> Answer:
    """Begin an upload (`POST ?uploads`)."""
    store.bucket(bucket)
    key = uuid4().hex
    uploads[key] = Multipart(bucket, name, fields_from_headers(request.headers))
    inner = f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(name)}</Key><UploadId>{key}</UploadId>"
    return xml_answer("InitiateMultipartUploadResult", inner)


def put_part(store: Store, uploads: Multiparts, request: Request, bucket: str, name: str) -> Answer:
    """Take a part (`PUT ?partNumber=&uploadId=`); a part of the same number is replaced."""
    upload = _find(store, uploads, request, bucket, name)
    part = number(request.query, "partNumber") or 0
    if not 1 <= part <= _MOST:
        raise bad_request(f"Part number must be an integer between 1 and {_MOST}, inclusive")
    written = write(store.uploads, request.body)
    written.check(hashes_of(request.headers.get("x-goog-hash")))
    replaced, upload.parts[part] = upload.parts.get(part), written
    if replaced:
        replaced.path.unlink(missing_ok=True)
    return Answer(200, b"", {"ETag": f'"{_tag(written)}"', "x-goog-hash": f"crc32c={written.crc32c},md5={written.md5}"})


def complete(store: Store, uploads: Multiparts, request: Request, bucket: str, name: str) -> Answer:
    """Make one object of the listed parts (`POST ?uploadId=`); raises 400 for a part that is not so."""
    upload = _find(store, uploads, request, bucket, name)
    parts = [_listed(upload, part, tag) for part, tag in _wanted(b"".join(request.body))]
    if any(part.size < _LEAST for part in parts[:-1]):
        raise bad_request("Your proposed upload is smaller than the minimum allowed size", "EntityTooSmall")
    written = write(store.uploads, (chunk for part in parts for chunk in _chunks(part.path)))
    stored = store.put(bucket, name, written, upload.fields, from_headers(request.headers), len(parts))
    abort(store, uploads, request, bucket, name)
    inner = f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(name)}</Key><ETag>&quot;{stored.xml_etag}&quot;</ETag>"
    return xml_answer("CompleteMultipartUploadResult", inner, {"x-goog-generation": str(stored.generation)})


def abort(store: Store, uploads: Multiparts, request: Request, bucket: str, name: str) -> Answer:
    """Forget an upload and its parts (`DELETE ?uploadId=`)."""
    upload = _find(store, uploads, request, bucket, name)
    uploads.pop(request.query["uploadId"], None)
    for part in upload.parts.values():
        part.path.unlink(missing_ok=True)
    return Answer(204)


def _find(store: Store, uploads: Multiparts, request: Request, bucket: str, name: str) -> Multipart:
    store.bucket(bucket)
    upload = uploads.get(request.query["uploadId"])
    if upload is None or (upload.bucket, upload.name) != (bucket, name):
        raise no_upload()
    return upload


def _wanted(body: bytes) -> list[tuple[int, str]]:
    """Read number and tag of each part of a CompleteMultipartUpload document; raises 400 unless the numbers rise."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise bad_request("The XML you provided was not well-formed.", "MalformedCompleteMultipartUploadRequest") from error
    listed = [
        (int(part.findtext("{*}PartNumber", "0")), part.findtext("{*}ETag", "").strip('"')) for part in root.iterfind("{*}Part")
    ]
    numbers = [part for part, _ in listed]
    if not listed or numbers != sorted(set(numbers)):
        raise bad_request("The list of parts was not in ascending order.", "InvalidPartOrder")
    return listed


def _listed(upload: Multipart, part: int, tag: str) -> Written:
    written = upload.parts.get(part)
    if written is None or _tag(written) != tag:
        raise bad_request(f"One or more of the specified parts could not be found: {part}", "InvalidPart")
    return written


def _tag(written: Written) -> str:
    return b64decode(written.md5).hex()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
