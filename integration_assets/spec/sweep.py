"""Key sweeps: how records are found that an API only stops listing. docs/deletes.md says when to use one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec
from integration_assets.spec.formats import Format, Json
from integration_assets.spec.paging import NextLink, Offset, PageNumber, Paging, Token
from integration_assets.spec.tenants import check_asking

if TYPE_CHECKING:
    from integration_assets.spec.source import Stream


class Sweep(Spec):
    """Where the full list of a stream's keys comes from, and how much of the table a sweep may delete.

    path       : the list's endpoint; the stream's own when None, asked without a range of the cursor.
    params, method, format, paging : of the list; the stream's own when None.
    fields     : where a key column is in a record of the list; where the contract says for columns that are not named.
    total_path : where a JSON body of the list counts its records; that of the paging, or a header such as `X-Total-Count`,
                 when None. A list read by page number or offset needs one of them, or an overlap: such pages skip records when
                 others go.
    schedule   : cron of the sweep in the source's timezone; None has no schedule.
    lag        : how far the list may be behind the API's data, where it comes from a copy of them: a record whose version is
                 younger than that is left alone until the next sweep. Only where versions are times.
    threshold  : the largest share of the live rows that a sweep may delete; beyond it the sweep is refused.
    tolerance  : so many rows it may delete whatever their share, so that a small table can lose one.
    """

    path: str | None = None
    params: Mapping[str, str | int | float | bool] | None = None
    method: Literal["GET", "POST"] | None = None
    format: Format | None = None
    paging: Paging | None = None
    fields: Mapping[str, str] = {}
    total_path: str | None = None
    schedule: str | None = "30 4 * * 0"
    lag: timedelta = Field(default=timedelta(hours=1), ge=timedelta(0))
    threshold: float = Field(default=0.05, ge=0, le=1)
    tolerance: int = Field(default=5, ge=0)

    def allowed(self, live: int, threshold: float | None = None) -> int:
        """How many of so many live rows one sweep may delete; `threshold` replaces that of the spec."""
        return max(self.tolerance, int(live * (self.threshold if threshold is None else threshold)))

    def counts_in(self, paging: Paging) -> str | None:
        """Where in a JSON body the list's records are counted; None where only a header may do so."""
        return self.total_path or (paging.total_path if isinstance(paging, PageNumber | Offset) else None)


@dataclass(frozen=True, slots=True)
class SweepReceipt:
    """The account of one sweep, of one tenant where the stream has them.

    outcome  : `swept` (rows landed), `unchanged` (list and table agree), `refused` (see `refused`) or `dry-run`.
    swept_at : when it began to read the list, ISO 8601; the `_deleted_at` of what it deletes.
    actor    : who had it done.
    listed   : different keys of the list; flagged: how many of them the list itself says are gone.
    total    : how many records the API says the list has; None where it does not say.
    live     : rows of the table that were not deleted before.
    unlisted : how many of them the list does not have, so that they are deleted; `allowed` is how many may be.
    returned : deleted rows that the list has; revived: how many of them it brought back, those that a sweep had deleted.
    unknown  : keys of the list that the table has no row of; a sync has yet to pull them.
    refused  : why nothing was deleted; None where nothing stood against it.
    version  : the lake's version that has the findings; None when nothing was committed.
    warnings : what else someone should know.
    """

    source: str
    stream: str
    run_id: str
    actor: str
    outcome: str
    swept_at: str
    tenant: str | None = None
    listed: int = 0
    flagged: int = 0
    total: int | None = None
    live: int = 0
    unlisted: int = 0
    returned: int = 0
    revived: int = 0
    unknown: int = 0
    allowed: int = 0
    threshold: float = 0.0
    pages: int = 0
    requests: int = 0
    seconds: float = 0.0
    refused: str | None = None
    version: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def deleted(self) -> int:
        """Rows that this sweep deleted; none unless it landed."""
        return self.unlisted if self.outcome == "swept" else 0

    @property
    def sentence(self) -> str:
        """What became of it, for a log."""
        whose = "" if self.tenant is None else f" of {self.tenant}"
        if self.refused is not None:
            return f"the list{whose} was refused: {self.refused}"
        went = f"{self.unlisted:,} would be deleted" if self.outcome == "dry-run" else f"{self.deleted:,} deleted"
        return f"{self.listed:,} keys{whose} listed, {self.live:,} rows live: {went}, {self.revived:,} revived"

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as JSON takes them."""
        return asdict(self)


def keys_of(stream: Stream) -> Stream:
    """The full list of the stream's keys, as a stream to read. Raises `SpecError` for a stream without a sweep."""
    sweep = stream.sweep
    if sweep is None:
        raise _wrong(stream, "sweep", "the stream has no sweep", "Describe one: Stream(sweep=Sweep(…)).")
    given = {"path": sweep.path, "params": sweep.params, "method": sweep.method, "format": sweep.format, "paging": sweep.paging}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if sweep.method == "GET":
        changes["body"] = {}
    return stream.model_copy(update={**changes, "cursor": None, "partitions": None, "conditional": False, "parent": None})


def check_sweep(stream: Stream) -> None:
    """What a sweep needs of its stream. Raises `SpecError`."""
    sweep = stream.sweep
    if sweep is None:
        return
    if stream.disposition != "merge":
        what, remedy = f"a sweep marks rows of a merged table, and the disposition is {stream.disposition}", "Use merge."
        raise _wrong(stream, "sweep", what, remedy)
    if stream.files is not None:
        raise _wrong(stream, "sweep", "files are read once, so they are no list of what there is", "Drop the sweep.")
    for name in sweep.fields:
        if name not in stream.key:
            raise _wrong(stream, f"sweep.fields.{name}", f"{name!r} is no key column", f"The key is: {', '.join(stream.key)}.")
    if stream.parent is not None and sweep.path is None:
        what = "the stream is read parent by parent, which is no list of its own"
        raise _wrong(
            stream, "sweep.path", what, "Name an endpoint that lists the keys of all parents' children, or drop the sweep."
        )
    listed = keys_of(stream)
    by_path = isinstance(listed.paging, Token | NextLink) and listed.paging.path is not None
    if (by_path or sweep.counts_in(listed.paging)) and not isinstance(listed.format, Json):
        field = "sweep.paging.path" if by_path else "sweep.total_path"
        raise _wrong(stream, field, f"a {listed.format.kind} body has no such field", "Use a header, or a list in JSON.")
    try:
        check_asking(listed)
    except SpecError as error:
        error.field = f"sweep.{error.field}"
        raise


def _wrong(stream: Stream, field: str, what: str, remedy: str) -> SpecError:
    return SpecError(what, stream=stream.name, field=field, remedy=remedy)
