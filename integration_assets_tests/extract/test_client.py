"""What the client sends where, what it makes of the answers, and what it never shows."""

from __future__ import annotations

import contextlib
import gzip
import logging
import pickle
import socket
import socketserver
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
import stamina

from integration_assets.errors import (
    AccessDeniedError,
    CrossHostError,
    HumanNeededError,
    IntegrationError,
    LimitExceededError,
    PageTokenExpiredError,
    ResponseError,
    SecretMissingError,
    UnknownHostError,
    UpstreamUnavailableError,
)
from integration_assets.extract.client import SourceClient
from integration_assets.spec import ApiKeyHeader, ApiKeyQuery, Basic, Bearer, Limits
from integration_assets.spec.auth import Auth
from integration_assets_tests.extract.models import source
from integration_assets_tests.extract.serving import Answer, Asked, in_turn, page, serve

KEY = "s3cr3t/key+1"
OK = page({"data": []})


class Dripping(socketserver.BaseRequestHandler):
    """Sends a large answer one byte every hundredth of a second, until its reader hangs up."""

    def handle(self) -> None:
        """Answer."""
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        done = threading.Event()
        with contextlib.suppress(OSError):
            for _ in range(3000):
                self.request.sendall(b" ")
                done.wait(0.01)


def secret(_name: str) -> str:
    """The one secret there is."""
    return KEY


@pytest.mark.parametrize(
    ("auth", "where", "value"),
    [
        (Bearer(secret="KEY"), "authorization", f"Bearer {KEY}"),
        (ApiKeyHeader(secret="KEY", header="X-Key"), "x-key", KEY),
        (Basic(username_secret="USER", password_secret="KEY"), "authorization", "Basic czNjcjN0L2tleSsxOnMzY3IzdC9rZXkrMQ=="),
    ],
)
def test_credential_is_sent_in_its_header(auth: Auth, where: str, value: str) -> None:
    """Each kind of header credential arrives as the API wants it, along with who is asking."""
    with serve(in_turn([OK])) as server, SourceClient(source(server.url, auth=auth), secret) as client:
        client.get("/things")
    assert server.asked[0].headers[where] == value
    assert server.asked[0].headers["user-agent"].startswith("integration_assets/")


def test_key_in_the_query_is_sent_and_never_seen(caplog: pytest.LogCaptureFixture) -> None:
    """A key that travels in the query reaches the API, and no log record, URL or error, even at debug level and echoed."""
    echo = Answer(404, rb'{"error": "bad key s3cr3t\/key+1", "url": "/?api_key=s3cr3t%2Fkey%2B1"}')
    moved = Answer(302, b"", {"Location": "/v2/things?api_key=s3cr3t%2Fkey%2B1&page=2"})
    caplog.set_level(logging.DEBUG)
    with (
        serve(in_turn([moved, OK, page({}, 503), echo])) as server,
        SourceClient(source(f"{server.url}/v2", auth=ApiKeyQuery(secret="KEY")), secret) as client,
    ):
        answer = client.get("/things?b=a%20b", {"since": "2024-01-01T00:00:00Z"})
        with pytest.raises(ResponseError) as refused:
            client.get("things")
    assert [asked.query.get("api_key") for asked in server.asked] == [KEY] * 4
    assert server.asked[0].target.startswith("/v2/things?b=a%20b&since=2024-01-01T00%3A00%3A00Z&")
    assert server.asked[1].query == {"page": "2", "api_key": KEY}
    assert answer.url == f"{server.url}/v2/things?page=2"
    seen = caplog.text + str(refused.value) + repr(answer) + "".join(str(vars(record)) for record in caplog.records)
    assert "/v2/things: 302" in seen
    assert "***" in str(refused.value)
    assert "s3cr3t" not in seen


def test_a_header_of_the_source_takes_the_default_s_place() -> None:
    """However its name is spelled: an API that is sent two versions to accept may take either."""
    with serve(in_turn([OK])) as server:
        own = {"accept": "application/vnd.shop.v2+json", "user-agent": "ours"}
        with SourceClient(source(server.url, headers=own), secret) as client:
            client.get("/things", headers={"If-None-Match": '"größe"'})  # as an API may tag its answer
    sent = server.asked[0].headers
    assert (sent["accept"], sent["user-agent"]) == ("application/vnd.shop.v2+json", "ours")
    assert sent["if-none-match"].encode("latin-1").decode() == '"größe"'


