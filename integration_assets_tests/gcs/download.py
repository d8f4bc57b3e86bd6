"""Bytes of an object, whole or in part: the same for both APIs."""

from __future__ import annotations

from integration_assets_tests.gcs.conditions import Conditions, number
from integration_assets_tests.gcs.errors import Refusal
from integration_assets_tests.gcs.resource import object_headers
from integration_assets_tests.gcs.store import Store
from integration_assets_tests.gcs.wire import Answer, Request, Slice, cut


def download(store: Store, request: Request, bucket: str, name: str, conditions: Conditions, *, xml: bool) -> Answer:
    """Give the bytes that the Range header names; raises 404, 412, 304, 416."""
    stored, file = store.open(bucket, name, number(request.query, "generation"), conditions)
    headers = object_headers(stored, stored.xml_etag if xml else stored.json_etag)
    try:
        part = cut(request.headers.get("range"), stored.size)
    except Refusal:
        file.close()
        raise
    if part is None:
        return Answer(200, Slice(file, 0, stored.size), headers)
    offset, length = part
    return Answer(
        206, Slice(file, offset, length), headers | {"Content-Range": f"bytes {offset}-{offset + length - 1}/{stored.size}"}
    )
