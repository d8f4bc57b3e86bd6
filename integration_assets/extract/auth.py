"""The credential: resolved once, attached only to what is sent, only for the source's own origin, cut from all text."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from html import escape
from urllib.parse import quote, quote_plus, unquote_plus

import httpx

from integration_assets.errors import CrossHostError, SecretMissingError
from integration_assets.spec.auth import ApiKeyHeader, ApiKeyQuery, Auth, Basic, Bearer, secret_names

Origin = tuple[str, str, int | None]
_PORTS = {"http": 80, "https": 443}
_CUT = "…"


def origin(url: httpx.URL) -> Origin:
    """Scheme, host and port, the scheme's own port filled in."""
    return url.scheme, url.host.rstrip("."), url.port or _PORTS.get(url.scheme)


def show(where: Origin) -> str:
    """`https://host`, with the port only where it is not the scheme's own."""
    scheme, host, port = where
    return f"{scheme}://{host}" + ("" if port == _PORTS.get(scheme) else f":{port}")


def same_origin(home: Origin, url: httpx.URL) -> None:
    """Raise `CrossHostError` naming both hosts when `url` is not at `home`."""
    there = origin(url)
    if there != home:
        raise CrossHostError(
            f"{show(home)} sends its reader on to {show(there)}; the credential does not follow",
            field="base_url",
            remedy="If the API has moved, change the source's base_url; if it has not, ask its owner.",
        )


@dataclass(frozen=True)
class Credential:
    """What to attach to a request, and every spelling of it that must not be seen.

    headers : header names and values to set.
    param   : name and value of a query parameter, or None.
    names   : the secrets' names, which may be shown.
    hidden  : texts that `redact` cuts out, longest first.
    """

    headers: tuple[tuple[str, str], ...] = ()
    param: tuple[str, str] | None = None
    names: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def redact(self, text: str) -> str:
        """`text` with `***` in place of every secret, and of the part of one before the `…` of a text that was cut."""
        if text.endswith(_CUT):
            text = self._without_start(text.removesuffix(_CUT)) + _CUT
        for secret in self.hidden:
            text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)  # a host's name comes in small letters
        return text

    def redact_bytes(self, data: bytes) -> bytes:
        """UTF-8 `data` with `***` in place of every secret; itself when there is none in it."""
        for secret in self.hidden:
            data = data.replace(secret.encode(), b"***")
        return data

    def _without_start(self, text: str) -> str:
        """`text` with `***` in place of the longest beginning of a secret that it ends with."""
        longest = max((len(secret) for secret in self.hidden), default=0)
        for at in range(max(0, len(text) - longest), len(text)):
            if any(secret.startswith(text[at:]) for secret in self.hidden):
                return text[:at] + "***"
        return text

    @property
    def identity(self) -> str:
        """Eight hex digits that tell one credential from another, too few to find it by; the same wherever it is used."""
        parts = [*(part for header in self.headers for part in header), *(self.param or ())]
        return blake2b("\0".join(parts).encode(), digest_size=4, person=b"credential").hexdigest()

    def clean(self, url: httpx.URL) -> httpx.URL:
        """`url` without user info, fragment and our query parameter, which an API may echo in its links; else unchanged."""
        if url.userinfo or url.fragment:
            url = url.copy_with(username=None, password=None, fragment=None)
        if self.param is None or not url.query:
            return url
        parts = url.query.decode("ascii").split("&")
        kept = [part for part in parts if unquote_plus(part.partition("=")[0]) != self.param[0]]
        return url if len(kept) == len(parts) else url.copy_with(query="&".join(kept).encode() or None)

    def attach(self, url: httpx.URL) -> httpx.URL:
        """`url` with our query parameter, where the credential goes there; only for what is sent, and never for what is shown."""
        if self.param is None:
            return url
        name, value = self.param
        extra = f"{quote_plus(name)}={quote_plus(value)}".encode()
        return url.copy_with(query=b"&".join(part for part in (url.query, extra) if part))


def resolve(auth: Auth, secret: Callable[[str], str]) -> Credential:
    """Ask for the secrets that `auth` names. Raises `SecretMissingError` for one that is missing, empty or unsendable."""
    names = secret_names(auth)
    values = {name: _checked(name, secret(name)) for name in names}
    headers: tuple[tuple[str, str], ...] = ()
    param = None
    hidden = list(values.values())
    match auth:
        case Bearer(secret=name):
            headers = (("Authorization", f"Bearer {values[name]}"),)
        case ApiKeyHeader(secret=name, header=header):
            headers = ((header, values[name]),)
        case ApiKeyQuery(secret=name, param=key):
            param = (key, values[name])
        case Basic(username_secret=user, password_secret=password):
            pair = b64encode(f"{values[user]}:{values[password]}".encode()).decode()
            headers = (("Authorization", f"Basic {pair}"),)
            hidden.append(pair)
        case _:
            pass
    spellings = {form for text in hidden for form in _spellings(text)}
    return Credential(headers, param, names, tuple(sorted(spellings, key=len, reverse=True)))


def _spellings(text: str) -> tuple[str, ...]:
    """How an API may echo a secret: plain, as JSON with and without an escaped slash, in a URL, in a form, in XML, in CSV."""
    escaped = json.dumps(text)[1:-1]
    in_json = escaped, escaped.replace("/", "\\/")
    in_url = quote(text), quote(text, safe=""), quote_plus(text)
    return text, *in_json, *in_url, escape(text), escape(text, quote=False), text.replace('"', '""')


def _checked(name: str, value: str) -> str:
    if value and value.isascii() and value.isprintable() and value == value.strip():
        return value
    raise SecretMissingError(
        f"the secret {name} is {'empty' if not value.strip() else 'not sendable: it has a line break, a space or no ASCII'}",
        field="auth",
        remedy=f"Set {name} to the bare key, with nothing before or after it.",
    )