def test_what_cannot_be_sent_is_an_error_of_ours() -> None:
    """Half a character, which JSON may spell in a page token, or a token without end is no traceback."""
    with serve(in_turn([OK])) as server, SourceClient(source(server.url), secret) as client:
        for token in ("\ud800", "x" * 2**17):
            with pytest.raises(ResponseError, match="no URL"):
                client.get("/things", {"token": token})
        with pytest.raises(ResponseError, match="no text"):
            client.post("/things", {"token": "\ud800"})
    assert server.asked == []


def test_bearer_stays_out_of_debug_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Debug logging does not spell out the header with the token, nor the token in a path, as in a link of an API."""
    caplog.set_level(logging.DEBUG)
    with serve(in_turn([OK])) as server, SourceClient(source(server.url, auth=Bearer(secret="KEY")), secret) as client:
        client.get(f"/things/of/{KEY}")
    assert "GET /things/of/***: 200" in caplog.text
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize("bad", ["", " ", "key\n", "kéy"])
def test_unsendable_secret_names_itself(bad: str) -> None:
    """A secret with a line break or nothing in it is refused by its name, before any request and without its value."""
    client = SourceClient(source("http://127.0.0.1:9", auth=Bearer(secret="SHOP_KEY")), lambda _name: bad)
    with pytest.raises(SecretMissingError, match="SHOP_KEY") as refused, client:
        pass
    assert refused.value.source == "shop"
    assert not bad.strip() or bad not in str(refused.value)


def test_wrong_key_names_the_secret_and_is_not_retried() -> None:
    """A 401 says which secret to mend, and is asked once."""
    with (
        serve(in_turn([page({"error": KEY}, 401)])) as server,
        SourceClient(source(server.url, auth=Bearer(secret="SHOP_KEY")), secret) as client,
        pytest.raises(AccessDeniedError, match="SHOP_KEY") as refused,
    ):
        client.get("/things", stream="things")
    assert (refused.value.source, refused.value.stream) == ("shop", "things")
    assert KEY not in str(refused.value)
    assert len(server.asked) == 1


def test_redirect_to_another_host_is_refused_and_the_key_stays() -> None:
    """A redirect elsewhere is a named error with both hosts, and nothing arrives at the other one."""
    with (
        serve(in_turn([OK])) as other,
        serve(in_turn([Answer(302, b"", {"Location": f"{other.url}/things?tell=me"})])) as server,
        SourceClient(source(server.url, auth=Bearer(secret="KEY")), secret) as client,
        pytest.raises(CrossHostError) as refused,
    ):
        client.get("/things")
    assert server.url in str(refused.value)
    assert other.url in str(refused.value)
    assert "tell" not in str(refused.value)
    assert other.asked == []


@pytest.mark.parametrize("link", ["https://{host}/x", "http://{host}:1/x", "http://{host}@evil.example/x", "//evil.example/x"])
def test_another_origin_is_another_scheme_port_or_host(link: str) -> None:
    """Scheme, port and host each make another origin, also when it is dressed up as ours."""
    with serve(lambda asked: Answer(307, b"", {"Location": link.format(host=asked.headers["host"].split(":")[0])})) as server:
        client = SourceClient(source(server.url, auth=Bearer(secret="KEY")), secret)
        with client, pytest.raises(CrossHostError):
            client.get("/things")
    assert len(server.asked) == 1


def test_redirects_within_the_origin_end() -> None:
    """A redirect that never ends is an error after five, not a loop."""
    with (
        serve(lambda asked: Answer(302, b"", {"Location": asked.path + "x"})) as server,
        SourceClient(source(server.url), secret) as client,
        pytest.raises(ResponseError, match="redirects more than 5 times"),
    ):
        client.get("/things")
    assert len(server.asked) == 6


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_failures_are_retried(status: int) -> None:
    """What usually passes is asked again, and the waits are counted and shown."""
    waits: list[tuple[str, float]] = []
    with (
        serve(in_turn([page({}, status), page({}, status), OK])) as server,
        SourceClient(source(server.url), secret, lambda why, seconds: waits.append((why, seconds))) as client,
    ):
        before = client.usage.snapshot()
        assert client.get("/things").status == 200
        spent = client.usage.minus(before)
    assert (spent.requests, spent.retries, spent.throttled) == (3, 2, 0.0)
    assert [str(status) in why for why, _ in waits] == [True, True]
    assert all(0 < seconds <= 0.002 for _, seconds in waits)


def test_outage_ends_in_reschedule_with_the_last_reason() -> None:
    """When every try fails the run is told to come back later, and why."""
    with (
        serve(in_turn([page({}, 500), page({}, 502), page({}, 503)])) as server,
        SourceClient(source(server.url), secret) as client,
        pytest.raises(UpstreamUnavailableError, match=r"asked 3 times.*GET /things answered 503"),
    ):
        client.get("/things")
    assert len(server.asked) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(form: str) -> None:
    """The wait is what the API asked for, in seconds or as a date, and counts as throttled."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=42), usegmt=True) if form == "date" else "42"
    waits: list[float] = []
    with (
        serve(in_turn([page({}, 429, Retry_After=soon), OK])) as server,
        SourceClient(source(server.url), secret, lambda _why, seconds: waits.append(seconds)) as client,
        stamina.set_testing(testing=True, attempts=3),
    ):
        client.get("/things")
        assert client.usage.throttled == waits[0]
    assert 38 < waits[0] <= 42.01


