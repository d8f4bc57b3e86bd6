"""Objects and buckets as the APIs write them: JSON resources, and headers of a download."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from integration_assets_tests.gcs.catalogue import Bucket, StoredObject
from integration_assets_tests.gcs.errors import bad_request, not_emulated

Fields = dict[str, Any]

HEADERS = {
    "contentType": "Content-Type",
    "contentEncoding": "Content-Encoding",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
    "cacheControl": "Cache-Control",
}
_OF_OBJECT = frozenset({*HEADERS, "metadata", "storageClass", "customTime"})
_OF_BUCKET = frozenset({"labels", "storageClass", "iamConfiguration"})
# What would change behaviour if it were done; everything else that is not ours is read-only and ignored, as it is there.
_REFUSED = frozenset({"temporaryHold", "eventBasedHold", "retention", "kmsKeyName", "customerEncryption", "contexts", "acl"})
_REFUSED_BUCKET = frozenset(
    {"versioning", "retentionPolicy", "lifecycle", "hierarchicalNamespace", "encryption", "defaultEventBasedHold", "billing"}
    | {"autoclass", "website", "cors", "logging", "acl", "defaultObjectAcl", "rpo", "customPlacementConfig", "ipFilter"}
)
_MULTI = frozenset({"US", "EU", "ASIA"})
_DUAL = frozenset({"EUR4", "NAM4", "ASIA1"})


def object_fields(given: Mapping[str, Any]) -> Fields:
    """Give the fields of an object that a client may set; raises 501 for one that would mean something."""
    return _chosen(given, _OF_OBJECT, _REFUSED)


def bucket_fields(given: Mapping[str, Any]) -> Fields:
    """Give the fields of a bucket that a client may set; raises 501 for one that would mean something."""
    return _chosen(given, _OF_BUCKET, _REFUSED_BUCKET)


def merge(fields: Fields, patch: Mapping[str, Any]) -> Fields:
    """Merge a patch (RFC 7396): null deletes, objects are merged, anything else replaces."""
    merged = dict(fields)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = merge(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def fields_from_headers(headers: Mapping[str, str]) -> Fields:
    """Read the fields of an object from the headers of an XML upload."""
    fields: Fields = {name: headers[header.lower()] for name, header in HEADERS.items() if header.lower() in headers}
    metadata = {name[12:]: value for name, value in headers.items() if name.startswith("x-goog-meta-")}
    refused = [name for name in headers if name.startswith(("x-goog-encryption-", "x-goog-object-lock", "x-goog-acl"))]
    if refused:
        raise not_emulated(refused[0])
    if "x-goog-storage-class" in headers:
        fields["storageClass"] = headers["x-goog-storage-class"]
    return fields | ({"metadata": metadata} if metadata else {})


def object_json(stored: StoredObject, base: str) -> Fields:
    """Write an object's resource."""
    bucket, name = quote(stored.bucket, safe=""), quote(stored.name, safe="")
    created = instant(stored.created)
    resource: Fields = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{base}/storage/v1/b/{bucket}/o/{name}",
        "mediaLink": f"{base}/download/storage/v1/b/{bucket}/o/{name}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        "size": str(stored.size),
        "crc32c": stored.crc32c,
        "etag": stored.json_etag,
        "timeCreated": created,
        "timeFinalized": created,
        "timeStorageClassUpdated": created,
        "updated": instant(stored.updated),
    }
    if stored.md5:
        resource["md5Hash"] = stored.md5
    if stored.components is not None:
        resource["componentCount"] = stored.components
    return resource | stored.fields


def bucket_json(bucket: Bucket, base: str) -> Fields:
    """Write a bucket's resource."""
    kind = "multi-region" if bucket.location in _MULTI else "dual-region" if bucket.location in _DUAL else "region"
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "selfLink": f"{base}/storage/v1/b/{bucket.name}",
        "projectNumber": "0",
        "location": bucket.location,
        "locationType": kind,
        "storageClass": "STANDARD",
        "metageneration": str(bucket.metageneration),
        "etag": next(iter(bucket.etags)),
        "timeCreated": instant(bucket.created),
        "updated": instant(bucket.updated),
    } | bucket.fields


def object_headers(stored: StoredObject, tag: str) -> dict[str, str]:
    """Give the headers of a download; `tag` without its quotes."""
    fields = {header: str(stored.fields[name]) for name, header in HEADERS.items() if stored.fields.get(name)}
    metadata = {f"x-goog-meta-{name}": value for name, value in stored.fields.get("metadata", {}).items()}
    md5 = f",md5={stored.md5}" if stored.md5 else ""
    return {
        "Content-Type": "application/octet-stream",
        "ETag": f'"{tag}"',
        "Last-Modified": format_datetime(stored.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "x-goog-generation": str(stored.generation),
        "x-goog-metageneration": str(stored.metageneration),
        "x-goog-hash": f"crc32c={stored.crc32c}{md5}",
        "x-goog-stored-content-length": str(stored.size),
        "x-goog-stored-content-encoding": stored.fields.get("contentEncoding", "identity"),
        "x-goog-storage-class": stored.fields.get("storageClass", "STANDARD"),
        **fields,
        **metadata,
    }


def instant(micros: int) -> str:
    """Write an instant in milliseconds, as `2026-01-02T03:04:05.678Z`."""
    return f"{datetime.fromtimestamp(micros / 1_000_000, UTC):%Y-%m-%dT%H:%M:%S}.{micros // 1000 % 1000:03}Z"


def _chosen(given: Mapping[str, Any], ours: frozenset[str], refused: frozenset[str]) -> Fields:
    for name in refused & given.keys():
        value = given[name]
        if any(value.values()) if isinstance(value, dict) else value:
            raise not_emulated(f"the field {name}")
    metadata = given.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(value is None or isinstance(value, str) for value in metadata.values()):
        raise bad_request("Metadata values must be strings.")
    return {name: value for name, value in given.items() if name in ours}
