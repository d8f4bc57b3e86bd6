"""The webhook receiver: `POST /webhooks/<source>`. A 2xx is given only for what is on disk, and only to who signed it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integration_assets.errors import RescheduleError, SecretMissingError
from integration_assets.inbox.event import UnreadableEventError, read
from integration_assets.inbox.keeping import Keeper
from integration_assets.inbox.signatures import WRONG, challenge, keys, refusal
from integration_assets.inbox.store import Inbox
from integration_assets.settings import Settings
from integration_assets.spec.events import HEADER, Events, Webhook
from integration_assets.spec.source import Source

AT_ONCE = 128
"""Deliveries that are read or committed at the same time; with the largest body this bounds the memory."""
READ = 10.0
"""Seconds in which a body must have come."""
COMMIT = 20.0
"""Seconds in which an event must be on disk."""
RETRY_AFTER = "5"
_HUNG_UP = 499
"""What logs show, by custom, for who did not wait for an answer."""
_SHOWN = 100
_LOG = logging.getLogger("integration_assets.inbox")


@dataclass(frozen=True)
class Door:
    """One source's address: what is accepted there."""

    source: str
    events: Events
    webhook: Webhook
    keys: Sequence[bytes]


class _RefusedError(Exception):
    """A delivery that is not kept."""

    def __init__(self, status: int, outcome: str) -> None:
        super().__init__(outcome)
        self.status, self.outcome = status, outcome


@dataclass
class _Delivery:
    """What the log says of a delivery: never its payload or signature."""

    source: str
    id: str = "-"
    size: int = 0


def doors(sources: Sequence[Source], settings: Settings) -> dict[str, Door]:
    """The doors of the sources that have webhooks. Raises `SecretMissingError` naming what is not set."""
    found = {}
    for source in sources:
        if source.events is None or not isinstance(source.events.via, Webhook):
            continue
        signature, secret = source.events.via.signature, settings.secrets_for(source)
        secrets = [secret(signature.secret)]
        if signature.previous_secret:
            with contextlib.suppress(SecretMissingError):  # then no rotation is under way
                secrets.append(secret(signature.previous_secret))
        found[source.name] = Door(source.name, source.events, source.events.via, keys(signature, secrets))
    return found


def application(doors: Mapping[str, Door], inbox: Inbox, at_once: int = AT_ONCE) -> Starlette:
    """The receiver as an ASGI application over an open inbox."""
    receiver = _Receiver(doors, Keeper(inbox), at_once)
    routes = [
        Route("/webhooks/{source}", receiver.deliver, methods=["POST"]),
        Route("/healthz", receiver.health, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=receiver.lifespan)


class _Receiver:
    def __init__(self, doors: Mapping[str, Door], keeper: Keeper, at_once: int) -> None:
        self._doors, self._keeper, self._at_once = doors, keeper, at_once
        self._open = 0

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Keep events while the application runs; what was answered for is on disk, what waits is committed at the end."""
        async with self._keeper.running(COMMIT):
            yield

    async def health(self, _request: Request) -> Response:
        """200 while an event could be kept, 503 while not."""
        try:
            await asyncio.wait_for(self._keeper.check(), COMMIT)
        except (RescheduleError, TimeoutError):
            return JSONResponse({"status": "the inbox is not available"}, 503, {"Retry-After": RETRY_AFTER})
        return JSONResponse({"status": "ok", "open": self._open, "waiting": self._keeper.waiting})

    async def deliver(self, request: Request) -> Response:
        """Keep one delivery, or refuse it; either is a line in the log."""
        began, delivery = time.monotonic(), _Delivery(_plain(request.path_params["source"]))
        status, answer = 200, {}
        try:
            answer = await self._taken(request, delivery)
        except _RefusedError as refused:
            status, answer = refused.status, {"outcome": refused.outcome}
        milliseconds = (time.monotonic() - began) * 1000
        _LOG.log(
            logging.INFO if status == 200 else logging.WARNING,  # noqa: PLR2004 - HTTP's OK
            "%s: status=%d source=%s id=%s bytes=%d ms=%.0f",
            *(answer["outcome"], status, delivery.source, delivery.id, delivery.size, milliseconds),
        )
        # Whoever was refused may still be sending: the connection ends, and nothing more of it is read.
        headers = {} if status == 200 else {"Connection": "close"}  # noqa: PLR2004
        return JSONResponse(answer, status, headers | ({"Retry-After": RETRY_AFTER} if status == 503 else {}))  # noqa: PLR2004

    async def _taken(self, request: Request, delivery: _Delivery) -> dict[str, str]:
        """The answer to a delivery that is accepted. Raises `_RefusedError`."""
        door = self._doors.get(request.path_params["source"])
        if door is None:
            raise _RefusedError(404, "unknown source")
        if self._open >= self._at_once:
            raise _RefusedError(503, "busy")
        self._open += 1
        try:
            place = door.events.places.id or ""
            delivery.id = _plain(request.headers.get(place.removeprefix(HEADER)) or "-") if place.startswith(HEADER) else "-"
            return await self._kept(door, request, delivery)
        finally:
            self._open -= 1

    async def _kept(self, door: Door, request: Request, delivery: _Delivery) -> dict[str, str]:
        signature = door.webhook.signature
        # What is not signed at all, or long ago, is not worth reading.
        reason = refusal(signature, door.keys, request.headers, b"", time.time())
        if reason not in {None, WRONG}:
            raise _RefusedError(401, str(reason))
        body = await _read(request, door.webhook.max_bytes, delivery)
        reason = refusal(signature, door.keys, request.headers, body, time.time())
        if reason is not None:
            raise _RefusedError(401, reason)
        asked = challenge(signature, body)
        if asked is not None:
            return {"outcome": "challenge", "challenge": asked}
        try:
            event = read(door.source, door.events, body, request.headers, datetime.now(UTC))
            delivery.id = _plain(event.id)
            new = await asyncio.wait_for(self._keeper.keep(event), COMMIT)
        except UnreadableEventError as error:
            raise _RefusedError(400, f"unreadable, {error.what}") from None
        except (RescheduleError, TimeoutError):
            raise _RefusedError(503, "the inbox is not available") from None
        return {"outcome": "duplicate" if not new else "accepted" if event.streams else "ignored"}


async def _read(request: Request, most: int, delivery: _Delivery) -> bytes:
    """The body, if it comes in time and is no larger than allowed; reading stops there."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        raise _RefusedError(413, "too large")
    parts = []
    try:
        async with asyncio.timeout(READ):
            async for part in request.stream():
                delivery.size += len(part)
                if delivery.size > most:
                    raise _RefusedError(413, "too large")
                parts.append(part)
    except TimeoutError:
        raise _RefusedError(408, "too slow") from None
    except ClientDisconnect:
        raise _RefusedError(_HUNG_UP, "hung up") from None
    return b"".join(parts)


def _plain(text: str) -> str:
    """What a stranger sent, harmless in a log: no control characters, no spaces, not long."""
    return "".join(sign if sign.isprintable() and sign != " " else "?" for sign in text[:_SHOWN])
