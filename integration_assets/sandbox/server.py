"""Puts the parts together and runs them: one process, one event loop, until a signal or the parent's end."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from integration_assets.sandbox import admin, openapi
from integration_assets.sandbox.answers import ApiError
from integration_assets.sandbox.api import Api
from integration_assets.sandbox.clock import Clock
from integration_assets.sandbox.data import load
from integration_assets.sandbox.times import parse
from integration_assets.sandbox.wire import protocol_class

if TYPE_CHECKING:
    import socket

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEFAULT_KEY = "sandbox-key"  # a sample key for a server on loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of `serve`; see there for their meaning."""

    host: str
    port: int
    clock: str
    speed: float
    key: str | None
    rate_limit: float
    admin: bool
    days: int | None
    cursor_ttl: float
    gzip: bool
    watch_stdin: bool


def run(settings: Settings) -> None:
    """Serve until SIGTERM or ctrl-C."""
    key = settings.key or os.environ.get("SANDBOX_KEY") or DEFAULT_KEY
    clock = Clock(parse(settings.clock), 0)
    api = Api(
        load(settings.days),
        clock,
        key=key,
        rate_limit=settings.rate_limit,
        cursor_ttl=settings.cursor_ttl,
        gzip=settings.gzip,
    )
    # Only now: a fast clock must not run away while the data are indexed.
    clock.change(speed=settings.speed)
    if settings.watch_stdin:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    config = uvicorn.Config(
        application(api, open_admin=settings.admin),
        host=settings.host,
        port=settings.port,
        http=protocol_class(api.transports),
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        # Every answer is dated by the API's own clock instead.
        date_header=False,
        # Longer than a client keeps an idle connection: only a rule may cut one off.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    # Ctrl-C has done its work once the server has closed its connections.
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config).run()


def application(api: Api, *, open_admin: bool) -> ASGIApp:
    """Build the whole ASGI application around one `Api`."""
    routes: list[Route | Mount] = [
        Route("/healthz", _healthz),
        Route("/openapi.json", _openapi),
        Mount("/v1", app=api),
    ]
    if open_admin:
        routes.append(Mount("/admin", routes=admin.routes(api)))
    return _numbered_and_dated(Starlette(routes=routes, exception_handlers={HTTPException: _error}), api.clock)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            address = f"[{host}]" if ":" in host else host
            print(f"sandbox ready at http://{address}:{port}", flush=True)  # noqa: T201  (the line callers wait for)
            return


def _stop_with_parent() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _numbered_and_dated(app: ASGIApp, clock: Clock) -> ASGIApp:
    """Wrap `app` so that every answer is numbered in X-Request-Id and dated by `clock` in Date."""
    numbers = itertools.count(1)

    async def numbered(scope: Scope, receive: Receive, send: Send) -> None:
        name = (b"x-request-id", f"req-{next(numbers):012x}".encode())
        date = (b"date", formatdate(int(clock.now()), usegmt=True).encode())

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), name, date]
            await send(message)

        await app(scope, receive, send_named)

    return numbered


def _healthz(_: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


def _openapi(request: Request) -> Response:
    server = f"{request.url.scheme}://{request.url.netloc}"
    return Response(msgspec.json.encode(openapi.document(server)), media_type="application/json")


def _error(_: Request, error: Exception) -> Response:
    """Give Starlette's own errors (no such route, wrong method, bad admin body) the shape of all others."""
    if not isinstance(error, HTTPException):
        raise error
    answer = ApiError(error.status_code, f"http_{error.status_code}", error.detail, error.headers).answer()
    return Response(answer.body, answer.status, dict(answer.headers), answer.media)
