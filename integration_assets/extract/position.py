"""Where the reading of a slice was left, so that another run can go on from there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from integration_assets.extract.client import SourceClient
from integration_assets.extract.paging import Place
from integration_assets.spec.records import Batch

_SECRET = re.compile(
    r"(^|[-_.]|(?-i:(?<=[a-z])(?=[A-Z])))(sig|signature|secret|password|passwd|pwd|jwt|api[-_]?key|auth|authorization|credentials?"
    r"|(access|auth|bearer|id|refresh|security|session)[-_]?token|access[-_]?key)$",
    re.IGNORECASE,
)
_MARK = 4
"""Bytes of a page's mark: enough to tell pages apart, too few to find a key by."""


class PlaceLostError(Exception):
    """An earlier run's place in a slice means something else now, or nothing: the slice is read from its start.

    Internal: whoever reads the slice then does so.
    """


@dataclass(frozen=True)
class Position:
    """The last page that was taken in: where it is, and a mark by which it is known again."""

    place: Place
    mark: str

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        """The inverse of `to_json`. Raises `KeyError` or `TypeError` for what is none."""
        return cls(Place(**value["place"]), str(value["mark"]))


def mark_of(batch: Batch, key: Sequence[str], text: bytes) -> str:
    """What a page is known again by: the keys of its records in their order; the records themselves where they have none."""
    digest = blake2b(digest_size=_MARK)
    if not key:
        digest.update(text)
        return digest.hexdigest()
    for name in key:
        digest.update(repr(batch.table.column(name).to_pylist()).encode())
    digest.update(repr([reject.key or reject.payload for reject in batch.rejects]).encode())
    return digest.hexdigest()


def without_credential(place: Place, client: SourceClient) -> Place | None:
    """The place as it may be stored; None when a credential, of ours or one that the API put into its link, is in it."""
    if not isinstance(place.at, str):
        return place
    at = place.at
    if "://" in at:
        at = str(client.credential.clean(httpx.URL(at)))
        if any(_SECRET.search(name) for name, _ in parse_qsl(urlsplit(at).query, keep_blank_values=True)):
            return None
    return replace(place, at=at) if client.redact(at) == at else None
