"""A spec names its secrets. What looks like the secret itself is refused before anything repeats it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from integration_assets.components.document import Where

_CREDENTIAL_NAMES = re.compile(
    r"authorization|password|passwd|secret|credential|^(?:set-)?cookie$"
    r"|(?:api|access|auth|private|subscription|app|shared|signing|id|refresh)[-_.]?(?:key|token)$",
    re.IGNORECASE,
)
_SHORT_NAMES = re.compile(r"(?:x-)?(?:key|token|sig|signature)", re.IGNORECASE)
_ISSUED = re.compile(
    r"(?:"
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bAIza[\w-]{30,}"
    r"|\bya29\.[\w-]{20,}"
    r"|\bgh[pousr]_\w{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{20,}"
    r"|\bxox[abeoprs]-[\w-]{10,}"
    r"|\b(?:sk|rk)[-_](?:live|test|proj|ant)?[-_]?\w{20,}"
    r"|\bSG\.[\w-]{20,}\.[\w-]{20,}"
    r"|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\."
    r")"
)
_SCHEME = re.compile(r"(?:Bearer|Basic|Token) \S+", re.IGNORECASE)
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_SENT, _BODY = {"headers", "params", "config"}, "body"


def literal_secrets(values: object) -> Iterator[tuple[Where, str]]:
    """Where a secret itself seems to be written, and what gave it away; the value is never part of it.

    Looked for: a header or parameter that carries a credential by its name, text that has the form of an issued key or token,
    a password in an address, and anything but an environment name where a secret is named.
    """
    yield from _found(values, ())


def _found(value: object, where: Where) -> Iterator[tuple[Where, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _found(inner, (*where, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _found(inner, (*where, position))
    elif value is not None and (reason := _reason(value, where)):
        yield where, reason


def _reason(value: object, where: Where) -> str | None:
    names = [part for part in where if isinstance(part, str)]
    last, above = (names[-1] if names else ""), (names[-2] if len(names) > 1 else "")
    named = last == "secret" or last.endswith("_secret") or above == "secrets"
    if named and not (isinstance(value, str) and _NAME.fullmatch(value)):
        return "a secret is named here, by an environment variable in capitals, and not written"
    if not isinstance(value, str):
        return None
    telling = _CREDENTIAL_NAMES.search(last) or _SCHEME.fullmatch(value)
    if (above in _SENT and (telling or _SHORT_NAMES.fullmatch(last))) or (_BODY in names[:-1] and telling):
        return f"{last!r} carries a credential"
    if _ISSUED.search(value):
        return "this looks like a key or token itself"
    if "://" in value and urlsplit(value).password:
        return "there is a password in this address"
    return None
