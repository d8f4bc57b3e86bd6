"""Answers that say in their body, under a status of 200, that something failed: GraphQL's and JSON:API's `errors`."""

from __future__ import annotations

from typing import Any

from integration_assets.errors import RescheduleError, ResponseError
from integration_assets.extract.plan import ABSENT
from integration_assets.spec.paths import Path

_DATA = "data"
_TEXTS = ("message", "detail", "title")
_SHOWN = 300


def check_errors(told: Any, path: Path, *, listed: bool, data: bool, quote: bool) -> None:  # noqa: ANN401 - any JSON value
    """See that a body tells of no error in place of its records, or beside them.

    told   : what is at `errors` in the body.
    path   : where the list of records is.
    listed : whether the list is there. Beside one, `errors` mean that it may lack something only where it is in `data`.
    data   : whether `data` is there: GraphQL leaves it out where the request itself is wrong.
    quote  : whether the error may be shown; not where it may tell of a person.
    Raises `RescheduleError`, and `ResponseError` where asking again cannot help.
    """
    if told is ABSENT or not told or (listed and not (path[:1] == (_DATA,) and isinstance(told, list))):
        return
    first = told[0] if isinstance(told, list) else told
    text = next((first[name] for name in _TEXTS if first.get(name)), first) if isinstance(first, dict) else first
    what = f"the API answered with errors {'beside' if listed else 'in place of'} the records"
    said = f"{what}: {' '.join(str(text).split())[:_SHOWN]}" if quote else what
    if data:
        raise RescheduleError(
            said, remedy="A later run asks again. Where such errors pass in seconds, name their text in limits.retry_on_body."
        )
    raise ResponseError(said, remedy="Check the stream's path, params and body against the API's manual.")
