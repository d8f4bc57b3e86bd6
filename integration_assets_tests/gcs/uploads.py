"""The JSON API's three ways to upload: media, multipart/related and resumable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import quote
from uuid import uuid4

from integration_assets_tests.gcs.catalogue import StoredObject
from integration_assets_tests.gcs.conditions import Conditions, from_query
from integration_assets_tests.gcs.errors import Refusal, bad_request, no_upload
from integration_assets_tests.gcs.resource import Fields, object_fields, object_json
from integration_assets_tests.gcs.store import Store
from integration_assets_tests.gcs.wire import Answer, Request, json_answer, parse_json
from integration_assets_tests.gcs.writing import Writing, hashes_of, write

_QUANTUM = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')


@dataclass(slots=True)
class Session:
    """A resumable upload; `done` is its object once it is complete."""

    bucket: str
    name: str
    fields: Fields
    hashes: dict[str, str]
    conditions: Conditions
    declared: int | None
    writing: Writing
    done: StoredObject | None = None
    lock: Lock = field(default_factory=Lock)


Sessions = dict[str, Session]


def upload(store: Store, sessions: Sessions, request: Request, bucket: str) -> Answer:
    """Answer a request to `/upload/storage/v1/b/<bucket>/o`."""
    if "upload_id" in request.query:
        return _resume(store, sessions, request)
    store.bucket(bucket)
    kind = request.query.get("uploadType", "")
    if kind == "resumable":
        return _start(store, sessions, request, bucket)
    metadata: Fields = {}
    body: Iterator[bytes] = request.body
    if kind == "multipart":
        metadata, content_type, data = _related(b"".join(request.body), request.headers.get("content-type", ""))
        body = iter([data])
    elif kind == "media":
        content_type = request.headers.get("content-type", "")
    else:
        raise bad_request(f"Unknown uploadType: {kind!r}")
    name, fields, hashes = _described(request, metadata, content_type)
    written = write(store.uploads, body)
    written.check(hashes)
    return json_answer(object_json(store.put(bucket, name, written, fields, from_query(request.query, {})), request.base))


def _described(request: Request, metadata: Mapping[str, object], content_type: str) -> tuple[str, Fields, dict[str, str]]:
    """Give name, fields and expected checksums of an upload."""
    fields = object_fields(metadata)
    if content_type:
        fields.setdefault("contentType", content_type)
    hashes = hashes_of(request.headers.get("x-goog-hash"))
    hashes |= {kind: str(metadata[name]) for name, kind in (("crc32c", "crc32c"), ("md5Hash", "md5")) if metadata.get(name)}
    return request.query.get("name") or str(metadata.get("name") or ""), fields, hashes


def _related(body: bytes, content_type: str) -> tuple[Fields, str, bytes]:
    """Split a multipart/related body in its metadata, content type and bytes; lines may end in LF alone."""
    boundary = _BOUNDARY.search(content_type)
    if not boundary:
        raise bad_request("Missing multipart boundary.")
    mark = b"--" + boundary[1].encode()
    start, end = body.find(mark), body.rfind(mark + b"--")
    line = b"\r\n" if body[start + len(mark) :].startswith(b"\r\n") else b"\n"
    pieces = body[start + len(mark) + len(line) : end - len(line)].split(line + mark + line, 1)
    if start < 0 or end < 0 or len(pieces) != 2:
        raise bad_request("A multipart upload has exactly two parts.")
    _, _, text = pieces[0].partition(line * 2)
    head, _, content = pieces[1].partition(line * 2)
    kinds = [part.split(b":", 1)[1].strip().decode() for part in head.split(line) if part.lower().startswith(b"content-type:")]
    return parse_json(text), kinds[0] if kinds else "", content


def _start(store: Store, sessions: Sessions, request: Request, bucket: str) -> Answer:
    name, fields, hashes = _described(request, request.json(), request.headers.get("x-upload-content-type", ""))
    conditions = from_query(request.query, {})
    store.check(bucket, name, conditions)
    declared = request.headers.get("x-upload-content-length")
    key = uuid4().hex
    length = int(declared) if declared else None
    sessions[key] = Session(bucket, name, fields, hashes, conditions, length, Writing(store.uploads))
    path = f"{request.base}/upload/storage/v1/b/{quote(bucket)}/o?uploadType=resumable&upload_id={key}"
    return Answer(200, b"", {"Location": path, "X-GUploader-UploadID": key})


def _resume(store: Store, sessions: Sessions, request: Request) -> Answer:
    key = request.query["upload_id"]
    session = sessions.get(key)
    if session is None:
        raise no_upload()
    with session.lock:
        if session.done:
            return json_answer(object_json(session.done, request.base))
        if request.method == "DELETE":
            session.writing.discard()
            del sessions[key]
            return Answer(499)
        session.hashes |= hashes_of(request.headers.get("x-goog-hash"))
        if not _append(session, request):
            persisted = session.writing.size
            return Answer(308, b"", {"Range": f"bytes=0-{persisted - 1}"} if persisted else {})
        written = session.writing.finish()
        try:
            written.check(session.hashes)
            session.done = store.put(session.bucket, session.name, written, session.fields, session.conditions)
        except Refusal:
            del sessions[key]
            raise
        return json_answer(object_json(session.done, request.base))


def _append(session: Session, request: Request) -> bool:
    """Append what is new in a chunk; give whether the body is complete now."""
    header = request.headers.get("content-range")
    match = _CONTENT_RANGE.fullmatch(header or "bytes 0-0/*")
    if not match:
        raise bad_request(f"Invalid Content-Range: {header}")
    first, last, whole = match.groups()
    total = None if whole == "*" else int(whole)
    if total is not None and session.declared not in (None, total):
        raise bad_request(f"The upload was declared to have {session.declared} bytes, not {total}.")
    if first is None:
        return total == session.writing.size
    size = session.writing.size
    if int(first) > size:
        raise bad_request(f"Invalid request. There were {size} bytes persisted; the chunk begins at {first}.")
    stop = int(last) + 1
    if header is None:
        stop, final = -1, True
    else:
        final = stop == total
        if not final:
            stop -= stop % _QUANTUM  # as there: what is over a multiple of 256 KiB is not kept
    at = int(first)
    for chunk in request.body:
        begin = max(0, session.writing.size - at)
        end = len(chunk) if stop < 0 else min(len(chunk), stop - at)
        if begin < end:
            session.writing.add(chunk[begin:end])
        at += len(chunk)
    if header is not None and at != int(last) + 1:
        raise bad_request("The body is not as long as its Content-Range says.")
    return final
