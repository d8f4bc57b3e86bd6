"""Buckets: where they are, that they must exist, and who may touch them."""

from __future__ import annotations

import google.cloud.storage as gcs
import httpx
import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound, PreconditionFailed

from integration_assets_tests.gcs.process import GcsEmulator


def test_a_bucket_has_a_location(client: gcs.Client, emulator: GcsEmulator) -> None:
    """The location is the one given at creation, with its type."""
    emulator.create_bucket("located-here", "europe-west1")
    found = client.get_bucket("located-here")
    assert (found.location, found.location_type) == ("EUROPE-WEST1", "region")
    made = client.create_bucket("located-there", location="EU")
    assert (made.location, made.location_type) == ("EU", "multi-region")


def test_buckets_are_created_listed_changed_and_deleted(client: gcs.Client) -> None:
    """A taken name is 409, a bad one 400, a full bucket cannot be deleted, labels count the metageneration."""
    for number in range(3):
        client.create_bucket(f"life-{number}")
    with pytest.raises(Conflict):
        client.create_bucket("life-0")
    with pytest.raises(BadRequest):
        client._connection.api_request("POST", "/b", data={"name": "No_Such_Name!"})
    assert [bucket.name for bucket in client.list_buckets(prefix="life-", page_size=2)] == ["life-0", "life-1", "life-2"]
    bucket = client.get_bucket("life-0")
    bucket.labels = {"team": "data"}
    bucket.patch(if_metageneration_match=1)
    with pytest.raises(PreconditionFailed):
        bucket.patch(if_metageneration_match=1)
    assert client.get_bucket("life-0").labels == {"team": "data"}
    bucket.blob("a").upload_from_string("x")
    with pytest.raises(Conflict):
        client.bucket("life-0").delete()
    bucket.delete(force=True)
    assert client.lookup_bucket("life-0") is None


def test_a_missing_bucket_or_object_is_not_found(client: gcs.Client, bucket: gcs.Bucket, http: httpx.Client) -> None:
    """404 on every way in, with the error bodies of the two APIs."""
    missing = client.bucket("not-there")
    for call in (lambda: missing.blob("a").upload_from_string("x"), lambda: list(missing.list_blobs()), missing.reload):
        with pytest.raises(NotFound):
            call()
    for method, url in (
        ("GET", "?list-type=2"),
        ("HEAD", ""),
        ("GET", "/a"),
        ("PUT", "/a"),
        ("DELETE", "/a"),
        ("POST", "/a?uploads"),
    ):
        assert http.request(method, f"/not-there{url}").status_code == 404
    assert "<Code>NoSuchBucket</Code>" in http.get("/not-there/a").text
    assert "<Code>NoSuchKey</Code>" in http.get(f"/{bucket.name}/a").text
    error = http.get(f"/storage/v1/b/{bucket.name}/o/a").json()["error"]
    assert (error["code"], error["errors"][0]["reason"]) == (404, "notFound")
    assert error["message"] == f"No such object: {bucket.name}/a"


def test_a_denied_bucket_is_forbidden(emulator: GcsEmulator, bucket: gcs.Bucket, http: httpx.Client) -> None:
    """403 on every way in until it is allowed again; other buckets are not touched."""
    bucket.blob("a").upload_from_string("x")
    emulator.create_bucket(f"{bucket.name}-other")
    emulator.deny(bucket.name)
    blob = bucket.blob("a")
    for call in (blob.download_as_bytes, blob.delete, lambda: blob.upload_from_string("y"), lambda: list(bucket.list_blobs())):
        with pytest.raises(Forbidden):
            call()
    assert http.get(f"/{bucket.name}/a").status_code == 403
    assert "<Code>AccessDenied</Code>" in http.put(f"/{bucket.name}/a").text
    assert http.put(f"/{bucket.name}-other/a").status_code == 200
    emulator.allow(bucket.name)
    assert blob.download_as_bytes() == b"x"


def test_permissions_can_be_asked_about(client: gcs.Client, emulator: GcsEmulator) -> None:
    """What an account may do is answered for a bucket that is there, 404 for none, 403 where nothing is allowed."""
    emulator.create_bucket("asked")
    wanted = ["storage.objects.create", "storage.objects.get"]
    assert client.bucket("asked").test_iam_permissions(wanted) == wanted
    with pytest.raises(NotFound):
        client.bucket("never-made").test_iam_permissions(wanted)
    emulator.deny("asked")
    with pytest.raises(Forbidden):
        client.bucket("asked").test_iam_permissions(wanted)
