"""The JSON API: buckets, objects, and what leads to an upload or a download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from integration_assets_tests.gcs.conditions import Conditions, from_query, number
from integration_assets_tests.gcs.download import download
from integration_assets_tests.gcs.errors import bad_request, not_emulated
from integration_assets_tests.gcs.listing import MOST, Asked, list_page
from integration_assets_tests.gcs.resource import Fields, bucket_fields, bucket_json, merge, object_fields, object_json
from integration_assets_tests.gcs.store import Store
from integration_assets_tests.gcs.uploads import Sessions, upload
from integration_assets_tests.gcs.wire import Answer, Request, json_answer
from integration_assets_tests.gcs.writing import write

_MOST_SOURCES = 32
_CHUNK = 1 << 20
_CONDITIONS = {
    f"if{kind}{what}{sort}"
    for kind in ("", "Source")
    for what in ("Generation", "Metageneration")
    for sort in ("Match", "NotMatch")
}
# Any other parameter is refused: a client that sends it relies on something that would not happen.
_KNOWN = _CONDITIONS | {
    *("alt", "fields", "prettyPrint", "projection", "project", "userProject", "quotaUser", "key", "userIp", "uploadType"),
    *("name", "upload_id", "generation", "sourceGeneration", "prefix", "delimiter", "startOffset", "endOffset"),
    *("maxResults", "pageToken", "includeTrailingDelimiter", "permissions"),
    # True answers as they are: no generation but the live one is ever kept, there are no folders and no retention.
    *("versions", "includeFoldersAsPrefixes", "enableObjectRetention"),
}


def answer(store: Store, sessions: Sessions, request: Request) -> Answer:  # noqa: C901, PLR0911  (a table of paths)
    """Answer a request whose path begins with /storage, /download or /upload; raises `Refusal`."""
    unknown = sorted(request.query.keys() - _KNOWN)
    if unknown or request.query.get("enableObjectRetention", "false") != "false":
        raise not_emulated(f"the parameter {unknown[0] if unknown else 'enableObjectRetention'}")
    if request.method == "HEAD":  # the server keeps the body back
        request = replace(request, method="GET")
    match request.parts:
        case ("upload", "storage", "v1", "b", bucket, "o"):
            return upload(store, sessions, request, bucket)
        case ("storage", "v1", "b"):
            return _buckets(store, request)
        case ("storage", "v1", "b", bucket):
            return _bucket(store, request, bucket)
        case ("storage", "v1", "b", bucket, "iam", "testPermissions") if request.method == "GET":
            return _permissions(store, request, bucket)
        case ("storage", "v1", "b", bucket, "o") if request.method == "GET":
            return _list(store, request, bucket)
        case ("storage", "v1", "b", bucket, "o", name):
            return _object(store, request, bucket, name)
        case ("download", "storage", "v1", "b", bucket, "o", name) if request.method == "GET":
            return download(store, request, bucket, name, from_query(request.query, request.headers), xml=False)
        case ("storage", "v1", "b", bucket, "o", name, "compose") if request.method == "POST":
            return _compose(store, request, bucket, name)
        case ("storage", "v1", "b", bucket, "o", name, ("copyTo" | "rewriteTo") as verb, "b", to, "o", to_name):
            return _copy(store, request, (bucket, name), (to, to_name), verb)
        case ("storage", "v1", "b", bucket, "o", name, "moveTo", "o", to_name) if request.method == "POST":
            return _move(store, request, bucket, name, to_name)
    raise not_emulated(f"{request.method} /{'/'.join(request.parts)}")


def _buckets(store: Store, request: Request) -> Answer:
    if request.method == "POST":
        given = request.json()
        bucket = store.create_bucket(str(given.get("name")), str(given.get("location") or "US"), bucket_fields(given))
        return json_answer(bucket_json(bucket, request.base))
    limit = max(1, number(request.query, "maxResults") or MOST)
    found = store.buckets(request.query.get("pageToken", ""), request.query.get("prefix", ""), limit + 1)
    page: Fields = {"kind": "storage#buckets", "items": [bucket_json(bucket, request.base) for bucket in found[:limit]]}
    if len(found) > limit:
        page["nextPageToken"] = found[limit - 1].name
    return json_answer(page)


def _bucket(store: Store, request: Request, name: str) -> Answer:
    conditions = from_query(request.query, request.headers)
    if request.method == "GET":
        bucket = store.bucket(name, conditions)
    elif request.method == "DELETE":
        store.delete_bucket(name, conditions)
        return Answer(204)
    else:
        bucket = store.patch_bucket(name, _change(request, bucket_fields), conditions)
    return json_answer(bucket_json(bucket, request.base))


def _permissions(store: Store, request: Request, name: str) -> Answer:
    """Grant all that is asked about: who may not touch the bucket is refused like everywhere else."""
    store.bucket(name, Conditions())
    granted = request.query.get("permissions", "").split(",")
    return json_answer({"kind": "storage#testIamPermissionsResponse", "permissions": granted})


def _change(request: Request, choose: Callable[[Fields], Fields]) -> Callable[[Fields], Fields]:
    """Give what PATCH (merge) or PUT (replace) does to the fields."""
    given = choose(request.json())
    if request.method == "PATCH":
        return partial(_merged, given)
    if request.method == "PUT":
        return lambda _: merge({}, given)
    raise not_emulated(f"{request.method} on metadata")


def _merged(given: Fields, fields: Fields) -> Fields:
    return merge(fields, given)


def _list(store: Store, request: Request, bucket: str) -> Answer:
    query = request.query
    asked = Asked(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        start=query.get("startOffset", ""),
        end=query.get("endOffset", ""),
        token=query.get("pageToken", ""),
        limit=number(query, "maxResults") or MOST,
        trailing=query.get("includeTrailingDelimiter", "").lower() == "true",
    )
    page = list_page(store, bucket, asked)
    answer: Fields = {"kind": "storage#objects"}
    if page.objects:
        answer["items"] = [object_json(stored, request.base) for stored in page.objects]
    if page.prefixes:
        answer["prefixes"] = page.prefixes
    if page.token:
        answer["nextPageToken"] = page.token
    return json_answer(answer)


def _object(store: Store, request: Request, bucket: str, name: str) -> Answer:
    conditions = from_query(request.query, request.headers)
    generation = number(request.query, "generation")
    if request.method == "GET" and request.query.get("alt") == "media":
        return download(store, request, bucket, name, conditions, xml=False)
    if request.method == "GET":
        stored = store.find(bucket, name, generation, conditions)
    elif request.method == "DELETE":
        store.delete(bucket, name, generation, conditions)
        return Answer(204)
    else:
        stored = store.patch(bucket, name, generation, _change(request, object_fields), conditions)
    return json_answer(object_json(stored, request.base))


def _compose(store: Store, request: Request, bucket: str, name: str) -> Answer:
    given = request.json()
    sources = given.get("sourceObjects") or []
    if not 0 < len(sources) <= _MOST_SOURCES or given.get("deleteSourceObjects"):
        raise bad_request(f"A composition has 1 to {_MOST_SOURCES} sources.")
    opened = []
    try:
        for source in sources:
            match = (source.get("objectPreconditions") or {}).get("ifGenerationMatch")
            generation = source.get("generation")
            wanted = Conditions(None if match is None else int(match))
            opened.append(store.open(bucket, source["name"], int(generation) if generation else None, wanted))
        chunks = (chunk for _, file in opened for chunk in iter(partial(file.read, _CHUNK), b""))
        written = write(store.uploads, chunks)
    finally:
        for _, file in opened:
            file.close()
    fields = {"contentType": opened[0][0].fields.get("contentType")} | object_fields(given.get("destination") or {})
    parts = sum(stored.components or 1 for stored, _ in opened)
    stored = store.put(bucket, name, written, merge({}, fields), from_query(request.query, {}), parts)
    return json_answer(object_json(stored, request.base))


def _copy(store: Store, request: Request, source: tuple[str, str], to: tuple[str, str], verb: str) -> Answer:
    if request.method != "POST":
        raise not_emulated(f"{request.method} of a copy")
    given = object_fields(request.json())
    found = store.find(*source, number(request.query, "sourceGeneration"), from_query(request.query, {}, "ifSource"))
    stored = store.copy(found, *to, given or found.fields, from_query(request.query, {}))
    resource = object_json(stored, request.base)
    if verb == "copyTo":
        return json_answer(resource)
    size = str(stored.size)
    answer = {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": size,
        "objectSize": size,
        "done": True,
        "resource": resource,
    }
    return json_answer(answer)


def _move(store: Store, request: Request, bucket: str, name: str, to_name: str) -> Answer:
    if name == to_name:
        raise bad_request("Source and destination object names must be different.")
    found = store.find(bucket, name, number(request.query, "sourceGeneration"), from_query(request.query, {}, "ifSource"))
    return json_answer(object_json(store.move(found, to_name, from_query(request.query, {})), request.base))
