"""JSON bodies to rows.

Two ways that give the same page. The quick one reads all records as one Arrow value by the contract's schema. Whatever
it refuses goes the other way: each record decoded alone, each value converted strictly. There a key that is written
twice in an object has its last value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.json as pj

from integration_assets.errors import ResponseError
from integration_assets.extract.arrow_json import ArrowShape, arrow_shape, page_from_arrow
from integration_assets.extract.assemble import Chosen, Records, assemble, object_values
from integration_assets.extract.failing import check_errors
from integration_assets.extract.misfits import Misfits
from integration_assets.extract.page import BrokenBodyError, DecodedPage, OpenedPage, ReadPage
from integration_assets.extract.plan import ABSENT, Plan, show, unknown
from integration_assets.extract.quoting import quoted
from integration_assets.extract.sprawl import sprawls
from integration_assets.extract.values import RECORD, kind
from integration_assets.spec.paths import Path, parse_path
from integration_assets.spec.records import MOST_REJECTS, Batch, Drift, Reject, chain, check_rejects, combine

_BOM = b"\xef\xbb\xbf"
_Raw = msgspec.Raw
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_START = 64
_PAIR = rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rb"\\(?:" + _PAIR + rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_NO_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(-?(?:NaN|Infinity))', re.DOTALL)
_AT_ONCE = 20_000
"""Records that are Python objects at one time, so that a page in which one is bad needs little more memory than a good one."""


def _inside(value: Any, part: str | int) -> Mapping[str, Any] | Sequence[Any]:  # noqa: ANN401 - raw JSON
    """The raw JSON of what is in an object or, for a number, in a list; nothing for a value of another kind."""
    try:
        if isinstance(part, str):
            return msgspec.json.decode(value, type=dict[str, _Raw])
        return msgspec.json.decode(value, type=list[_Raw])
    except msgspec.ValidationError:
        return {}


@dataclass
class Envelope:
    """A JSON body whose parts are found without building its records."""

    body: bytes
    _seen: dict[tuple[Path, bool], Mapping[str, Any] | Sequence[Any]] = field(default_factory=dict)

    def raw(self, path: Path) -> Any:  # noqa: ANN401 - raw JSON, or `ABSENT`
        """The raw JSON at a path, `ABSENT` where there is none. What is above it is gone through once, however often asked."""
        if not path:
            return self.body
        above, part = path[:-1], path[-1]
        place = (above, isinstance(part, str))
        if place not in self._seen:
            value = self.raw(above)
            self._seen[place] = {} if value is ABSENT else _inside(value, part)
        found = self._seen[place]
        if isinstance(found, Mapping):
            return found.get(part, ABSENT)  # type: ignore[arg-type] # a name: the place says so
        return found[part] if isinstance(part, int) and part < len(found) else ABSENT

    def value(self, path: Path) -> Any:  # noqa: ANN401 - any JSON value
        """The value at a path, `ABSENT` where there is none."""
        raw = self.raw(path)
        try:
            return ABSENT if raw is ABSENT else RECORD.decode(raw)
        except _UNREADABLE as error:
            raise ResponseError(
                f"the value at {show(path)!r} of the body cannot be read: {error}", remedy="Ask the API's owner."
            ) from None


class RawRecords(Sequence[bytes]):
    """The records of a JSON list, sliced out of the body only when one is asked for."""

    def __init__(self, listed: Any, count: int) -> None:  # noqa: ANN401 - raw JSON
        self._listed = listed
        self._count = count

    def __len__(self) -> int:
        return self._count

    @cached_property
    def slices(self) -> list[msgspec.Raw]:
        """Each record's raw JSON."""
        return _slices(self._listed)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - an index or a slice, as Sequence has it
        return Chosen(self.slices, range(self._count)[index]) if isinstance(index, slice) else bytes(self.slices[index])


def _slices(listed: Any) -> list[msgspec.Raw]:  # noqa: ANN401 - raw JSON
    return msgspec.json.decode(listed, type=list[_Raw])


def _without_lone_surrogates(body: bytes) -> bytes:
    """JSON with a replacement character, escaped and as long, for each escape of half a character, which no text can hold."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)


def _without_no_numbers(body: bytes) -> bytes:
    """JSON with a text as long for each NaN and Infinity, which some libraries write although JSON has neither."""
    return _NO_NUMBER.sub(lambda found: b'"%s"' % (b"?" * (len(found[1]) - 2)) if found[1] else found[0], body)


def _why_broken(record: bytes, error: Exception) -> str:
    if _without_lone_surrogates(record) != record:
        return "half a character, an escaped surrogate without its other"
    return "NaN or Infinity, which are no numbers" if _without_no_numbers(record) != record else str(error)


@dataclass
class JsonPage:
    """A JSON body whose list of records was found."""

    envelope: Envelope
    listed: Any
    counted: bool = True

    @property
    def weight(self) -> int:
        """Bytes of the body."""
        return len(self.envelope.body)

    @cached_property
    def fetched(self) -> int:
        """How many records are listed."""
        return len(_slices(self.listed))

    @property
    def empty(self) -> bool:
        """Whether none is listed, which is cheaper to see."""
        start = bytes(memoryview(self.listed)[1:_START]).lstrip()[:1]
        return start == b"]" if start else not self.fetched

    @property
    def rows(self) -> int:
        """As many: a list's records are told apart surely."""
        return self.fetched

    def value(self, path: Path) -> Any:  # noqa: ANN401 - any JSON value
        """The value at a path of the body."""
        return self.envelope.value(path)

    def text(self) -> bytes:
        """The list as it came."""
        return bytes(self.listed)


