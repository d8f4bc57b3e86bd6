"""One look at whether an API has something new: one request, no retry, seconds at most."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from integration_assets.errors import ResponseError
from integration_assets.extract.client import Response, SourceClient
from integration_assets.spec.probe import ConditionalProbe, Probe, ValueProbe
from integration_assets.spec.source import Source

PATIENCE = 15.0
"""Seconds that a look may take, whatever the source's limits allow a page."""
_CONNECT = 5.0
_READ = 10.0
_BODY = 8 * 2**20
_SHOWN = 200
_NOT_MODIFIED = 304
_ASKED_BY = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


def brief(source: Source) -> Source:
    """The source with limits for a look: asked once, given up soon, an answer of a few megabytes at most."""
    limits = source.limits
    return source.changed(
        limits=limits.changed(
            attempts=1,
            connect_timeout=min(limits.connect_timeout, _CONNECT),
            read_timeout=min(limits.read_timeout, _READ),
            retry_timeout=min(limits.retry_timeout, PATIENCE),
            pool_timeout=min(limits.pool_timeout, PATIENCE),
            max_page_bytes=min(limits.max_page_bytes, _BODY),
        )
    )


def look(client: SourceClient, probe: Probe, path: str, seen: str | None = None) -> str:
    """What the API shows now, as a short text that is another one when something changed.

    client : of a source made `brief`.
    path   : what is asked when the probe names no path of its own.
    seen   : what the last look returned, for a conditional request.
    Raises what `SourceClient.get` raises, and `ResponseError` for an answer that does not hold what the probe names.
    """
    where = probe.path or path
    if isinstance(probe, ConditionalProbe):
        return _validator(client, probe, where, seen)
    if probe.header is not None:
        return _short(client.redact(_header(client.look(where, probe.params), probe.header)))
    return _short(client.redact(_value(client.get(where, probe.params), probe)))


def _validator(client: SourceClient, probe: ConditionalProbe, path: str, seen: str | None) -> str:
    """`etag:…` or `last-modified:…` of the answer; `seen` when the API says that it is the same."""
    kind, _, text = (seen or "").partition(":")
    asked = {_ASKED_BY[kind]: text} if kind in _ASKED_BY else {}
    response = client.look(path, probe.params, asked, method=probe.method)
    if response.status == _NOT_MODIFIED and seen is not None:
        return seen
    for name in _ASKED_BY:
        if found := response.headers.get(name, "").strip():
            # Compared as a tag may be that a proxy has weakened on its way.
            return _same_tag(seen, _short(f"{name}:{client.redact(found)}"))
    raise ResponseError(
        f"{probe.method} {path} answers with neither an ETag nor a Last-Modified header",
        field="probe",
        remedy="Use a ValueProbe, such as the newest record's cursor or a count.",
    )


def _same_tag(seen: str | None, found: str) -> str:
    if seen is not None and seen.replace(":W/", ":", 1) == found.replace(":W/", ":", 1):
        return seen
    return found


def _header(response: Response, name: str) -> str:
    value = response.headers.get(name, "").strip()
    if not value:
        raise ResponseError(
            f"the answer has no header {name}", field="probe.header", remedy="Check the name against the API's manual."
        )
    return value


def _value(response: Response, probe: ValueProbe) -> str:
    """The value as text: a scalar as it is written, anything else as its JSON; an empty list of newest records is a value too."""
    try:
        found: Any = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ResponseError("the answer is no JSON", field="probe", remedy="Use a header, or a ConditionalProbe.") from None
    for step in probe.steps:
        if isinstance(step, int) and isinstance(found, list):
            # The newest of no records: as long as there is none, nothing is new.
            found = found[step] if step < len(found) else None
        elif isinstance(step, str) and isinstance(found, dict) and step in found:
            found = found[step]
        elif found is not None:
            raise ResponseError(
                f"the answer has no {probe.value!r}", field="probe.value", remedy="Name the path to the value in the JSON body."
            )
    return found if isinstance(found, str) else msgspec.json.encode(found, order="deterministic").decode()


def _short(text: str) -> str:
    """The text itself, or a hash of one that is too long to be kept."""
    return text if len(text) <= _SHOWN else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
