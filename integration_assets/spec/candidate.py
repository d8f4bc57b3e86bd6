"""The next version of an API or of a contract: read beside the present one by a shadow run, then put in its place by a flag."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, JsonValue, PrivateAttr

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec
from integration_assets.spec.cursor import Cursor
from integration_assets.spec.formats import Format
from integration_assets.spec.inline import InlineContract
from integration_assets.spec.paging import Paging
from integration_assets.spec.tombstone import Tombstone

if TYPE_CHECKING:
    from integration_assets.spec.source import Stream

ContractName = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]


class Tolerance(Spec):
    """How far two values of a column may be apart and still count as equal.

    absolute : of numbers, in the column's own unit; added to `relative`.
    relative : of numbers, as a share of the present version's value.
    within   : of times and dates.
    """

    absolute: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    relative: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    within: timedelta = Field(default=timedelta(0), ge=timedelta(0))


class Candidate(Spec):
    """What is to change about how a stream is asked and read. What is left out stays as it is; key and table always do.

    active     : the stream is the candidate from now on, and a shadow run compares with what was before. The variable
                 INTEGRATION_<SOURCE>_<STREAM>_CANDIDATE, 1 or 0, decides instead where it is set.
    base_url   : of the new version, where that is another than the source's.
    path, params, headers, method, body, format, paging, contract, ignore, tombstone : in place of the stream's own.
    cursor     : in place of the stream's own, over the same field.
    tolerances : by column, how far the two versions' values may be apart. A column without one must be equal.
    uncompared : columns that may differ in any way.
    """

    active: bool = False
    base_url: str | None = None
    path: str | None = None
    params: Mapping[str, str | int | float | bool] | None = None
    headers: Mapping[str, str] | None = None
    method: Literal["GET", "POST"] | None = None
    body: Mapping[str, JsonValue] | None = None
    format: Format | None = None
    paging: Paging | None = None
    cursor: Cursor | None = None
    contract: ContractName | InlineContract | None = None
    tombstone: Tombstone | None = None
    ignore: tuple[str, ...] | None = None
    tolerances: Mapping[str, Tolerance] = {}
    uncompared: tuple[str, ...] = ()
    _before: Stream | None = PrivateAttr(default=None)

    @property
    def changes(self) -> dict[str, Any]:
        """The stream's settings that become others."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name not in _OWN}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def in_force(self) -> bool:
        """Whether the stream that has it was cut over to it already."""
        return self._before is not None

    def other(self, stream: Stream) -> Stream:
        """What a shadow run reads beside `stream`: the candidate, or what was before it was cut over. It has no candidate."""
        return (self._before or stream.changed(**self.changes)).model_copy(update={"candidate": None})

    def cut_over(self, stream: Stream) -> Stream:
        """The stream as the candidate has it. Itself once that is done."""
        if self.in_force:
            return stream
        mine = self.model_copy()
        mine._before = stream  # noqa: SLF001 - its own copy
        return stream.changed(**self.changes, candidate=mine)


_OWN = frozenset({"active", "tolerances", "uncompared"})


def check_candidate(stream: Stream) -> None:
    """See that a stream's candidate describes another version of the same records. Raises `SpecError`."""
    candidate = stream.candidate
    if candidate is None or candidate.in_force:
        return

    def wrong(field: str, what: str, remedy: str) -> SpecError:
        return SpecError(what, stream=stream.name, field=f"candidate.{field}", remedy=remedy)

    changes = candidate.changes
    if not changes:
        raise SpecError(
            "the candidate changes nothing",
            stream=stream.name,
            field="candidate",
            remedy="Say what is new, such as its path or its contract.",
        )
    if stream.files is not None:
        raise wrong(next(iter(changes)), "files have no versions of an API", "Describe the new files as another stream.")
    old, new = stream.cursor, candidate.cursor
    if new is not None and (old is None or (old.field, old.kind, old.start) != (new.field, new.kind, new.start)):
        remedy = "Keep cursor.field, kind and start: the watermark must mean the same on both sides."
        raise wrong("cursor", "the candidate has another axis", remedy)
    for name in (*candidate.tolerances, *candidate.uncompared):
        setting = "tolerances" if name in candidate.tolerances else "uncompared"
        if name in stream.key:
            raise wrong(setting, f"{name!r} is in the key, by which records are found on both sides", "Leave it out.")
        if not stream.key and setting == "tolerances":
            raise wrong(setting, "rows without a key can only be equal or not", "Name the stream's key, or use uncompared.")
    try:
        # Its own rules are a stream's: what it lacks is told while the definitions load, not on the day of the cut-over.
        stream.changed(**changes, candidate=None)
    except SpecError as error:
        raise wrong(error.field or "", error.what, error.remedy or "") from None