class JsonReader:
    """Reads documents that hold a list of records."""

    def __init__(self, plan: Plan, records: str, *, quote: bool = True) -> None:
        """`quote`: whether an error that the API tells of may be shown."""
        self._plan = plan
        self._path = parse_path(records) if records else ()
        self._quote = quote
        self._shape = arrow_shape(plan)
        self._misfits = Misfits(plan)

    def open(self, body: bytes, _content_type: str | None = None) -> OpenedPage:
        """The page in `body`, its records still to be decoded."""
        envelope = Envelope(body.removeprefix(_BOM))
        try:
            return JsonPage(envelope, self._records(envelope))
        except BrokenBodyError:
            return ReadPage(self._mended(envelope.body), len(body))

    def decode(self, pages: Sequence[JsonPage]) -> tuple[Batch, Drift]:
        """The rows of several pages read at once; where that is refused, of each page alone."""
        quick = self._quickly([page.listed for page in pages])
        if quick is not None:
            return quick
        if len(pages) == 1:
            return self._closely(_slices(pages[0].listed))
        drift = Drift()
        batches = []
        for page in pages:
            batch, differences = self.decode([page])
            batches.append(batch)
            drift.add(differences)
        return combine(batches), drift

    def _mended(self, body: bytes) -> DecodedPage:
        """The page of a body broken only by halves of characters and NaNs; records with one are rejects as they came."""
        envelope = Envelope(_without_no_numbers(_without_lone_surrogates(body)))
        listed = self._records(envelope)
        at = envelope.body.find(listed)
        records = []
        for mended in _slices(listed):
            at = envelope.body.index(mended, at)
            records.append(body[at : (at := at + len(mended))])
        batch, drift = strict_page(self._plan, records)
        return DecodedPage(batch, drift, envelope.value)

    def _records(self, envelope: Envelope) -> Any:  # noqa: ANN401 - raw JSON
        """The raw list of records. All of the body is checked to be JSON, so that no cut-off body becomes rows."""
        where = show(self._path) or "the body"
        try:
            # Also keeps from Arrow's reader what it does not survive: it crashes the process on a lone null and on JSON
            # nested some ten thousand deep, which msgspec refuses.
            if not self._path or not envelope.body.lstrip().startswith(b"{"):
                msgspec.json.decode(envelope.body, type=_Raw)
            listed = envelope.raw(self._path)
        except RecursionError:
            raise ResponseError("the body is nested too deep to be read", remedy="Ask the API's owner.") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BrokenBodyError(f"the body is not valid JSON: {error}") from None
        start = b"" if listed is ABSENT else bytes(memoryview(listed)[:64]).lstrip()[:1]
        if self._path:
            data = envelope.raw(("data",)) is not ABSENT
            check_errors(envelope.value(("errors",)), self._path, listed=start == b"[", data=data, quote=self._quote)
        if start == b"n":
            return b"[]"
        if start == b"[":
            return listed
        there = "is absent" if listed is ABSENT else f"is {kind(envelope.value(self._path))}"
        raise ResponseError(
            f"the list of records {where!r} {there}", field="format.records", remedy="Name the path to the list of records."
        )

    def _quickly(self, lists: Sequence[Any]) -> tuple[Batch, Drift] | None:
        if self._shape is None:
            return None
        found = read_arrow(lists, self._shape)
        if found is None:
            return None
        structs, counts = found
        raw = chain([RawRecords(listed, count) for listed, count in zip(lists, counts, strict=True)])
        return page_from_arrow(self._plan, structs, raw, counts, lists)

    def _closely(self, records: Sequence[Any]) -> tuple[Batch, Drift]:
        """A page that was refused as a whole: the records that fit are read at once, each of the others strictly."""
        if self._shape is None:
            return strict_page(self._plan, records)
        odd = self._misfits.among(records)
        if 10 * len(odd) > 9 * len(records) or len(odd) > MOST_REJECTS:
            return strict_page(self._plan, records)
        fitting = sorted(set(range(len(records))).difference(odd))
        others, differences = strict_page(self._plan, [records[position] for position in odd])
        fitted = None if others.table.num_rows else self._fitting(records, fitting)
        if fitted is None:
            # Also when one of the others fits after all, as 3.0 does for a whole number: its row belongs between its neighbours.
            return strict_page(self._plan, records)
        batch, drift = fitted
        if odd:
            # A column is missing where no record of the page has it.
            both = drift.missing.keys() & differences.missing.keys()
            drift.add(differences)
            drift.missing = Counter({name: drift.missing[name] for name in both})
        return Batch(batch.table, batch.raw, others.rejects, batch.fetched + others.fetched), drift

    def _fitting(self, records: Sequence[Any], positions: Sequence[int]) -> tuple[Batch, Drift] | None:
        """These records read at once; with fields of other names passed over, if it is they that Arrow makes no columns of."""
        assert self._shape is not None  # noqa: S101 - asked only where there is one
        listed, raw = _list(records[position] for position in positions), Chosen(records, positions)
        found = read_arrow([listed], self._shape)
        if found is not None:
            return page_from_arrow(self._plan, found[0], raw, found[1], [listed])
        found = read_arrow([listed], self._shape, unknown_fields="ignore")
        page = page_from_arrow(self._plan, found[0], raw, found[1], [listed]) if found is not None else None
        if page is None:
            return None
        for position in positions:
            strange: set[str] = set()
            unknown(msgspec.json.decode(records[position]), self._plan.shape, "", strange)
            page[1].new.update(strange)
        return page


