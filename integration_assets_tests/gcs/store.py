"""Buckets and objects: every change in one step under one lock, which no request holds while bytes travel."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO

from integration_assets_tests.gcs import names
from integration_assets_tests.gcs.catalogue import Bucket, Catalogue, StoredObject
from integration_assets_tests.gcs.conditions import Conditions
from integration_assets_tests.gcs.errors import conflict, denied, no_bucket, no_object
from integration_assets_tests.gcs.writing import Written

ALWAYS = Conditions()
Fields = dict[str, Any]


class Store:
    """All buckets below one folder."""

    def __init__(self, folder: Path) -> None:
        own = folder / ".emulator"
        self.uploads = own / "uploads"
        shutil.rmtree(self.uploads, ignore_errors=True)  # a body that was on its way in when the process ended
        self.uploads.mkdir(parents=True)
        self._folder = folder
        self._catalogue = Catalogue(own / "metadata.sqlite")
        self._last = self._catalogue.latest()
        self._lock = RLock()

    def create_bucket(self, name: str, location: str, fields: Fields) -> Bucket:
        """Create a bucket; raises 409 if there is one."""
        names.check_bucket_name(name)
        with self._lock:
            if self._catalogue.bucket(name):
                message = "Your previous request to create the named bucket succeeded and you already own it."
                raise conflict(message, "BucketAlreadyOwnedByYou")
            now = _now()
            bucket = Bucket(name, location.upper(), 1, now, now, fields, denied=False)
            (self._folder / name).mkdir()
            self._catalogue.put_bucket(bucket)
            return bucket

    def bucket(self, name: str, conditions: Conditions = ALWAYS) -> Bucket:
        """Give a bucket; raises 404 if there is none, 403 if it is denied."""
        with self._lock:
            bucket = self._catalogue.bucket(name)
        if bucket is None:
            raise no_bucket()
        if bucket.denied:
            raise denied(name)
        conditions.check(bucket)
        return bucket

    def buckets(self, after: str, prefix: str, limit: int) -> list[Bucket]:
        """Give up to `limit` buckets behind the name `after`."""
        with self._lock:
            return [bucket for bucket, _ in zip(self._catalogue.buckets(after, prefix), range(limit), strict=False)]

    def patch_bucket(self, name: str, change: Callable[[Fields], Fields], conditions: Conditions = ALWAYS) -> Bucket:
        """Change a bucket's metadata; its metageneration grows by one."""
        with self._lock:
            bucket = self.bucket(name, conditions)
            fields = change(bucket.fields)
            bucket = replace(bucket, fields=fields, metageneration=bucket.metageneration + 1, updated=_now())
            self._catalogue.put_bucket(bucket)
            return bucket

    def delete_bucket(self, name: str, conditions: Conditions = ALWAYS) -> None:
        """Delete an empty bucket; raises 409 if it is not."""
        with self._lock:
            self.bucket(name, conditions)
            if self._catalogue.objects(name, "", after=False, limit=1):
                raise conflict("The bucket you tried to delete is not empty.", "BucketNotEmpty")
            (self._folder / name).rmdir()
            self._catalogue.drop_bucket(name)

    def set_denied(self, name: str, *, to: bool) -> None:
        """Answer every request about this bucket with 403, or no longer; raises 404 if there is none."""
        with self._lock:
            bucket = self._catalogue.bucket(name)
            if bucket is None:
                raise no_bucket()
            self._catalogue.put_bucket(replace(bucket, denied=to))

    def find(self, bucket: str, name: str, generation: int | None = None, conditions: Conditions = ALWAYS) -> StoredObject:
        """Give a live object; raises 404 if there is none or its generation is another one, then checks the conditions."""
        with self._lock:
            self.bucket(bucket)
            stored = self._catalogue.stored(bucket, name)
        if stored is None or generation not in (None, stored.generation):
            raise no_object(bucket, name)
        conditions.check(stored)
        return stored

    def open(
        self, bucket: str, name: str, generation: int | None = None, conditions: Conditions = ALWAYS
    ) -> tuple[StoredObject, BinaryIO]:
        """Give a live object with its bytes, which stay what they are whatever is written meanwhile."""
        with self._lock:
            stored = self.find(bucket, name, generation, conditions)
            return stored, (self._folder / bucket / stored.file).open("rb")

    def check(self, bucket: str, name: str, conditions: Conditions) -> None:
        """Raise as `put` would."""
        names.file_of(name)
        with self._lock:
            self.bucket(bucket)
            conditions.check(self._catalogue.stored(bucket, name))

    def put(
        self, bucket: str, name: str, body: Written, fields: Fields, conditions: Conditions, components: int | None = None
    ) -> StoredObject:
        """Make a body the live object of that name; takes its file over, or deletes it when the request is refused."""
        try:
            with self._lock:
                self.check(bucket, name, conditions)
                md5 = body.md5 if components is None else None
                now = _now()
                file = self._place(bucket, name, body.path)
                stored = StoredObject(
                    bucket, name, self._next(), 1, body.size, body.crc32c, md5, components, now, now, fields, file
                )
                self._catalogue.put_object(stored)
                return stored
        finally:
            body.path.unlink(missing_ok=True)

    def copy(self, source: StoredObject, bucket: str, name: str, fields: Fields, conditions: Conditions) -> StoredObject:
        """Make the bytes of `source` the live object of another name too; raises 404 if `source` is live no longer."""
        with self._lock:
            self.find(source.bucket, source.name, source.generation)
            path = self.uploads / f"copy-{self._next()}"
            # No file of an object is ever written again, so that two names can share one.
            os.link(self._folder / source.bucket / source.file, path)
            body = Written(path, source.size, source.crc32c, source.md5 or "")
            return self.put(bucket, name, body, fields, conditions, source.components)

    def move(self, source: StoredObject, name: str, conditions: Conditions) -> StoredObject:
        """Rename a live object within its bucket, in one step."""
        with self._lock:
            moved = self.copy(source, source.bucket, name, source.fields, conditions)
            self.delete(source.bucket, source.name, source.generation)
            return moved

    def patch(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        change: Callable[[Fields], Fields],
        conditions: Conditions = ALWAYS,
    ) -> StoredObject:
        """Change an object's metadata; its metageneration grows by one."""
        with self._lock:
            stored = self.find(bucket, name, generation, conditions)
            fields = change(stored.fields)
            stored = replace(stored, fields=fields, metageneration=stored.metageneration + 1, updated=_now())
            self._catalogue.put_object(stored)
            return stored

    def delete(self, bucket: str, name: str, generation: int | None = None, conditions: Conditions = ALWAYS) -> None:
        """Delete a live object."""
        with self._lock:
            stored = self.find(bucket, name, generation, conditions)
            self._catalogue.drop_object(bucket, name)
            names.remove(self._folder / bucket, stored.file)

    def slice(self, bucket: str, start: str, *, after: bool, limit: int) -> list[StoredObject]:
        """Give up to `limit` objects from the name `start` on, or behind it."""
        with self._lock:
            self.bucket(bucket)
            return self._catalogue.objects(bucket, start, after=after, limit=limit)

    def close(self) -> None:
        """Let the change that is under way end, and begin no other."""
        with self._lock:
            self._catalogue.close()

    def _place(self, bucket: str, name: str, body: Path) -> str:
        live = self._catalogue.stored(bucket, name)
        if live:
            file = live.file
        else:
            file, moved = names.make_room(self._folder / bucket, names.file_of(name))
            for old, new in moved:
                self._catalogue.move_file(bucket, old, new)
        body.rename(self._folder / bucket / file)
        return file

    def _next(self) -> int:
        """Give a generation: microseconds since 1970, each greater than the one before."""
        self._last = max(self._last + 1, _now())
        return self._last


def _now() -> int:
    return time.time_ns() // 1000
