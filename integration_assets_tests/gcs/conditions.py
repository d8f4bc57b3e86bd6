"""Preconditions: what must hold of the live object (or bucket) for a request to proceed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from integration_assets_tests.gcs.errors import bad_request, condition_failed, not_modified


class Conditioned(Protocol):
    """What conditions are checked against: an object or a bucket."""

    @property
    def generation(self) -> int: ...  # noqa: D102
    @property
    def metageneration(self) -> int: ...  # noqa: D102
    @property
    def etags(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def modified(self) -> datetime: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions of one request; those not given are None or empty."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None
    etags: frozenset[str] = frozenset()
    not_etags: frozenset[str] = frozenset()
    modified_since: datetime | None = None
    unmodified_since: datetime | None = None

    def check(self, live: Conditioned | None) -> None:
        """Raise 412 where a match does not hold and 304 where a "not match" does not; `live` is None if nothing is there."""
        generation, metageneration = (live.generation, live.metageneration) if live else (0, None)
        if self.generation not in (None, generation) or self.metageneration not in (None, metageneration):
            raise condition_failed()
        if self.etags and not (live and self.etags & (live.etags | {"*"})):
            raise condition_failed()
        if self.unmodified_since and not (live and live.modified <= self.unmodified_since):
            raise condition_failed()
        # "If no live object exists, the precondition fails", whatever the number is.
        if self.not_generation is not None and (live is None or self.not_generation == generation):
            raise not_modified()
        if self.not_metageneration is not None and self.not_metageneration == metageneration:
            raise not_modified()
        if live and self.not_etags & (live.etags | {"*"}):
            raise not_modified()
        if live and self.modified_since and not self.not_etags and live.modified <= self.modified_since:
            raise not_modified()


def number(values: Mapping[str, str], name: str) -> int | None:
    """Give a parameter as a number, None if it is not there; raises 400 if it is none."""
    text = values.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise bad_request(f"Invalid value for {name}: {text!r}")
    return int(text)


def from_query(query: Mapping[str, str], headers: Mapping[str, str], prefix: str = "if") -> Conditions:
    """Read the JSON API's conditions; `prefix` is "ifSource" for those about the source of a copy."""
    return Conditions(
        number(query, f"{prefix}GenerationMatch"),
        number(query, f"{prefix}GenerationNotMatch"),
        number(query, f"{prefix}MetagenerationMatch"),
        number(query, f"{prefix}MetagenerationNotMatch"),
        etags=_etags(headers.get("if-match")) if prefix == "if" else frozenset(),
        not_etags=_etags(headers.get("if-none-match")) if prefix == "if" else frozenset(),
    )


def from_headers(headers: Mapping[str, str], prefix: str = "") -> Conditions:
    """Read the XML API's conditions; `prefix` is "copy-source-" for those about the source of a copy."""
    plain = f"x-goog-{prefix}" if prefix else ""
    return Conditions(
        number(headers, f"x-goog-{prefix}if-generation-match"),
        None,
        number(headers, f"x-goog-{prefix}if-metageneration-match"),
        None,
        _etags(headers.get(f"{plain}if-match")),
        _etags(headers.get(f"{plain}if-none-match")),
        _instant(headers.get(f"{plain}if-modified-since")),
        _instant(headers.get(f"{plain}if-unmodified-since")),
    )


def _etags(text: str | None) -> frozenset[str]:
    return frozenset(part.strip().removeprefix("W/").strip('"') for part in (text or "").split(",") if part.strip())


def _instant(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