def test_retry_after_beyond_the_budget_reschedules_at_once() -> None:
    """An API that asks for an hour is not waited for: the run ends and says when to come back."""
    with (
        serve(in_turn([page({}, 503, Retry_After="3600")])) as server,
        SourceClient(source(server.url), secret) as client,
        pytest.raises(UpstreamUnavailableError, match=r"come back in 3,600 s, at \d{4}-"),
    ):
        client.get("/things")
    assert len(server.asked) == 1


def test_retry_logs_hold_no_secret(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """What the retry library reports about a retry, and what people are told of a wait, has no key in it, nor its path."""
    waits: list[str] = []
    with (
        serve(in_turn([page({"key": KEY}, 503), OK])) as server,
        SourceClient(source(server.url, auth=ApiKeyQuery(secret="KEY")), secret, lambda why, _: waits.append(why)) as client,
    ):
        client.get(f"/things/of/{KEY}")
    printed = capsys.readouterr()
    assert "s3cr3t" not in caplog.text + printed.out + printed.err
    assert waits == ["GET /things/of/*** answered 503"]


def test_unknown_host_is_named_and_hardly_retried() -> None:
    """A host name with a typing error is told apart from a host that is down, after two look-ups."""
    waits: list[float] = []
    there = source("http://no-such-host.invalid/v1", limits=Limits(attempts=6, wait_initial=0.001, wait_max=0.002))
    with (
        SourceClient(there, secret, lambda _why, seconds: waits.append(seconds)) as client,
        pytest.raises(UnknownHostError, match=r"no-such-host\.invalid does not resolve"),
    ):
        client.get("/things")
    assert len(waits) == 1


def test_refused_connection_is_an_outage() -> None:
    """Nobody listening is an outage, retried as one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        SourceClient(source(f"http://127.0.0.1:{port}"), secret) as client,
        pytest.raises(UpstreamUnavailableError, match=r"asked 3 times.*cannot be connected"),
    ):
        client.get("/things")


def test_slow_answer_is_an_outage() -> None:
    """An API that accepts and never answers is given up after the source's timeout."""
    release = threading.Event()

    def stuck(_asked: Asked) -> Answer:
        release.wait(10)
        return OK

    limits = Limits(attempts=1, read_timeout=0.05)
    with serve(stuck) as server, SourceClient(source(server.url, limits=limits), secret) as client:
        with pytest.raises(UpstreamUnavailableError, match="took too long"):
            client.get("/things")
        release.set()


def test_body_that_drips_is_given_up() -> None:
    """An answer that comes byte by byte, each in time, is given up when it takes longer than the source allows."""
    limits = Limits(attempts=3, read_timeout=5, retry_timeout=0.2)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with (
            SourceClient(source(url, limits=limits), secret) as client,
            pytest.raises(UpstreamUnavailableError, match=r"not whole after 0\.2 s"),
        ):
            client.get("/things")
        server.shutdown()


def test_body_shorter_than_promised_is_retried() -> None:
    """A connection that breaks in the body is asked again; half a page is never a page."""
    with (
        serve(in_turn([Answer(200, b'{"data": [', {"Content-Type": "application/json"}, length=500), OK])) as server,
        SourceClient(source(server.url), secret) as client,
    ):
        assert client.get("/things").body == OK.body
    assert len(server.asked) == 2


def test_gzip_is_undone_and_counted() -> None:
    """Compressed bodies arrive whole, several members among them; both sizes are counted."""
    packed = gzip.compress(b"a" * 1000, mtime=0) + gzip.compress(b"b" * 1000)
    with (
        serve(in_turn([Answer(200, packed, {"Content-Encoding": "gzip"})])) as server,
        SourceClient(source(server.url), secret) as client,
    ):
        assert client.get("/things").body == b"a" * 1000 + b"b" * 1000
        assert (client.usage.bytes, client.usage.wire_bytes) == (2000, len(packed))
    assert server.asked[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("broken", [gzip.compress(b"a" * 1000, mtime=0)[:-9], b"no gzip"])
def test_damaged_gzip_is_retried(broken: bytes) -> None:
    """Compressed data that is cut off or damaged is asked for again."""
    with (
        serve(in_turn([Answer(200, broken, {"Content-Encoding": "gzip"}), OK])) as server,
        SourceClient(source(server.url), secret) as client,
    ):
        assert client.get("/things").body == OK.body
    assert len(server.asked) == 2


def test_gzip_bomb_is_stopped_while_it_inflates() -> None:
    """A small body that would inflate to 64 megabytes is refused at the limit, not after it."""
    member = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(member.compress(b"\0" * 2**20) for _ in range(64)) + member.flush()
    limits = Limits(max_page_bytes=2**20, attempts=3)
    with (
        serve(in_turn([Answer(200, bomb, {"Content-Encoding": "gzip"})])) as server,
        SourceClient(source(server.url, limits=limits), secret) as client,
    ):
        tracemalloc.start()
        with pytest.raises(LimitExceededError, match="1,048,576 bytes"):
            client.get("/things")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        tracemalloc.stop()
    assert len(server.asked) == 1


def test_other_refusals_show_the_start_of_the_answer() -> None:
    """A 400 is not retried and says what the API said, shortened."""
    with (
        serve(in_turn([Answer(400, b"no such\nfilter " + b"x" * 500)])) as server,
        SourceClient(source(server.url), secret) as client,
        pytest.raises(ResponseError, match=r"answered 400: no such filter x+") as refused,
    ):
        client.get("/things")
    assert len(refused.value.what) < 240


@pytest.mark.parametrize("seen", range(1, len(KEY) + 1))
def test_secret_at_the_end_of_what_is_looked_at_is_hidden(seen: int) -> None:
    """However much of the key is within the part of an answer that is looked at, no part of it is shown."""
    body = b"refused:" + b" " * (4096 - len("refused:") - seen) + KEY.encode() + b" and so on"
    with (
        serve(in_turn([Answer(400, body)])) as server,
        SourceClient(source(server.url, auth=Bearer(secret="KEY")), secret) as client,
    ):
        with pytest.raises(ResponseError, match=r"refused: \*\*\*…") as refused:
            client.get("/things")
        assert KEY[:seen] not in refused.value.what.rpartition("refused:")[2]
        assert client.excerpt(body, 120) == "refused: ***…"
        assert client.excerpt(b"x" + b" " * 1000 + KEY.encode() + b" y", 120) == "x *** y"


def test_text_and_bytes_are_redacted_in_every_spelling() -> None:
    """What is stored of a record never holds the key: plain, or as JSON, URL or base64 spell it, whole or cut off."""
    auth = Basic(username_secret="KEY", password_secret="KEY")
    spelled = [KEY, KEY.replace("/", "\\/"), "s3cr3t%2Fkey%2B1", "czNjcjN0L2tleSsxOnMzY3IzdC9rZXkrMQ=="]
    with SourceClient(source("http://127.0.0.1:9", auth=auth), secret) as client:
        for text in spelled:
            assert client.redact(f'{{"a": "{text}"}}') == '{"a": "***"}'
            assert client.redact(b"\xff" + text.encode()) == b"\xff***"
        assert client.redact('id: expected int64, got "token s3cr3…') == 'id: expected int64, got "token ***…'
        clean = b'{"a": 1}'
        assert client.redact(clean) is clean
    sharp = 'a&b<"c'
    with SourceClient(source("http://127.0.0.1:9", auth=Bearer(secret="KEY")), lambda _name: sharp) as client:
        assert client.redact(b"<a>a&amp;b&lt;&quot;c</a>") == b"<a>***</a>"
        assert client.redact('1,"a&b<""c"') == '1,"***"'


@pytest.mark.parametrize(("status", "text"), [(410, "gone"), (400, "cursor expired"), (404, "Invalid page token")])
def test_aged_token_is_told_apart(status: int, text: str) -> None:
    """The refusal of a page token is a reason to start the slice again; without a token it is a plain refusal."""
    with serve(in_turn([Answer(status, text.encode())])) as server, SourceClient(source(server.url), secret) as client:
        with pytest.raises(PageTokenExpiredError, match=text):
            client.get("/things", {"token": "x"}, page_token=True)
        with pytest.raises(ResponseError, match=text):
            client.get("/things")


def test_clock_is_the_apis_own() -> None:
    """With a clock path the time is the API's Date, by HEAD or, where that is refused, by GET."""
    then = {"Date": "Tue, 01 Jan 2013 12:00:00 GMT"}
    with (
        serve(lambda asked: Answer(405 if asked.method == "HEAD" else 200, b"", then)) as server,
        SourceClient(source(server.url, clock_path="/now"), secret) as client,
    ):
        assert client.now() == datetime(2013, 1, 1, 12, tzinfo=UTC)
    assert [asked.method for asked in server.asked] == ["HEAD", "GET"]


def test_clock_without_a_date_is_an_error() -> None:
    """An API that does not tell the time is named, rather than ours taken for its."""
    with (
        serve(in_turn([Answer(200, b"", {"Date": ""})])) as server,
        SourceClient(source(server.url, clock_path="/now"), secret) as client,
        pytest.raises(ResponseError, match="Date header"),
    ):
        client.now()


def test_without_a_clock_path_the_time_is_ours() -> None:
    """No clock path, no request: this machine's time, in UTC."""
    with SourceClient(source("http://127.0.0.1:9"), secret) as client:
        assert abs(client.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_errors_cross_processes() -> None:
    """An error keeps where it happened when it is pickled, as Dagster's executors do."""
    with SourceClient(source("http://127.0.0.1:1"), secret) as client, pytest.raises(IntegrationError) as caught:
        client.get("/things", stream="things")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own


@contextmanager
def _self_signed(folder: Path) -> Iterator[str]:
    """A TLS server with a certificate that nobody vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    draft = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    (folder / "cert.pem").write_bytes(draft.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    def shake_hands() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands, daemon=True)
        thread.start()
        yield f"https://localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_untrusted_certificate_needs_a_human(tmp_path: Path) -> None:
    """A certificate that does not check out is not retried, and nobody is told to come back later."""
    waits: list[float] = []
    with (
        _self_signed(tmp_path) as url,
        SourceClient(source(url), secret, lambda _why, seconds: waits.append(seconds)) as client,
        pytest.raises(HumanNeededError, match="certificate"),
    ):
        client.get("/things")
    assert waits == []


def test_certificates_that_cannot_be_read_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong SSL_CERT_FILE is named before anything is asked."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(HumanNeededError, match="SSL_CERT_FILE"), SourceClient(source("https://x.example"), secret):
        pass


def test_the_environment_s_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without its scheme, as other programs take it; one that cannot be used is named without its password."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serve(in_turn([OK])) as proxy:
        for address in (proxy.url, proxy.url.removeprefix("http://")):
            monkeypatch.setenv("http_proxy", address)
            with SourceClient(source("http://shop.example"), secret) as client:
                client.get("/things")
        assert [asked.target for asked in proxy.asked] == ["http://shop.example/things"] * 2
    for address in ("socks5://ada:pa55@proxy.example:1", "odd://ada:pa55@proxy.example", "http://ada:pa55/@proxy.example"):
        monkeypatch.setenv("http_proxy", address)
        with pytest.raises(HumanNeededError, match="proxy") as refused, SourceClient(source("http://shop.example"), secret):
            pass
        assert "pa55" not in str(refused.value)


def test_addresses_that_do_not_answer_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a host with many addresses the one that works is reached within the time to connect."""
    with serve(in_turn([OK])) as server, contextlib.ExitStack() as stack:
        port = int(server.url.rpartition(":")[2])
        full = ("127.0.0.2", port)
        stack.enter_context(socket.create_server(full, backlog=0))
        for _ in range(4):  # nobody accepts them, and there is no place for more
            stuck = stack.enter_context(socket.socket())
            stuck.settimeout(0)
            stuck.connect_ex(full)
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        known = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: found if host == "shop.test" else known(host, *a, **k))
        monkeypatch.setenv("no_proxy", "*")
        limits = Limits(attempts=1, connect_timeout=0.4, page_timeout=0.4)
        with SourceClient(source(f"http://shop.test:{port}", limits=limits), secret) as client:
            assert client.get("/things").status == 200


def test_a_closed_client_makes_no_connection_any_more() -> None:
    """A thread that is still at it when the run ends gets no new connection: nobody would close it."""
    with serve(in_turn([OK])) as server:
        with SourceClient(source(server.url), secret) as client:
            client.get("/things")
            wire = client._wire  # what a page that is under way has in its hand
            assert wire is not None
        with pytest.raises(httpx.ConnectError, match="over"):
            wire.handle_request(httpx.Request("GET", f"{server.url}/things"))
        assert len(server.asked) == 1
