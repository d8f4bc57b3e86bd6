"""A place on a stream's cursor axis, as people write it."""

from __future__ import annotations

from datetime import UTC, datetime

from integration_assets.errors import SpecError
from integration_assets.spec.cursor import CursorValue
from integration_assets.spec.source import Source, Stream


def cursor_value(source: Source, stream: Stream, text: str, option: str) -> CursorValue:
    """`text` on the stream's cursor axis; a moment without a zone is in UTC.

    option : what the error names: where the text was given.
    Raises `SpecError` naming source, stream and option.
    """
    integer = stream.cursor is not None and stream.cursor.kind == "integer"
    try:
        if integer:
            return int(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SpecError(
            f"{text!r} is no {'integer, and the cursor counts in integers' if integer else 'moment'}",
            source=source.name,
            stream=stream.name,
            field=option,
            remedy="Write an integer such as 1200." if integer else "Write 2024-01-31 or 2024-01-31T12:00:00Z.",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
