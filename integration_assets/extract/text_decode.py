"""CSV and XML bodies to rows: texts, converted to the contract's types."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message
from io import BytesIO, StringIO
from typing import Any
from xml.etree import ElementTree as ET

import defusedxml
from defusedxml import ElementTree as SafeET

from integration_assets.errors import ResponseError
from integration_assets.extract.assemble import Records, assemble, object_values
from integration_assets.extract.page import BrokenBodyError, DecodedPage
from integration_assets.extract.plan import ABSENT, TEXT, Plan, unknown
from integration_assets.spec.formats import Csv, Xml
from integration_assets.spec.paths import Path
from integration_assets.spec.records import Drift, Reject, check_rejects

_ROW = "row: "
_KEPT = "surrogateescape"
_DEPTH = 200


class CsvReader:
    """Reads a header line and the rows under it.

    Python's own reader and not Arrow's: it tells which lines a row came from, so that a row with a wrong number of
    cells is rejected alone and whole. The types are then made column by column.
    """

    def __init__(self, plan: Plan, form: Csv) -> None:
        self._plan = plan
        self._form = form

    def read(self, body: bytes, content_type: str | None = None) -> DecodedPage:
        """The page in `body`. Raises `ResponseError` for a header without any of the columns, or text not as declared."""
        rows = _Rows(_text(body, content_type), self._form.delimiter)
        listed = iter(rows)
        header, _ = next(listed, ([], ""))
        rows.width = len(header)
        places = self._places(header)
        cells, raw, broken, drift = [], [], [], Drift()
        for row, line in listed:
            try:
                record, whole = line.encode(), True
            except UnicodeEncodeError:
                record, whole = _bytes(line), False
            if len(row) == len(header) and whole:
                cells.append(row)
                raw.append(record)
            elif len(row) == len(header):
                broken.append(Reject(record, (f"{_ROW}bytes that are no UTF-8",)))
                check_rejects(len(broken), _ROW + "bytes that are no UTF-8")
                drift.retyped[f"{_ROW}bytes that are no UTF-8"] += 1
            else:
                got = f"{len(row)} cells" if row else "an open quote or an endless cell"
                broken.append(Reject(record, (f"{_ROW}expected {len(header)} cells, got {got}",)))
                check_rejects(len(broken), _ROW + "not as many cells as the header")
                drift.retyped[f"{_ROW}expected {len(header)} cells, got another number"] += 1
        nulls = set(self._form.nulls)
        columns = [[None if cell in nulls else cell for cell in column] for column in zip(*cells, strict=True)]
        for name, place in places.items():
            filled = sum(cell is not None for cell in columns[place]) if columns else 0
            if filled and not self._known(name):
                drift.new[name] += filled

        def values(path: Path) -> list[Any]:
            place = places.get(".".join(str(part) for part in path))
            return [ABSENT] * len(raw) if place is None else columns[place] if columns else []

        return DecodedPage(assemble(self._plan, Records(values, raw, broken), drift), drift, counted=not rows.shredded)

    def _places(self, header: Sequence[str]) -> dict[str, int]:
        names = [name.strip() for name in header]
        wanted = [column.shown for column in self._plan.columns]
        twice = [name for name in wanted if names.count(name) > 1]
        if twice or not set(wanted) & set(names):
            shown = ", ".join(names)[:200]
            raise ResponseError(
                f"the header has {f'the column {twice[0]!r} twice' if twice else 'none of the columns'}: {shown}",
                field="format",
                remedy=f"Expected are: {', '.join(wanted)}. Check the delimiter and that the API sends a header.",
            )
        return {name: place for place, name in enumerate(names)}

    def _known(self, name: str) -> bool:
        shape = self._plan.shape
        for part in name.split("."):
            if shape.whole or part not in shape.fields:
                return shape.whole
            shape = shape.fields[part]
        return True


class _Rows:
    """Each row's cells with the lines it was; no cells for one that cannot be read. Blank lines are skipped.

    A quote that is opened by mistake takes the lines after it for its cell. So where several lines make no row, each is
    read alone, and the last, at which that was noticed, together with those that follow it.

    width    : how many cells a row should have.
    shredded : whether lines were read alone: the rows may then be more or fewer than the records they were.
    """

    def __init__(self, text: str, delimiter: str) -> None:
        self.width: int | None = None
        self.shredded = False
        self._delimiter = delimiter
        self._text = StringIO(text, newline="")
        self._again = ""
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[tuple[list[str], str]]:
        reader = self._reader(self._lines())
        while True:
            self._taken.clear()
            cells = _cells(reader)
            if not self._taken:
                return
            found = [(cells, self._taken)]
            if len(self._taken) > 1 and not (cells and self.width in {None, len(cells)}):
                found = self._shred()
                reader = self._reader(self._lines())
            for row, lines in found:
                if text := "".join(lines).rstrip("\r\n"):
                    yield row, text

    def _lines(self) -> Iterator[str]:
        while line := self._again or self._text.readline():
            self._again = ""
            self._taken.append(line)
            yield line

    def _shred(self) -> list[tuple[list[str], list[str]]]:
        self.shredded = True
        self._again = self._taken.pop()
        return [(_cells(self._reader([line])), [line]) for line in self._taken]

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)


def _cells(reader: Iterator[list[str]]) -> list[str]:
    """The next row's cells; none for one that cannot be read, for a blank line, and at the end."""
    try:
        return next(reader, [])
    except csv.Error:
        return []


