"""A service account of this machine's own: a key file, and the server that exchanges its signature for a token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

EMAIL = "integration-runner@emulated.example"


@dataclass
class Account:
    """The key file's path, and what was asked of the token server: the kind of grant, each time."""

    path: Path
    grants: list[str] = field(default_factory=list)


@contextmanager
def service_account(folder: Path) -> Iterator[Account]:
    """Write the key file into `folder` and exchange tokens for it while the context is open."""
    account = Account(folder / "account.json")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            account.grants.append(form["grant_type"][0])
            content = json.dumps({"access_token": "of-this-machine", "token_type": "Bearer", "expires_in": 3600}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        content = {
            "type": "service_account",
            "project_id": "emulated",
            "client_email": EMAIL,
            "private_key_id": "1",
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "token_uri": f"http://127.0.0.1:{server.server_port}/token",
        }
        account.path.write_text(json.dumps(content))
        try:
            yield account
        finally:
            server.shutdown()
