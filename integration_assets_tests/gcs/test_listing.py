"""Lists in both APIs, against a model: sorted by UTF-8 bytes, paged, grouped, bounded."""

from __future__ import annotations

from itertools import product
from xml.etree.ElementTree import Element

import google.cloud.storage as gcs
import httpx
import pytest
from defusedxml import ElementTree

NAMES = sorted(["a", "a/", "a/1", "a/2", "a/b/c", "a0", "b", "b/x", "b/y/z", "é", "z/z", "\U0001f600/x", "<&>"], key=str.encode)
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def model(prefix: str, delimiter: str, start: str, end: str, after: str = "") -> list[str]:
    """Give the names and groups that a list has, in order."""
    found = []
    for name in NAMES:
        if not name.startswith(prefix) or name < start or (end and name >= end) or (after and name <= after):
            continue
        head, cut, _ = name[len(prefix) :].partition(delimiter or "\n")
        entry = prefix + head + cut
        if entry not in found:
            found.append(entry)
    return found


@pytest.fixture
def filled(bucket: gcs.Bucket) -> gcs.Bucket:
    """Give a bucket with an object of each name."""
    for name in NAMES:
        bucket.blob(name).upload_from_string(name)
    return bucket


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_json_lists_agree_with_the_model(http: httpx.Client, filled: gcs.Bucket, size: int) -> None:
    """Whatever the page size, all pages together hold each name or group once, in order, and none is too long."""
    for prefix, delimiter, start, end in product(["", "a", "a/", "none"], ["", "/"], ["", "a/2", "b"], ["", "b/y"]):
        found, token = [], ""
        while True:
            query = {"prefix": prefix, "delimiter": delimiter, "startOffset": start, "endOffset": end, "pageToken": token}
            page = http.get(f"/storage/v1/b/{filled.name}/o", params=query | {"maxResults": size}).json()
            entries = [item["name"] for item in page.get("items", [])] + page.get("prefixes", [])
            assert len(entries) <= size
            found += sorted(entries)
            token = page.get("nextPageToken", "")
            if not token:
                break
        assert found == model(prefix, delimiter, start, end)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_xml_lists_agree_with_the_model(http: httpx.Client, filled: gcs.Bucket, size: int) -> None:
    """`list-type=2` with start-after, continuation tokens and delimiter gives the same."""
    for prefix, delimiter, after in product(["", "a", "a/", "none"], ["", "/"], ["", "a/1", "a0", "zz"]):
        found, token = [], ""
        while True:
            query = {"list-type": "2", "prefix": prefix, "start-after": after, "max-keys": str(size)}
            query |= {"delimiter": delimiter} if delimiter else {}
            query |= {"continuation-token": token} if token else {}
            page: Element = ElementTree.fromstring(http.get(f"/{filled.name}", params=query).content)
            entries = [
                key.text or "" for key in [*page.iter(f"{SPACE}Key"), *page.iterfind(f"{SPACE}CommonPrefixes/{SPACE}Prefix")]
            ]
            assert page.findtext(f"{SPACE}KeyCount") == str(len(entries))
            found += sorted(entries)
            token = page.findtext(f"{SPACE}NextContinuationToken") or ""
            assert page.findtext(f"{SPACE}IsTruncated") == str(bool(token)).lower()
            if not token:
                break
        assert found == model(prefix, delimiter, "", "", after)


def test_the_client_lists(client: gcs.Client, filled: gcs.Bucket) -> None:
    """google-cloud-storage pages through a folder and sees its sub-folders; sizes and generations are told."""
    listing = client.list_blobs(filled, prefix="a/", delimiter="/", page_size=1)
    assert [blob.name for blob in listing] == ["a/", "a/1", "a/2"]
    assert listing.prefixes == {"a/b/"}
    trailing = client.list_blobs(filled, delimiter="/", include_trailing_delimiter=True)
    assert "a/" in [blob.name for blob in trailing]
    assert "a/" in trailing.prefixes
    sizes = {blob.name: blob.size for blob in client.list_blobs(filled)}
    assert sizes == {name: len(name.encode()) for name in NAMES}


def test_an_invalid_token_is_refused(http: httpx.Client, filled: gcs.Bucket) -> None:
    """A token of no page is 400."""
    assert http.get(f"/storage/v1/b/{filled.name}/o?pageToken=!!!").status_code == 400