class XmlReader:
    """Reads the elements of one name; namespaces are left out, an element that repeats becomes a list."""

    def __init__(self, plan: Plan, form: Xml) -> None:
        self._plan = plan
        self._form = form

    def read(self, body: bytes, _content_type: str | None = None) -> DecodedPage:
        """The page in `body`. Raises `ResponseError` for a document that declares entities or is nested too deep."""
        try:
            elements = self._elements(body)
        except ET.ParseError as error:
            raise BrokenBodyError(f"the body is not valid XML: {error}") from None
        except defusedxml.DefusedXmlException as error:
            raise ResponseError(f"the XML declares entities: {type(error).__name__}", remedy="Ask the API's owner.") from None
        except (LookupError, ValueError) as error:
            raise ResponseError(f"the XML declares an encoding that is not read: {error}", remedy="Ask for UTF-8.") from None
        drift = Drift()
        objects = [self._fields(element) for element in elements]
        for value in objects:
            found: set[str] = set()
            unknown(value, self._plan.shape, "", found)
            drift.new.update(found)
        look_up_all = object_values(objects)

        def values(path: Path) -> list[Any]:
            return [value.get(TEXT, value) if isinstance(value, dict) else value for value in look_up_all(path)]

        return DecodedPage(assemble(self._plan, Records(values, _XmlText(elements)), drift), drift)

    def _elements(self, body: bytes) -> list[ET.Element]:
        """The records' elements; one inside another is a part of it."""
        found: list[ET.Element] = []
        depth = record = 0
        for event, element in SafeET.iterparse(BytesIO(body), events=("start", "end")):
            if event == "start":
                depth += 1
                if depth > _DEPTH:
                    raise ResponseError(f"the XML is nested more than {_DEPTH} deep", remedy="Ask the API's owner.")
                if not record and _local(element.tag) == self._form.record:
                    record = depth
            else:
                if depth == record:
                    found.append(element)
                    record = 0
                depth -= 1
        return found

    def _fields(self, element: ET.Element) -> Any:  # noqa: ANN401 - text, or an object of them
        below: dict[str, Any] = {f"@{_local(name)}": self._value(text) for name, text in element.attrib.items()}
        for child in element:
            name, value = _local(child.tag), self._below(child)
            if name not in below:
                below[name] = value
            elif isinstance(below[name], list):
                below[name].append(value)
            else:
                below[name] = [below[name], value]
        return below

    def _below(self, element: ET.Element) -> Any:  # noqa: ANN401
        if len(element):
            return self._fields(element)
        text = self._value(element.text)
        return {**self._fields(element), TEXT: text} if element.attrib else text

    def _value(self, text: str | None) -> str | None:
        stripped = (text or "").strip()
        return None if stripped in self._form.nulls else stripped


class _XmlText(Sequence[bytes]):
    """Each element's text, written only when asked for."""

    def __init__(self, elements: Sequence[ET.Element]) -> None:
        self._elements = elements

    def __len__(self) -> int:
        return len(self._elements)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - an index or a slice, as Sequence has it
        if isinstance(index, slice):
            return _XmlText(self._elements[index])
        text: bytes = ET.tostring(self._elements[index], encoding="utf-8")
        return text.partition(b"?>\n")[2].strip() if text.startswith(b"<?xml") else text.strip()


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _bytes(line: str) -> bytes:
    """A line that is no text, as it came."""
    try:
        return line.encode(errors=_KEPT)
    except UnicodeEncodeError:
        return line.encode(errors="backslashreplace")  # half characters, which UTF-7 has


def _text(body: bytes, content_type: str | None) -> str:
    """The body in the charset its content type names, UTF-8 without one; of that, bytes that are none are kept as surrogates."""
    message = Message()
    message["content-type"] = content_type or "text/csv"
    charset = message.get_content_charset("utf-8")
    try:
        if codecs.lookup(charset).name != "utf-8":
            return body.decode(charset)
        body.partition(b"\n")[0].decode()  # a header that is none makes another charset likelier than a bad cell
        return body.removeprefix(codecs.BOM_UTF8).decode(errors=_KEPT)
    except (LookupError, UnicodeError) as error:
        raise ResponseError(
            f"the body is not text in {charset}: {error}", field="format", remedy="Ask the API's owner for UTF-8."
        ) from None
