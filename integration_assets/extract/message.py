"""What is asked, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, the same at every try. `with_body`: the answer's body is wanted, not only its headers."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    content: bytes | None
    page_token: bool
    with_body: bool

    @property
    def asked(self) -> str:
        """Method and path, for errors."""
        return f"{self.method} {self.url.path}"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that may be a page: status 200, 203, 204 or 304.

    headers : names in any case.
    body    : bytes after decompression.
    url     : where it came from after redirects, without the credential.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def link(self, rel: str) -> str | None:
        """The target of the `Link` header's `rel` (RFC 8288), as it is written there; None when there is none."""
        # As bytes: what is no ASCII is not sent on, but may be received.
        links = httpx.Response(200, headers=[(b"link", self.headers.get("link", "").encode())]).links
        for link in links.values():
            if rel.lower() in link.get("rel", "").lower().split():
                return link["url"]
        return None
