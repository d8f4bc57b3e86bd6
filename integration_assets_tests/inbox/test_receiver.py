"""The receiver as a process on a real socket: what it keeps, what it refuses, and that it says neither secret nor payload."""

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from integration_assets.inbox.store import open_inbox
from integration_assets_tests.inbox.sending import SECRET, Receiver, event, signed

SOURCE = "integration_assets_tests.inbox.upstream:source"


def kept(uri: str) -> dict[tuple[str, str], int]:
    """Rows by stream and state."""
    with open_inbox(uri) as inbox:
        return {(count.stream, count.state): count.rows for count in inbox.counts()}


def until(condition: Callable[[], object], seconds: float = 90) -> None:
    """Wait for it, and fail if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def pour(connection: socket.socket, most: int) -> None:
    """Send chunks without end, or so many bytes."""
    for _ in range(most // 65536):
        connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")


def test_a_signed_event_is_kept_once(receiver: Receiver, inbox_uri: str) -> None:
    """The first delivery is accepted, the same one again is a duplicate, an event of no stream is ignored: each answered 200."""
    answers = [receiver.post(body)[:2] for body in (event("evt_1"), event("evt_1"), event("evt_2", "ping"), event("evt_3"))]
    assert answers == [(200, {"outcome": outcome}) for outcome in ("accepted", "duplicate", "ignored", "accepted")]
    assert kept(inbox_uri) == {("orders", "pending"): 2, ("", "ignored"): 1}


def test_what_is_not_signed_or_for_nobody_is_refused(receiver: Receiver, inbox_uri: str) -> None:
    """No signature, a wrong one, an old one, a source that is not there: refused, and nothing is kept."""
    body = event("evt_1")
    cases = [
        ({}, "/webhooks/shop", 401, "no timestamp"),
        (signed(body, "another"), "/webhooks/shop", 401, "wrong signature"),
        (signed(body, at=time.time() - 3600), "/webhooks/shop", 401, "timestamp outside the window"),
        (signed(body), "/webhooks/nobody", 404, "unknown source"),
    ]
    for headers, path, status, outcome in cases:
        assert receiver.post(body, headers, path)[:2] == (status, {"outcome": outcome})
    assert kept(inbox_uri) == {}


def test_what_cannot_be_read_is_refused_although_it_is_signed(receiver: Receiver) -> None:
    """No JSON, no id, an id of the wrong type, and another method."""
    for body in (b"{", b"[]", b'{"type":"order.paid"}', event("x" * 300), json.dumps({"id": {}, "type": "order.x"}).encode()):
        status, answer, _ = receiver.post(body)
        assert (status, answer["outcome"].startswith("unreadable")) == (400, True)
    connection = receiver.connect()
    connection.request("GET", "/webhooks/shop")
    assert connection.getresponse().status == 405
    connection.close()


def test_reading_stops_at_the_limit(receiver: Receiver) -> None:
    """A body that is announced, or turns out, larger than allowed is refused and the connection ends long before all came."""
    status, answer, headers = receiver.post(event("evt_1", note="x" * 30_000))
    assert (status, answer, headers["connection"]) == (413, {"outcome": "too large"}, "close")

    address = urlsplit(receiver.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as endless:
        head = "\r\n".join(f"{name}: {text}" for name, text in signed(b"").items())
        endless.sendall(f"POST /webhooks/shop HTTP/1.1\r\nHost: a\r\n{head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the system has it
            pour(endless, 200_000_000)
    assert "too large: status=413" in receiver.log()


def test_every_delivery_is_a_line_of_the_log_without_secret_or_payload(receiver: Receiver) -> None:
    """Outcome, id and size of each; a stranger's control characters come out harmless."""
    body = event("evt_1", note="private-note-3141")
    for headers in (signed(body), signed(body), signed(body, "guess-0815"), {}):
        receiver.post(body, headers)
    receiver.post(body, signed(body), "/webhooks/a%0d%0ab%20status=200")
    log = receiver.log()
    lines = [line.split(" ", 2)[2].rpartition(" ms=")[0] for line in log.splitlines() if "source=" in line]
    assert lines == [
        f"accepted: status=200 source=shop id=evt_1 bytes={len(body)}",
        f"duplicate: status=200 source=shop id=evt_1 bytes={len(body)}",
        f"wrong signature: status=401 source=shop id=- bytes={len(body)}",
        "no timestamp: status=401 source=shop id=- bytes=0",
        "unknown source: status=404 source=a??b?status=200 id=- bytes=0",
    ]
    assert SECRET not in log
    assert "private-note" not in log
    assert signed(body)["Stripe-Signature"][-20:] not in log


