"""What is kept of an event: its id, its type, when it happened, and which streams it makes worth pulling. Never its payload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integration_assets.errors import IntegrationError
from integration_assets.spec.events import HEADER, Events, TimeFormat

LONGEST = 255
"""Characters of an id or a type. Longer ones are no ids."""
_YEARS = range(1970, 2201)
"""Times of other years stand for none, such as 9999-12-31 for "never"."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a source.

    id          : unique in its source, the same when it is delivered again.
    streams     : what it makes worth pulling; empty when its type is mapped to nothing.
    happened_at : by the API's clock, None when it does not say.
    received_at : by ours, UTC.
    """

    source: str
    id: str
    type: str
    streams: tuple[str, ...]
    happened_at: datetime | None
    received_at: datetime


class UnreadableEventError(IntegrationError):
    """The delivery is genuine, and is not what the source's spec describes."""


def read(
    source: str, events: Events, body: bytes, headers: Mapping[str, str], received_at: datetime, default_id: str | None = None
) -> Event:
    """The event in a body and its headers (or attributes), whose names are compared in lower case.

    default_id : the queue's own id of the message, where the spec names no path to one.
    Raises `UnreadableEventError` when the id or the type is not where the spec says. An unreadable time is as good as none.
    """
    places = events.places
    message = _Message(source, body, headers)
    id_ = message.text("id", places.id) if places.id else default_id
    if not id_:
        raise UnreadableEventError("the event has no id", source=source, field="events.id", remedy="Say where it is.")
    type_ = message.text("type", places.type) if places.type else ""
    happened = message.moment(places.time, places.time_format) if places.time else None
    return Event(source, id_, type_, events.streams_of(type_), happened, received_at)


class _Message:
    """A body that is parsed once, and only when something in it is asked for."""

    def __init__(self, source: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._source, self._body, self._headers = source, body, headers
        self._parsed: Any = None

    def text(self, field: str, place: str) -> str:
        """A short printable text or number. Raises `UnreadableEventError`."""
        value = self._at(place)
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if not text or len(text) > LONGEST or not text.isprintable():
            raise UnreadableEventError(
                f"there is no {field} of 1 to {LONGEST} characters at {place}",
                source=self._source,
                field=f"events.{field}",
                remedy="Mend the path in the source's events, or ask the API's owner.",
            )
        return text

    def moment(self, place: str, written: TimeFormat) -> datetime | None:
        """A time in UTC, None for one that is not there or not readable. Of a whole second, its end: it may have been cut."""
        try:
            value = self._at(place)
            if written == "iso8601":
                text = datetime.fromisoformat(value)
                found = (text if text.tzinfo else text.replace(tzinfo=UTC)).astimezone(UTC)
            else:
                found = datetime.fromtimestamp(float(value) / (1000 if written == "epoch_ms" else 1), UTC)
            if found.year not in _YEARS:
                return None
            return found if found.microsecond else found.replace(microsecond=999_999)
        except (UnreadableEventError, TypeError, ValueError, OverflowError, OSError):
            return None

    def _at(self, place: str) -> Any:  # noqa: ANN401 - JSON
        if place.startswith(HEADER):
            return self._headers.get(place.removeprefix(HEADER).lower())
        if self._parsed is None:
            try:
                self._parsed = json.loads(self._body)
            except (ValueError, RecursionError):
                raise UnreadableEventError(
                    "the body is not JSON", source=self._source, remedy="Ask the API's owner, or name headers only."
                ) from None
        found = self._parsed
        for part in place.split("."):
            if isinstance(found, list) and part.isdigit():
                found = found[int(part)] if int(part) < len(found) else None
            else:
                found = found.get(part) if isinstance(found, dict) else None
        return found
