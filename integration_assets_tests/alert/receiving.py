"""Whoever is told: a receiver of HTTP posts and a mail server, both real and on loopback."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any


@dataclass
class Posts:
    """A receiver of JSON. `status` is what it answers."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def messages(self) -> list[Any]:
        """The bodies as JSON, of those posts that were taken."""
        return [json.loads(body) for body in self.bodies]


@contextmanager
def posts() -> Iterator[Posts]:
    """Receive while the block runs."""
    taken = Posts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if taken.status == 200:
                taken.bodies.append(body)
                taken.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(taken.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        taken.url = f"http://127.0.0.1:{server.server_port}/hook/secret-path-0815"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield taken
        finally:
            server.shutdown()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own authority for 127.0.0.1, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return public, private


@dataclass
class Mailbox:
    """A mail server that keeps what it gets.

    refuse   : it answers DATA with an error.
    said     : the commands it heard, whether the line was encrypted before each.
    """

    port: int = 0
    refuse: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    said: list[tuple[str, bool]] = field(default_factory=list)


class _Session:
    """One connection, line by line: enough of SMTP for a client that hands in one mail."""

    def __init__(
        self, box: Mailbox, tls: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.box, self.tls, self.reader, self.writer = box, tls, reader, writer
        self.encrypted = False

    async def serve(self) -> None:
        self.say("220 loopback")
        while line := (await self.reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            self.box.said.append((verb, self.encrypted))
            if verb == "EHLO":
                offered = ["250-AUTH PLAIN"] if self.encrypted or self.tls is None else ["250-STARTTLS"]
                self.say(*["250-loopback", *offered, "250 SIZE 1000000"])
            elif verb == "STARTTLS" and self.tls:
                self.say("220 go on")
                await self.writer.start_tls(self.tls)
                self.encrypted = True
            elif verb == "AUTH":
                self.say("235 welcome" if "AG1lAHBhc3N3b3Jk" in line else "535 who are you?")  # me, password
            elif verb == "DATA":
                await self.take()
            elif verb == "QUIT":
                self.say("221 bye")
                break
            else:
                self.say("250 ok")
        self.writer.close()

    async def take(self) -> None:
        """The mail itself, up to the line with a lone dot."""
        if self.box.refuse:
            self.say("451 not now")
            return
        self.say("354 go on")
        lines = []
        while (line := await self.reader.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        self.box.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
        self.say("250 taken")

    def say(self, *lines: str) -> None:
        """Answer."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())


@contextmanager
def mailbox(tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """A mail server while the block runs; with STARTTLS where a context is given."""
    box, loop = Mailbox(), asyncio.new_event_loop()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Session(box, tls, reader, writer).serve()

    server = loop.run_until_complete(asyncio.start_server(session, "127.0.0.1", 0))
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        asyncio.run_coroutine_threadsafe(_closed(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _closed(server: asyncio.Server) -> None:
    server.close()
    await asyncio.sleep(0.05)  # sessions end with their connections
