"""The certificates that TLS trusts, read once a process: that takes 20 ms of CPU, and a night opens many clients."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

import httpx


def trusted() -> ssl.SSLContext:
    """Those of `SSL_CERT_FILE` or `SSL_CERT_DIR`, else certifi's; read again when the file changed. Raises `OSError`."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return _read(file, folder, Path(file).stat().st_mtime_ns if file else 0)


@lru_cache(maxsize=4)
def _read(file: str | None, folder: str | None, changed: int) -> ssl.SSLContext:  # noqa: ARG001 - httpx reads the environment
    return httpx.create_ssl_context()
