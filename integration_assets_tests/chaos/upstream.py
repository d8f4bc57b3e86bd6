"""An upstream over a raw socket: what it sends is scripted byte by byte, and it keeps no rule of HTTP by itself."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_HEAD = b"\r\n\r\n"


class Talk:
    """One request that arrived, and the connection to answer it on.

    head   : request line and headers as they came.
    number : how many requests the upstream had before, of all connections.
    here   : the upstream's own `http(s)://host:port`.
    trap   : another address, at which nobody must ever ask.
    """

    def __init__(self, upstream: Upstream, connection: socket.socket, head: bytes, number: int) -> None:
        self.head = head
        self.number = number
        self.here, self.trap = upstream.url, upstream.trap
        self._closing = upstream.closing
        self._connection = connection

    @property
    def target(self) -> str:
        """Path and query."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    def header(self, name: str) -> str:
        """A header's value; empty where there is none."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.encode():
                return value.strip().decode("latin-1")
        return ""

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._connection.sendall(data)

    def drip(self, data: bytes, seconds: float = 0.05) -> None:
        """Send byte by byte, with so long between two."""
        for at in range(len(data)):
            self.send(data[at : at + 1])
            self.rest(seconds)

    def rest(self, seconds: float) -> None:
        """Wait so long, and no longer than the upstream stands."""
        if self._closing.wait(seconds):
            raise ConnectionAbortedError

    def hold(self) -> None:
        """Say nothing until the reader hangs up."""
        while self._connection.recv(4096):
            pass

    def shut(self) -> None:
        """Close our half of the connection only."""
        self._connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off with RST."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()


Behaviour = Callable[[Talk], "bool | None"]
"""Answers one request; True keeps the connection open for the next."""


@dataclass
class Upstream:
    """Where it is, and the heads of the requests it had."""

    behave: Behaviour
    trap: str = ""
    tls: ssl.SSLContext | None = None
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def served(self, host: str = "127.0.0.1") -> Iterator[Upstream]:
        """Answer while the context is open."""
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            self.url = f"{'https' if self.tls else 'http'}://{host}:{listener.getsockname()[1]}"
            thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self.closing.set()
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()
                with self._lock:
                    for connection in self._open:
                        with suppress(OSError):
                            connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        connection = raw
        try:
            if self.tls:
                connection = self.tls.wrap_socket(raw, server_side=True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            self._answer(connection)
        except (OSError, ValueError):
            return  # the reader hung up, which is what some behaviours are about
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket) -> None:
        """Let the behaviour answer one request after the other, as long as it keeps the connection."""
        waiting = b""
        while not self.closing.is_set():
            while _HEAD not in waiting:
                got = connection.recv(65536)
                if not got:
                    return
                waiting += got
            head, _, waiting = waiting.partition(_HEAD)
            with self._lock:
                number = len(self.heads)
                self.heads.append(head)
            if not self.behave(Talk(self, connection, head, number)):
                return