def _list(records: Iterable[Any]) -> bytes:
    return b"[%s]" % b",".join(records)


class NdjsonReader:
    """Reads bodies of one record a line; a line that is no JSON, such as a cut-off last one, is rejected alone."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shape = arrow_shape(plan)

    def read(self, body: bytes, _content_type: str | None = None) -> DecodedPage:
        """The page in `body`."""
        lines = [line for line in (line.strip() for line in body.removeprefix(_BOM).split(b"\n")) if line]
        batch, drift = self._quickly(lines) or strict_page(self._plan, lines)
        return DecodedPage(batch, drift)

    def _quickly(self, lines: list[bytes]) -> tuple[Batch, Drift] | None:
        if self._shape is None:
            return None
        try:
            for line in lines:
                msgspec.json.decode(line, type=_Raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        listed = _list(lines)
        found = read_arrow([listed], self._shape)
        return None if found is None else page_from_arrow(self._plan, found[0], lines, found[1], [listed])


def read_arrow(
    lists: Sequence[Any], shape: ArrowShape, unknown_fields: Literal["infer", "ignore"] = "infer"
) -> tuple[pa.StructArray, list[int]] | None:
    """The records of several JSON lists as one array, and how many each list has.

    None when Arrow's reader refuses a value, or the text is not UTF-8. It crashes the process on what is no JSON: see before.
    """
    try:
        if shape.quotes:
            lists = [quoted(listed, shape.quotes) for listed in lists]
        document = b"".join(part for listed in lists for part in (b'{"records":', listed, b"}\n"))
        if not document.isascii():
            document.decode()
        if unknown_fields == "infer" and sprawls(document):
            return None
        table = pj.read_json(
            pa.BufferReader(document),
            pj.ReadOptions(use_threads=False, block_size=len(document) + 1),
            pj.ParseOptions(explicit_schema=shape.schema, unexpected_field_behavior=unknown_fields),
        )
    except (pa.ArrowException, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    column = table.column("records")
    if table.num_rows != len(lists) or table.num_columns != 1 or column.null_count:
        return None
    read = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    structs = read.flatten()
    return None if structs.null_count else (structs, read.value_lengths().to_pylist())


def strict_page(plan: Plan, raw: Sequence[Any]) -> tuple[Batch, Drift]:
    """The page from its records' raw JSON, each decoded and converted alone. Raises `LimitExceededError` as `check_rejects`."""
    drift = Drift()
    parts: list[Batch] = []
    rejects = 0
    for start in range(0, max(1, len(raw)), _AT_ONCE):
        parts.append(_strict(plan, raw[start : start + _AT_ONCE], drift))
        if found := parts[-1].rejects:
            rejects += len(found)
            check_rejects(rejects, found[0].reasons[0])
    return combine(parts), drift


def _strict(plan: Plan, raw: Sequence[Any], drift: Drift) -> Batch:
    objects, kept, broken = [], [], []
    for record in raw:
        try:
            value = RECORD.decode(record)
        except _UNREADABLE as error:
            broken.append(Reject(bytes(record), (f"record: not valid JSON: {_why_broken(bytes(record), error)}",)))
            drift.retyped["record: expected JSON, got other text"] += 1
            continue
        if not isinstance(value, dict):
            broken.append(Reject(bytes(record), (f"record: expected object, got {kind(value)}",)))
            drift.retyped[f"record: expected object, got {kind(value)}"] += 1
            continue
        objects.append(value)
        kept.append(record)
        found: set[str] = set()
        unknown(value, plan.shape, "", found)
        drift.new.update(found)
    return assemble(plan, Records(object_values(objects), kept, broken), drift)
