"""What is known of buckets and objects besides the bytes, in one SQLite file. The store's lock guards every call."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, location TEXT, metageneration INTEGER, created INTEGER, updated INTEGER, fields TEXT, denied INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, name TEXT, generation INTEGER, metageneration INTEGER, size INTEGER, crc32c TEXT, md5 TEXT,
    components INTEGER, created INTEGER, updated INTEGER, fields TEXT, file TEXT, PRIMARY KEY (bucket, name)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket; instants in microseconds since 1970, `fields` as the JSON API writes them."""

    name: str
    location: str
    metageneration: int
    created: int
    updated: int
    fields: dict[str, Any]
    denied: bool

    @property
    def generation(self) -> int:
        """The instant of its creation."""
        return self.created

    @property
    def etags(self) -> frozenset[str]:
        """Its tag."""
        return frozenset({etag(self.created, self.metageneration)})

    @property
    def modified(self) -> datetime:
        """The instant of its last change, in whole seconds."""
        return datetime.fromtimestamp(self.updated // 1_000_000, UTC)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A live object; `md5` is None for one made of parts, `components` None for one that was not; `file` as in `names`."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    size: int
    crc32c: str
    md5: str | None
    components: int | None
    created: int
    updated: int
    fields: dict[str, Any]
    file: str

    @property
    def xml_etag(self) -> str:
        """The XML API's tag: the MD5 in hexadecimal, or an opaque one for an object made of parts."""
        return b64decode(self.md5).hex() if self.md5 else f"-{etag(self.generation, 1)}"

    @property
    def json_etag(self) -> str:
        """The JSON API's tag: of generation and metageneration."""
        return etag(self.generation, self.metageneration)

    @property
    def etags(self) -> frozenset[str]:
        """Both tags; a condition may name either."""
        return frozenset({self.xml_etag, self.json_etag})

    @property
    def modified(self) -> datetime:
        """The instant at which its bytes were written, in whole seconds."""
        return datetime.fromtimestamp(self.created // 1_000_000, UTC)


def etag(generation: int, metageneration: int) -> str:
    """Give an opaque tag."""
    return b64encode(generation.to_bytes(8) + metageneration.to_bytes(2)).decode()


class Catalogue:
    """The two tables."""

    def __init__(self, file: Path) -> None:
        self._sql = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._sql.execute("PRAGMA journal_mode=WAL")
        self._sql.execute("PRAGMA synchronous=OFF")
        self._sql.executescript(_TABLES)

    def latest(self) -> int:
        """Give the greatest generation in use, 0 if there is none."""
        return int(self._sql.execute("SELECT coalesce(max(generation), 0) FROM objects").fetchone()[0])

    def bucket(self, name: str) -> Bucket | None:
        """Give a bucket."""
        return next(self._buckets("WHERE name = ?", name), None)

    def buckets(self, after: str, prefix: str) -> Iterator[Bucket]:
        """Give the buckets behind the name `after` in the order of their names."""
        return self._buckets("WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name", after, len(prefix), prefix)

    def put_bucket(self, bucket: Bucket) -> None:
        """Insert or replace a bucket."""
        row = (bucket.name, bucket.location, bucket.metageneration, bucket.created, bucket.updated, json.dumps(bucket.fields))
        self._sql.execute("REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, bucket.denied))

    def drop_bucket(self, name: str) -> None:
        """Delete a bucket."""
        self._sql.execute("DELETE FROM buckets WHERE name = ?", (name,))

    def stored(self, bucket: str, name: str) -> StoredObject | None:
        """Give an object."""
        return next(self._objects("WHERE bucket = ? AND name = ?", bucket, name), None)

    def objects(self, bucket: str, start: str, *, after: bool, limit: int) -> list[StoredObject]:
        """Give up to `limit` objects from the name `start` on (behind it with `after`), in the order of their UTF-8 bytes."""
        where = f"WHERE bucket = ? AND name {'>' if after else '>='} ? ORDER BY name LIMIT ?"
        return list(self._objects(where, bucket, start, limit))

    def put_object(self, stored: StoredObject) -> None:
        """Insert or replace an object."""
        row = [getattr(stored, name) for name in StoredObject.__slots__]
        row[-2] = json.dumps(stored.fields)
        self._sql.execute("REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def move_file(self, bucket: str, file: str, to: str) -> None:
        """Note that an object's file has another path now."""
        self._sql.execute("UPDATE objects SET file = ? WHERE bucket = ? AND file = ?", (to, bucket, file))

    def drop_object(self, bucket: str, name: str) -> None:
        """Delete an object."""
        self._sql.execute("DELETE FROM objects WHERE bucket = ? AND name = ?", (bucket, name))

    def close(self) -> None:
        """Close the file."""
        self._sql.close()

    def _buckets(self, where: str, *values: object) -> Iterator[Bucket]:
        for row in self._rows(f"SELECT * FROM buckets {where}", values):
            yield Bucket(**row | {"denied": bool(row["denied"])})

    def _objects(self, where: str, *values: object) -> Iterator[StoredObject]:
        for row in self._rows(f"SELECT * FROM objects {where}", values):
            yield StoredObject(**row)

    def _rows(self, query: str, values: tuple[object, ...]) -> Iterator[dict[str, Any]]:
        cursor = self._sql.execute(query, values)
        names = [column[0] for column in cursor.description]
        for found in cursor:
            row: dict[str, Any] = dict(zip(names, found, strict=True))
            yield row | {"fields": json.loads(row["fields"])}
