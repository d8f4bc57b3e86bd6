"""What faults do to a finished answer: broken syntax, changed schemas, bad records, empty pages, wrong media types."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import msgspec

from integration_assets.sandbox.answers import HTML, JSON, Answer
from integration_assets.sandbox.faults import chance
from integration_assets.sandbox.snapshots import document, element
from integration_assets.sandbox.times import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration_assets.sandbox.faults import Kind, Retype, Rule

Record = dict[str, Any]

_PAGE = b"<!doctype html><html><head><title>Scheduled maintenance</title></head><body><h1>Back soon</h1></body></html>"


def damage(answer: Answer, met: Mapping[Kind, Rule]) -> Answer:
    """Apply, in a fixed order, every kind that changes the answer itself; the wire kinds are not done here."""
    if rule := met.get("html"):
        return replace(answer, body=_PAGE, media=HTML, status=rule.status or 200, snapshot=False).without("Link")
    if met.keys() & {"schema", "bad_rows", "empty"}:
        answer = _records_changed(answer, met)
    if "malformed" in met:
        answer = replace(answer, body=_broken(answer), snapshot=False)
    if rule := met.get("content_type"):
        answer = replace(answer, media=rule.media)
    return answer


def _records_changed(answer: Answer, met: Mapping[Kind, Rule]) -> Answer:
    envelope, records = _read(answer)
    if rule := met.get("schema"):
        for record in records:
            _change_schema(record, rule)
    if rule := met.get("bad_rows"):
        for record in records:
            _spoil(record, rule)
    if "empty" in met:
        records = []
        envelope = {name: {"count": 0, "next_cursor": None} for name in envelope if name == "meta"} or envelope
        answer = answer.without("Link")
    return replace(answer, body=_written(answer, envelope, records))


def _read(answer: Answer) -> tuple[Record, list[Record]]:
    """Take an answer of our own apart: what surrounds the records, and the records."""
    if answer.media == JSON:
        envelope = msgspec.json.decode(answer.body)
        return envelope, envelope.pop("data")
    if answer.media.startswith("text/csv"):
        header, *rows = csv.reader(io.StringIO(answer.body.decode()))
        return {"header": header}, [dict(zip(header, row, strict=True)) for row in rows]
    root = ET.fromstring(answer.body)  # noqa: S314  (this process wrote it a moment ago)
    return dict(root.attrib), [{child.tag: child.text for child in node} for node in root]


def _written(answer: Answer, envelope: Record, records: list[Record]) -> bytes:
    if answer.media == JSON:
        return msgspec.json.encode({"data": records} | envelope)
    if answer.media.startswith("text/csv"):
        # The header is the union in order of appearance, so that a field dropped from one row is an empty cell.
        header = list(dict.fromkeys(name for record in records for name in record)) or envelope["header"]
        sink = io.StringIO()
        writer = csv.DictWriter(sink, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return sink.getvalue().encode()
    return document([element("airport", record) for record in records], envelope["total"])


def _change_schema(record: Record, rule: Rule) -> None:
    for path, kind in rule.retype.items():
        holder, name = _holder(record, path)
        if holder is not None and holder.get(name) is not None:
            holder[name] = _retyped(holder[name], kind)
    for path, new in rule.rename.items():
        holder, name = _holder(record, path)
        if holder is not None and name in holder:
            holder[new] = holder.pop(name)
    record.update(rule.add)


def _retyped(value: Any, kind: Retype) -> Any:  # noqa: ANN401  (a JSON value in, another out)
    if kind == "epoch":
        return parse(value)
    return {"string": str(value), "array": [value], "object": {"value": value}}[kind]


def _spoil(record: Record, rule: Rule) -> None:
    # The choice hangs on the record's identity, so a bad record is still bad when it is fetched again.
    identity = record.get("id") or next(iter(record.values()), "")
    if chance(rule.seed, str(identity)) >= rule.share:
        return
    path = rule.field or rule.drop or rule.null or ""
    holder, name = _holder(record, path)
    if holder is None or name not in holder:
        return
    if rule.drop:
        del holder[name]
    else:
        holder[name] = None if rule.null else rule.value


def _holder(record: Record, path: str) -> tuple[Record | None, str]:
    """Find the object a dotted path ends in, or None where the record has no such object."""
    *parents, name = path.split(".")
    holder: Any = record
    for parent in parents:
        holder = holder.get(parent) if isinstance(holder, dict) else None
    return (holder if isinstance(holder, dict) else None), name


def _broken(answer: Answer) -> bytes:
    """Break the syntax with the length still honest: JSON and XML lose their end, CSV gains an unclosed quote."""
    if answer.media.startswith("text/csv"):
        lines = answer.body.splitlines(keepends=True)
        lines.insert(len(lines) // 2 + 1, b'"broken,line\n')
        return b"".join(lines)
    return answer.body[: len(answer.body) * 2 // 3]
