"""The XML API, as object_store (delta-rs, obstore) speaks it."""

from __future__ import annotations

from urllib.parse import unquote
from xml.sax.saxutils import escape

from integration_assets_tests.gcs import parts
from integration_assets_tests.gcs.catalogue import StoredObject
from integration_assets_tests.gcs.conditions import from_headers, number
from integration_assets_tests.gcs.download import download
from integration_assets_tests.gcs.errors import bad_request, not_emulated
from integration_assets_tests.gcs.listing import MOST, Asked, list_page
from integration_assets_tests.gcs.parts import Multiparts
from integration_assets_tests.gcs.resource import fields_from_headers, instant, object_headers
from integration_assets_tests.gcs.store import Store
from integration_assets_tests.gcs.wire import Answer, Request, xml_answer
from integration_assets_tests.gcs.writing import hashes_of, write

_KNOWN = frozenset(
    {"list-type", "prefix", "delimiter", "continuation-token", "start-after", "max-keys", "fetch-owner"}
    | {"generation", "uploads", "uploadId", "partNumber"}
)


def answer(store: Store, uploads: Multiparts, request: Request) -> Answer:
    """Answer a request to `/<bucket>` or `/<bucket>/<object>`; raises `Refusal`."""
    unknown = sorted(request.query.keys() - _KNOWN)
    if unknown:
        raise not_emulated(f"the parameter {unknown[0]}")
    bucket, name = request.parts[0], "/".join(request.parts[1:])
    if not bucket:
        raise not_emulated("a list of buckets in XML")
    if name:
        return _object(store, uploads, request, bucket, name)
    if request.method == "GET" and request.query.get("list-type") == "2":
        return _list(store, request, bucket)
    if request.method == "HEAD":
        store.bucket(bucket)
        return Answer(200)
    raise not_emulated(f"{request.method} of a bucket in XML")


def _object(  # noqa: PLR0911  (a table of verbs)
    store: Store, uploads: Multiparts, request: Request, bucket: str, name: str
) -> Answer:
    multipart = "uploadId" in request.query
    match request.method:
        case "GET" | "HEAD" if not multipart:
            return download(store, request, bucket, name, from_headers(request.headers), xml=True)
        case "POST" if "uploads" in request.query:
            return parts.start(store, uploads, request, bucket, name)
        case "POST" if multipart:
            return parts.complete(store, uploads, request, bucket, name)
        case "PUT" if multipart:
            return parts.put_part(store, uploads, request, bucket, name)
        case "PUT" if "x-goog-copy-source" in request.headers:
            return _copy(store, request, bucket, name)
        case "PUT":
            return _put(store, request, bucket, name)
        case "DELETE" if multipart:
            return parts.abort(store, uploads, request, bucket, name)
        case "DELETE":
            store.delete(bucket, name, number(request.query, "generation"), from_headers(request.headers))
            return Answer(204)
    raise not_emulated(f"{request.method} of an object in XML")


def _put(store: Store, request: Request, bucket: str, name: str) -> Answer:
    conditions = from_headers(request.headers)
    store.check(bucket, name, conditions)
    fields = fields_from_headers(request.headers)
    written = write(store.uploads, request.body)
    expected = hashes_of(request.headers.get("x-goog-hash"))
    if "content-md5" in request.headers:
        expected["md5"] = request.headers["content-md5"]
    written.check(expected)
    return Answer(200, b"", _written(store.put(bucket, name, written, fields, conditions)))


def _copy(store: Store, request: Request, bucket: str, name: str) -> Answer:
    if request.headers.get("x-goog-metadata-directive", "COPY").upper() != "COPY":
        raise not_emulated("a copy with other metadata in XML")
    source_bucket, _, source_name = unquote(request.headers["x-goog-copy-source"]).lstrip("/").partition("/")
    generation = number(request.headers, "x-goog-copy-source-generation")
    found = store.find(source_bucket, source_name, generation, from_headers(request.headers, "copy-source-"))
    stored = store.copy(found, bucket, name, found.fields, from_headers(request.headers))
    inner = f"<LastModified>{instant(stored.created)}</LastModified><ETag>&quot;{stored.xml_etag}&quot;</ETag>"
    return xml_answer("CopyObjectResult", inner, {"x-goog-generation": str(stored.generation)})


def _written(stored: StoredObject) -> dict[str, str]:
    headers = object_headers(stored, stored.xml_etag)
    kept = ("ETag", "x-goog-generation", "x-goog-metageneration", "x-goog-hash", "x-goog-stored-content-length")
    return {name: headers[name] for name in kept}


def _list(store: Store, request: Request, bucket: str) -> Answer:
    query = request.query
    limit = MOST if "max-keys" not in query else number(query, "max-keys")
    if not limit:
        raise bad_request("max-keys must be at least 1")
    asked = Asked(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        after=query.get("start-after", ""),
        token=query.get("continuation-token", ""),
        limit=limit,
    )
    page = list_page(store, bucket, asked)
    inner = f"<Name>{escape(bucket)}</Name><Prefix>{escape(asked.prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>"
    inner += (
        f"<KeyCount>{len(page.objects) + len(page.prefixes)}</KeyCount><IsTruncated>{str(bool(page.token)).lower()}</IsTruncated>"
    )
    if page.token:
        inner += f"<NextContinuationToken>{page.token}</NextContinuationToken>"
    inner += "".join(_entry(stored) for stored in page.objects)
    inner += "".join(f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>" for prefix in page.prefixes)
    return xml_answer("ListBucketResult", inner)


def _entry(stored: StoredObject) -> str:
    numbers = f"<Generation>{stored.generation}</Generation><MetaGeneration>{stored.metageneration}</MetaGeneration>"
    tag = f"<ETag>&quot;{stored.xml_etag}&quot;</ETag><Size>{stored.size}</Size>"
    modified = f"<LastModified>{instant(stored.created)}</LastModified>"
    return f"<Contents><Key>{escape(stored.name)}</Key>{numbers}{modified}{tag}</Contents>"
