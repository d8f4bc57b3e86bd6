"""Puts an answer on the wire, whole or as a fault wants it: slowly, cut short, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Message, Receive, Scope, Send

    from integration_assets.sandbox.answers import Answer
    from integration_assets.sandbox.faults import Kind, Rule

Transports = dict[tuple[str, int], asyncio.Transport]

_SMALLEST_TO_COMPRESS = 1024
_CHEAPEST = 1
_GZIP_FRAME = 31
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


def protocol_class(transports: Transports) -> type[asyncio.Protocol]:
    """Make the server's protocol keep its open connections in `transports`, by client address."""
    base: Any = AutoHTTPProtocol

    class Registering(base):  # type: ignore[misc]  # which base depends on what is installed
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self.client, None)
            super().connection_lost(exc)

    return Registering


def conditional(answer: Answer, if_none_match: str | None) -> Answer:
    """Give a snapshot its strong ETag, and answer 304 without a body when the client holds that one."""
    if not answer.snapshot:
        return answer
    tag = f'"{hashlib.blake2b(answer.body, digest_size=16).hexdigest()}"'
    answer = answer.adding(("ETag", tag), ("Cache-Control", "no-cache"))
    held = [part.strip().removeprefix("W/") for part in (if_none_match or "").split(",")]
    return replace(answer, status=304, body=b"") if tag in held or "*" in held else answer


def compressed(answer: Answer, accept_encoding: str | None) -> Answer:
    """Compress at the cheapest level when the client accepts gzip and the body is worth it."""
    answer = answer.adding(("Vary", "Accept-Encoding"))
    if len(answer.body) < _SMALLEST_TO_COMPRESS or not _accepts_gzip(accept_encoding or ""):
        return answer
    packer = zlib.compressobj(_CHEAPEST, wbits=_GZIP_FRAME)
    body = packer.compress(answer.body) + packer.flush()
    return replace(answer, body=body).adding(("Content-Encoding", "gzip"))


def _accepts_gzip(accepted: str) -> bool:
    for part in accepted.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def reset(scope: Scope, receive: Receive, transports: Transports) -> None:
    """Tear the connection down with a RST and no answer."""
    transport = transports[tuple(scope["client"])]
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


async def deliver(answer: Answer, met: Mapping[Kind, Rule], scope: Scope, send: Send, transports: Transports) -> None:
    """Send the answer, obeying the `slow` and `truncate` rules among those `met`."""
    await send(_start(answer))
    body = answer.body
    if cut := met.get("truncate"):
        # One byte less at the very least: a whole body would be no fault.
        body = body[: min(int(len(body) * cut.keep), len(body) - 1)]
    if slow := met.get("slow"):
        while len(body) > slow.bytes:
            await send({"type": "http.response.body", "body": body[: slow.bytes], "more_body": True})
            await asyncio.sleep(slow.seconds)
            body = body[slow.bytes :]
        await asyncio.sleep(slow.seconds)
    await send({"type": "http.response.body", "body": body, "more_body": cut is not None})
    if cut:
        transports[tuple(scope["client"])].close()


def _start(answer: Answer) -> Message:
    headers = list(answer.headers)
    if answer.status != 304:  # noqa: PLR2004  (Not Modified has no body to describe)
        headers += [("Content-Type", answer.media), ("Content-Length", str(len(answer.body)))]
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"type": "http.response.start", "status": answer.status, "headers": raw}
