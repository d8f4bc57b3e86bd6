"""Batches: requests of the JSON API in the parts of one multipart/mixed body."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

from integration_assets_tests.gcs.errors import Refusal, bad_request
from integration_assets_tests.gcs.wire import Answer, Request

_MOST = 100
_BOUNDARY = "batch_of_the_emulator"


def answer(request: Request, one: Callable[[Request], Answer]) -> Answer:
    """Answer each part by `one`, in order; a refusal is the answer of its part alone. Raises 400 for no batch."""
    head = b"Content-Type: " + request.headers.get("content-type", "").encode() + b"\n\n"
    message = BytesParser().parsebytes(head + b"".join(request.body))
    payload = message.get_payload()
    if not isinstance(payload, list) or not payload:
        raise bad_request("Failed to parse batch request.")
    if len(payload) > _MOST:
        raise bad_request(f"A batch has at most {_MOST} requests, not {len(payload)}.")
    parts = [_answered(part, request, one) for part in payload if isinstance(part, Message)]
    mark = f"--{_BOUNDARY}"
    body = "".join(f"{mark}\r\n{part}\r\n" for part in parts) + f"{mark}--\r\n"
    return Answer(200, body.encode(), {"Content-Type": f"multipart/mixed; boundary={_BOUNDARY}"})


def _answered(part: Message, outer: Request, one: Callable[[Request], Answer]) -> str:
    text = part.get_payload(decode=True)
    if not isinstance(text, bytes):
        raise bad_request("Failed to parse batch request.")
    line, _, rest = text.lstrip().partition(b"\n")
    words = line.decode().split()
    inner = BytesParser().parsebytes(rest)
    body = inner.get_payload(decode=True)
    url = urlsplit(words[1] if len(words) > 1 else "")
    request = Request(
        words[0],
        tuple(unquote(piece) for piece in url.path.lstrip("/").split("/")),
        dict(parse_qsl(url.query, keep_blank_values=True)),
        {name.lower(): value for name, value in inner.items()} | {"host": outer.headers.get("host", "localhost")},
        iter([body if isinstance(body, bytes) else b""]),
    )
    try:
        answered = one(request)
        status, content = answered.status, answered.body if isinstance(answered.body, bytes) else b""
    except Refusal as refusal:
        status, content = refusal.status, refusal.as_json()
    lines = ["Content-Type: application/http"]
    if part["Content-ID"]:
        lines.append(f"Content-ID: <response-{str(part['Content-ID']).strip('<>')}>")
    lines += ["", f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Content-Type: application/json; charset=UTF-8"]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", content.decode()])
