"""The receiver as a process: one socket, one event loop, until it is asked to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType

from integration_assets.errors import HumanNeededError, SpecError
from integration_assets.settings import Settings
from integration_assets.spec.source import Source

CONNECTIONS = 1000
"""Connections at once; more are turned away with 503."""
GRACE = 25
"""Seconds in which deliveries under way must end when the process is asked to stop."""


def serve(
    sources: Sequence[Source], settings: Settings, host: str, port: int, at_once: int, ready: Callable[[str], None]
) -> None:
    """Receive the webhooks of `sources` until SIGTERM or ctrl-C; what is under way is finished first.

    port    : 0 takes a free one.
    at_once : deliveries that are read or committed at the same time; more are answered 503.
    ready   : told the address once the socket is open.
    Raises `SpecError` when no source has a webhook, `SecretMissingError` for a secret that is not set.
    """
    import uvicorn

    from integration_assets.inbox.receiver import application, doors
    from integration_assets.inbox.store import open_inbox

    found = doors(sources, settings)
    if not found:
        raise SpecError(
            "no source says that its events come by webhook",
            field="events",
            remedy="Describe it: Source(events=Events(via=Webhook(…), …)).",
        )
    stop_on_signals()
    with open_inbox(settings.inbox_uri) as inbox, _listening(host, port) as listening:
        config = uvicorn.Config(
            application(found, inbox, at_once),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE,
        )
        name, number = listening.getsockname()[:2]
        ready(f"http://{f'[{name}]' if ':' in name else name}:{number}")
        uvicorn.Server(config).run(sockets=[listening])


def stop_on_signals() -> None:
    """End by `SystemExit` on SIGTERM and ctrl-C, so that what is open is closed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise HumanNeededError(
            f"{host}:{port} cannot be listened on: {error.strerror}", remedy="Choose another address or port."
        ) from error
