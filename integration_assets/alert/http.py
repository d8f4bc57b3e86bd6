"""Slack and webhooks: one POST, an answer in seconds or an error. A URL that is itself a secret is in no log."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from integration_assets import __version__
from integration_assets.alert.message import Message
from integration_assets.errors import RescheduleError

_TIMEOUTS = {"connect": 5.0, "read": 10.0, "write": 10.0, "pool": 5.0}
_FIRST_OK, _FIRST_OTHER = 200, 300

# It spells out headers when debug logging is on.
if logging.getLogger("httpcore").level == logging.NOTSET:
    logging.getLogger("httpcore").setLevel(logging.INFO)


@dataclass(frozen=True)
class Slack:
    """A channel of Slack, by an incoming webhook's URL."""

    url: str = field(repr=False)
    name: str = "slack"

    def send(self, message: Message) -> None:
        """Post the text. Raises `RescheduleError` when Slack does not take it."""
        plain = message.text().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        first, _, rest = plain.partition("\n")
        _post(self.name, self.url, json.dumps({"text": f"*{first}*\n{rest}" if rest else f"*{first}*"}).encode(), {})


@dataclass(frozen=True)
class Webhook:
    """Any receiver of JSON. `X-Integration-Signature` is `sha256=` and the HMAC of `<X-Integration-Timestamp>.<body>`."""

    url: str = field(repr=False)
    key: str = field(repr=False)
    name: str = "webhook"

    def send(self, message: Message) -> None:
        """Post the message. Raises `RescheduleError` when the receiver does not take it."""
        body, moment = message.to_json().encode(), str(int(time.time()))
        signed = hmac.new(self.key.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {
            "X-Integration-Timestamp": moment,
            "X-Integration-Signature": f"sha256={signed}",
            "Idempotency-Key": message.key,
        }
        _post(self.name, self.url, body, headers)


def _post(name: str, url: str, body: bytes, headers: dict[str, str]) -> None:
    """By the transport and not by a client, which logs the URL."""
    every = {"Content-Type": "application/json", "User-Agent": f"integration_assets/{__version__}", **headers}
    request = httpx.Request("POST", url, content=body, headers=every, extensions={"timeout": _TIMEOUTS})
    host = request.url.host
    try:
        with httpx.HTTPTransport(proxy=_proxy(url)) as transport:
            response = transport.handle_request(request)
            response.close()
    except httpx.TransportError as error:
        raise RescheduleError(f"{name}: no answer from {host} ({type(error).__name__})", remedy="It is sent again.") from None
    if not _FIRST_OK <= response.status_code < _FIRST_OTHER:
        raise RescheduleError(f"{name}: {host} answered {response.status_code}", remedy="Check the address; it is sent again.")


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