def test_health_tells_whether_an_event_could_be_kept(receiver: Receiver, inbox_uri: str) -> None:
    """While another process holds the inbox for long, health and deliveries say 503 and when to come again; then all is well."""

    def health() -> int:
        with closing(receiver.connect()) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status

    assert health() == 200
    with closing(sqlite3.connect(inbox_uri, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        status, answer, headers = receiver.post(event("evt_1"))
        assert (status, answer["outcome"], headers["retry-after"]) == (503, "the inbox is not available", "5")
        other.execute("ROLLBACK")
    assert health() == 200
    assert receiver.post(event("evt_1"))[1]["outcome"] in {"accepted", "duplicate"}


def test_more_than_can_be_handled_is_told_to_come_again(tmp_path: Path, inbox_uri: str) -> None:
    """With room for two deliveries at once the third is answered 503 and Retry-After, and nothing of the first two is lost."""
    environ = {"INTEGRATION_INBOX_URI": inbox_uri, "SHOP_HOOK": SECRET}
    with Receiver(tmp_path, SOURCE, environ, at_once=2) as receiver:
        slow = [receiver.connect() for _ in range(2)]
        bodies = [event(f"evt_{number}") for number in range(2)]
        for connection, body in zip(slow, bodies, strict=True):
            connection.putrequest("POST", "/webhooks/shop")
            for name, text in {**signed(body), "Content-Length": str(len(body))}.items():
                connection.putheader(name, text)
            connection.endheaders(body[:5])

        def busy() -> bool:
            status, answer, headers = receiver.post(event("evt_9"))
            return (status, answer.get("outcome"), headers.get("retry-after")) == (503, "busy", "5")

        until(busy)
        for connection, body in zip(slow, bodies, strict=True):
            connection.send(body[5:])
            assert json.loads(connection.getresponse().read()) == {"outcome": "accepted"}
            connection.close()
        assert receiver.post(event("evt_9"))[1]["outcome"] in {"accepted", "duplicate"}


def test_asked_to_stop_it_finishes_what_is_under_way(receiver: Receiver, inbox_uri: str) -> None:
    """SIGTERM during a delivery: the rest of it is read, kept and answered, then the process ends with status 0."""
    body, connection = event("evt_1"), receiver.connect()
    connection.putrequest("POST", "/webhooks/shop")
    for name, text in {**signed(body), "Content-Length": str(len(body))}.items():
        connection.putheader(name, text)
    connection.endheaders(body[:5])
    with closing(receiver.connect()) as look:
        until(lambda: _open(look) == 1)
    assert receiver.child is not None
    os.kill(receiver.child.pid, signal.SIGTERM)
    connection.send(body[5:])
    assert json.loads(connection.getresponse().read()) == {"outcome": "accepted"}
    connection.close()
    assert receiver.ended() == 0
    assert kept(inbox_uri) == {("orders", "pending"): 1}


def test_both_secrets_of_a_rotation_are_taken(tmp_path: Path, inbox_uri: str) -> None:
    """While the earlier secret is set too, what was signed with either is kept."""
    environ = {"INTEGRATION_INBOX_URI": inbox_uri, "SHOP_HOOK": "new-secret-1", "SHOP_HOOK_OLD": SECRET}
    with Receiver(tmp_path, SOURCE, environ) as receiver:
        for number, secret in enumerate(("new-secret-1", SECRET)):
            body = event(f"evt_{number}")
            assert receiver.post(body, signed(body, secret))[0] == 200
        body = event("evt_3")
        assert receiver.post(body, signed(body, "a third"))[0] == 401


def test_receivers_that_share_a_postgres_know_each_event_once(tmp_path: Path, postgres_uri: str) -> None:
    """Two machines' receivers get the same deliveries: whichever is first accepts, the other has a duplicate."""
    environ = {"INTEGRATION_INBOX_URI": postgres_uri, "SHOP_HOOK": SECRET}
    with ExitStack() as stack:
        both = [stack.enter_context(Receiver(_folder(tmp_path / name), SOURCE, environ)) for name in ("one", "two")]
        for number in range(20):
            body = event(f"pg_{number}")
            answers = [receiver.post(body)[1]["outcome"] for receiver in (both if number % 2 else both[::-1])]
            assert answers == ["accepted", "duplicate"]
    assert kept(postgres_uri)["orders", "pending"] == 20


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _open(connection: object) -> int:
    connection.request("GET", "/healthz")  # type: ignore[attr-defined]
    return int(json.loads(connection.getresponse().read())["open"])  # type: ignore[attr-defined]
