"""The network below httpx, with one moment at which an exchange ends, whatever is sent.

A read timeout bounds the wait for each piece that comes. It never ends an answer whose headers come byte by byte, nor one
that is 1xx after 1xx or one endless chunk header: httpx hands none of these on, so nothing above it could look at the clock.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import local
from time import monotonic
from typing import Any

import httpcore
import httpx

_PIECE = 64 * 1024
_LEAST = 0.001


class _Exchange(local):
    """The moment, of the monotonic clock, at which what this thread asks has to be over, and how long that is in all."""

    end = float("inf")
    seconds = 0.0


_MINE = _Exchange()


@contextmanager
def over_within(seconds: float, started: float) -> Iterator[None]:
    """Let whatever this thread sends and reads time out `seconds` after `started`, by a transport that is `bounded`."""
    before = _MINE.end, _MINE.seconds
    _MINE.end, _MINE.seconds = started + seconds, seconds
    try:
        yield
    finally:
        _MINE.end, _MINE.seconds = before


def bounded(transport: httpx.HTTPTransport) -> httpx.HTTPTransport:
    """The transport itself, which now heeds `over_within`."""
    # httpx makes the pool and has no way to name its backend; the pool's own argument of that name is httpcore's public one.
    transport._pool._network_backend = _Backend()  # noqa: SLF001
    return transport


def hang_up(transport: httpx.HTTPTransport) -> None:
    """Close a transport that is `bounded`, for good: threads that are at it still get no connection that nobody would close."""
    backend = transport._pool._network_backend  # noqa: SLF001 - see above
    if isinstance(backend, _Backend):
        backend.closed = True
    transport.close()


def _left(timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
    """The timeout, cut at the end of the exchange; raises `late` past it."""
    left = _MINE.end - monotonic()
    if left <= 0:
        raise late(_too_late())
    if timeout is None:
        return None if left == float("inf") else left
    return min(timeout, left)


def _addresses(host: str, port: int) -> list[str]:
    """Those of a host by its name, in the resolver's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _too_late() -> str:
    return f"the answer was not whole after {round(_MINE.seconds, 1):g} s"


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()
        self.closed = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        # Python's own connect gives each of a host's addresses all of the time: a host of many would outlast every limit.
        end = monotonic() + (float("inf") if timeout is None else timeout)
        addresses = _addresses(host, port)
        for later in range(len(addresses) - 1, -1, -1):
            left = _left(max(end - monotonic(), _LEAST), httpcore.ConnectTimeout)
            share = None if left is None or left == float("inf") else left / (later + 1)
            try:
                inner = self._inner.connect_tcp(addresses[-1 - later], port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not later:
                    raise
                continue
            stream = _Stream(inner)
            if self.closed:
                stream.close()
                raise httpcore.ConnectError("the run is over")
            return stream
        raise httpcore.ConnectError(f"{host} has no address")

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))
        except httpcore.ReadTimeout as error:
            if monotonic() < _MINE.end:
                raise
            raise httpcore.ReadTimeout(_too_late()) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._inner.write(buffer[start : start + _PIECE], _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout)))

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore has it
        return self._inner.get_extra_info(info)
