"""One source's HTTP client: its connections, its credential, its retries and its limits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from threading import BoundedSemaphore
from time import monotonic
from typing import Any, Self, TypeVar, cast
from urllib.request import getproxies, proxy_bypass
from uuid import uuid4

import httpx
import msgspec

from integration_assets import __version__
from integration_assets.errors import (
    AccessDeniedError,
    HumanNeededError,
    IntegrationError,
    RescheduleError,
    ResponseError,
    TransientError,
    UpstreamUnavailableError,
)
from integration_assets.extract.auth import Credential, origin, resolve, same_origin, show
from integration_assets.extract.body import read_body, read_start
from integration_assets.extract.limits import Limiter, LimitsView, MemoryStore, Store
from integration_assets.extract.message import Request, Response
from integration_assets.extract.retry import NameLookupError, Retries, ThrottledError, call_with_retries
from integration_assets.extract.status import EXAMINED, connection_error, excerpt, presentable, status_error, throttled_page
from integration_assets.extract.trust import trusted
from integration_assets.extract.usage import Usage
from integration_assets.extract.wire import bounded, hang_up, over_within
from integration_assets.spec.source import Source

__all__ = ["Response", "SourceClient", "Usage"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})
_MAX_REDIRECTS = 5
_PAGES = frozenset({200, 203, 204, 304})
_Text = TypeVar("_Text", str, bytes)

_LOG = logging.getLogger(__name__)
# It spells out headers, the credential among them, when debug logging is on.
if logging.getLogger("httpcore").level == logging.NOTSET:
    logging.getLogger("httpcore").setLevel(logging.INFO)


class SourceClient:
    """A context manager that holds one pool of connections to a source. Thread safe while it is open.

    secret  : looks a secret up by name, once, when the client opens; raises `SecretMissingError`.
    on_wait : told the reason and the seconds before each wait.
    store   : where all runs share the API's limits, open; None keeps them for this client alone.
    usage   : what was spent, cumulative.
    clock_offset : seconds by which the API's clock was ahead of this machine's when it was asked last; 0 if it never was.
    """

    def __init__(
        self,
        source: Source,
        secret: Callable[[str], str],
        on_wait: Callable[[str, float], None] | None = None,
        store: Store | None = None,
    ) -> None:
        self.source = source
        self.usage = Usage()
        self.clock_offset = 0.0
        self.credential = Credential()
        self._secret = secret
        self._on_wait = on_wait
        self._base = httpx.URL(source.base_url)
        self._home = origin(self._base)
        self._store = store or MemoryStore()
        self._limiter = self._share()
        self._connections = BoundedSemaphore(source.limits.max_connections)
        self._wire: httpx.HTTPTransport | None = None
        self._headers = httpx.Headers()
        self._endpoint: tuple[str | None, httpx.URL] = (None, self._base)

    def __enter__(self) -> Self:
        try:
            self.credential = resolve(self.source.auth, self._secret)
        except IntegrationError as error:
            raise error.at(self.source.name) from None
        self._limiter = self._share()
        self._headers = httpx.Headers(
            {
                "Accept": "*/*",
                "Accept-Encoding": "gzip",
                "Connection": "keep-alive",
                "User-Agent": f"integration_assets/{__version__}",
            }
        )
        self._headers.update(self.source.headers)
        limits = self.source.limits
        try:
            # The transport and not a client on it: that would log URLs, keep cookies and follow redirects, at a third of a
            # millisecond a page, which is as much as all the rest of it.
            self._wire = bounded(
                httpx.HTTPTransport(
                    verify=trusted(),
                    # Of HTTP/1.1 alone: httpcore's HTTP/2 waits for ever where a server allows fewer streams than are under way,
                    # and lets errors of another library out of a body. A few connections are as quick.
                    limits=httpx.Limits(max_connections=limits.max_connections, max_keepalive_connections=limits.max_connections),
                    proxy=_proxy(self._base),
                )
            )
        except OSError as error:
            raise HumanNeededError(
                f"the certificates to trust cannot be read: {error}",
                source=self.source.name,
                remedy="Check SSL_CERT_FILE and SSL_CERT_DIR.",
            ) from None
        except (httpx.InvalidURL, ValueError, ImportError):
            # Without what is wrong with it: a password may be in it.
            raise HumanNeededError(
                f"the proxy that the environment names for {self._base.scheme} cannot be used",
                source=self.source.name,
                remedy="Write HTTPS_PROXY=http://HOST:PORT; SOCKS is not spoken. NO_PROXY names hosts without one.",
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._wire is not None:
            self._limiter.close()
            hang_up(self._wire)
            self._wire = None

    def get(
        self,
        url: str,
        params: Mapping[str, str | int | float | bool] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: str | None = None,
        *,
        page_token: bool = False,
    ) -> Response:
        """Ask for a page, trying again as the source's limits allow.

        url        : an endpoint's path under base_url, or a whole URL at the same origin.
        stream     : the stream's name, for errors.
        page_token : the request carries a page token, so that its refusal is `PageTokenExpiredError`.

        Raises `UpstreamUnavailableError`, `UnknownHostError`, `AccessDeniedError`, `CrossHostError`,
        `LimitExceededError`, `ResponseError`, `PageTokenExpiredError`; `HumanNeededError` for a certificate; and by what all
        runs share `BreakerOpenError`, `QuotaSpentError`, `LimitsUnavailableError`, `LimitsStoreError`.
        """
        return self._ask("GET", url, params, headers, stream, page_token=page_token)

    def post(
        self,
        url: str,
        body: Mapping[str, Any],
        params: Mapping[str, str | int | float | bool] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: str | None = None,
        *,
        page_token: bool = False,
    ) -> Response:
        """Ask for a page of an API that is searched by POST, `body` as JSON; otherwise as `get`.

        Each call has an `Idempotency-Key` of its own, the same at each of its retries: an API that knows it does a thing once.
        """
        own = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4()), **(headers or {})}
        try:
            content = msgspec.json.encode(body)
        except UnicodeEncodeError as error:
            raise ResponseError(
                f"what would be posted is no text: {error}", source=self.source.name, stream=stream, remedy="Ask the API's owner."
            ) from None
        return self._ask("POST", url, params, own, stream, page_token=page_token, content=content)

    def look(
        self,
        url: str,
        params: Mapping[str, str | int | float | bool] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: str | None = None,
        method: str = "GET",
    ) -> Response:
        """As `get`, for the sake of status and headers alone: the body is left unread, and the answer's is empty."""
        return self._ask(method, url, params, headers, stream, with_body=False)

    def now(self) -> datetime:
        """The API's own clock, to the second, where the source names a `clock_path`; else this machine's. UTC."""
        path = self.source.clock_path
        if path is None:
            return datetime.now(UTC)
        try:
            date = self._ask("HEAD", path).headers.get("date")
        except (ResponseError, AccessDeniedError):
            date = None  # an API may not know HEAD, or not allow it
        date = date or self._ask("GET", path).headers.get("date")
        try:
            moment = parsedate_to_datetime(date or "")
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise ResponseError(
                f"GET {path} answered without a readable Date header",
                source=self.source.name,
                field="clock_path",
                remedy="Name an endpoint that sends one, or leave clock_path out to trust this machine's clock.",
            ) from None
        self.clock_offset = (moment - datetime.now(UTC)).total_seconds()
        return moment

    def apart(self) -> SourceClient:
        """The same open client for one of several slices: its `usage` is that slice's alone, and counted in the whole as well."""
        other = copy(self)
        other.usage = Usage(whole=self.usage)
        return other

    def limits(self) -> LimitsView:
        """What all runs together have of the API now: its rate, slots, pause, breaker, and what is left of its quota."""
        return self._limiter.view()

    def excerpt(self, body: bytes, length: int) -> str:
        """The first characters of a body on one line, without secrets."""
        return excerpt(body, self.credential, length)

    def presentable(self, error: IntegrationError) -> IntegrationError:
        """The error itself, with `***` in place of the credential in what it says."""
        return presentable(error, self.credential)

    def redact(self, data: _Text) -> _Text:
        """`data` with `***` in place of every spelling of the credential; bytes are UTF-8. Cheap when there is none in it."""
        return self.credential.redact(data) if isinstance(data, str) else self.credential.redact_bytes(data)

    def _ask(
        self,
        method: str,
        url: str,
        params: Mapping[str, str | int | float | bool] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: str | None = None,
        *,
        page_token: bool = False,
        with_body: bool = True,
        content: bytes | None = None,
    ) -> Response:
        try:
            request = Request(method, self._target(url, params), headers or {}, content, page_token, with_body)
            limits, limiter = self.source.limits, self._limiter
            return call_with_retries(
                limits, lambda retries: self._try(request, retries), self._waiting, limiter.may_retry, limiter.rest
            )
        except IntegrationError as error:
            presentable(error, self.credential).at(self.source.name, stream)
            raise
        except (httpx.InvalidURL, UnicodeEncodeError) as error:  # a page token of 64 KiB, or with half a character
            raise self._bad_url(error).at(self.source.name, stream) from None

    def _try(self, request: Request, retries: Retries) -> Response:
        """One try; all runs are told what came of it, without the credential, which a link may have in its path."""
        try:
            answer = self._presentably(request, retries)
        except ThrottledError as error:
            self._limiter.throttled(error.retry_after, error.what)
            raise
        except (NameLookupError, RescheduleError):
            raise  # the API was not reached, or not asked
        except TransientError as error:
            self._limiter.failed(error.what)
            raise
        except IntegrationError:
            self._limiter.answered()
            raise
        self._limiter.answered()
        return answer

    def _presentably(self, request: Request, retries: Retries) -> Response:
        try:
            return self._follow(request, retries)
        except IntegrationError as error:
            presentable(error, self.credential)
            raise

    def _share(self) -> Limiter:
        """The way to what all runs of this API under this credential share."""
        host = show(self._home)
        digest = blake2b(f"{host} {self.credential.identity}".encode(), digest_size=4).hexdigest()
        account = f"{self.source.limits.group or self.source.name}-{digest}"
        return Limiter(self._store, account, self.source, host, self.usage, self._on_wait)

    def _waiting(self, error: TransientError, seconds: float) -> None:
        self.usage.add(retries=1, throttled=0.0 if error.retry_after is None else seconds)
        if self._on_wait:
            self._on_wait(error.what, seconds)

    def _target(self, url: str, params: Mapping[str, str | int | float | bool] | None) -> httpx.URL:
        """The whole URL, at our origin and without the credential."""
        known, whole = self._endpoint
        if url != known:
            whole = self._parsed(url)
            self._endpoint = url, whole  # of a stream's pages most have one: httpx takes a third of a millisecond to parse it
        if params:
            extra = str(httpx.QueryParams(dict(params))).encode()
            whole = whole.copy_with(query=b"&".join(part for part in (whole.query, extra) if part))
        return self.credential.clean(whole)

    def _parsed(self, url: str) -> httpx.URL:
        """A path under base_url, or a whole URL at our origin."""
        try:
            whole = httpx.URL(url if "://" in url.partition("?")[0] else f"{self.source.base_url.rstrip('/')}/{url.lstrip('/')}")
        except httpx.InvalidURL as error:
            raise self._bad_url(error) from None
        same_origin(self._home, whole)
        return whole

    def _bad_url(self, error: Exception) -> ResponseError:
        return ResponseError(
            f"the API gave a link that is no URL: {self.credential.redact(str(error))}", remedy="Ask the API's owner."
        )

    def _follow(self, request: Request, retries: Retries) -> Response:
        """Send, and follow redirects within the origin by hand."""
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._send(request, retries)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location:
                return self._page(request, answer)
            if request.content is not None and answer.status not in _SAME_METHOD:
                raise ResponseError(
                    f"{request.asked} answered {answer.status}, and what was posted cannot follow",
                    remedy="Check the stream's path.",
                )
            try:
                there = request.url.join(location)
            except (httpx.InvalidURL, ValueError) as error:
                raise self._bad_url(error) from None
            same_origin(self._home, there)
            request = replace(request, url=self.credential.clean(there))
        raise ResponseError(f"{request.asked} redirects more than {_MAX_REDIRECTS} times", remedy="Check the stream's path.")

    def _page(self, request: Request, answer: Response) -> Response:
        """The answer, if it may be a page; else what it says is raised."""
        limits = self.source.limits
        if answer.status in _PAGES:
            if throttled := throttled_page(request.asked, answer.body, self.credential, limits):
                raise throttled
            return answer
        raise status_error(
            answer.status,
            httpx.Headers(answer.headers),
            answer.body,
            request.asked,
            self.credential,
            limits,
            page_token=request.page_token,
        )

    def _send(self, request: Request, retries: Retries) -> Response:
        """Wait for a turn and send. What is waited is not counted against the retries' time."""
        patience = self.source.limits.pool_timeout
        began = monotonic()
        if not self._connections.acquire(timeout=patience):
            raise UpstreamUnavailableError(
                f"none of the run's {self.source.limits.max_connections} connections was free within {patience:g} s",
                field="limits.max_connections",
                remedy="A later run goes on from the last commit.",
            )
        try:
            with self._limiter.turn(self.usage):
                retries.excuse(monotonic() - began)
                return self._exchange(request, min(self.source.limits.page_timeout, max(retries.left, 0.001)))
        finally:
            self._connections.release()

    def _exchange(self, request: Request, seconds: float) -> Response:
        """One request, its body read within the limits. Raises `TransientError` when no whole answer comes in time."""
        if self._wire is None:
            message = "the client is not open: use it in a with statement"
            raise RuntimeError(message)
        limits = self.source.limits
        timeout = httpx.Timeout(min(limits.read_timeout, seconds), connect=min(limits.connect_timeout, seconds))
        sent = self._with_credential(request, timeout)
        self.usage.add(requests=1)
        started = monotonic()
        try:
            with over_within(seconds, started):
                response = self._wire.handle_request(sent)
                try:
                    body = self._read(request, response)
                finally:
                    response.close()
        except httpx.TransportError as error:
            # Without its cause: that may show the very line of the answer in which the credential came back.
            raise connection_error(error, request.method, request.url, self.credential) from None
        self.usage.add(bytes_=len(body), seconds=monotonic() - started)
        self._limiter.heard(response.headers)
        if _LOG.isEnabledFor(logging.DEBUG):  # a link may have the credential in its path
            asked = self.credential.redact(request.asked)
            _LOG.debug("%s: %s, %s bytes", asked, response.status_code, len(body))
        return Response(response.status_code, response.headers, body, str(request.url))

    def _with_credential(self, request: Request, timeout: httpx.Timeout) -> httpx.Request:
        """What is sent: the one place where the credential is added. Raises `CrossHostError` before anything goes elsewhere."""
        same_origin(self._home, request.url)
        headers = self._headers.copy()
        headers.update(httpx.Headers(request.headers, encoding="utf-8"))  # an ETag that goes back may be no ASCII
        headers.update(dict(self.credential.headers))
        url = self.credential.attach(request.url)
        extensions = {"timeout": timeout.as_dict()}
        return httpx.Request(request.method, url, headers=headers, content=request.content, extensions=extensions)

    def _read(self, request: Request, response: httpx.Response) -> bytes:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        # A response that came by the transport alone streams itself, as it was sent.
        chunks = cast("httpx.SyncByteStream", response.stream)
        if request.method == "HEAD" or response.status_code in {204, 304}:
            return b""
        if response.status_code not in _PAGES:
            return read_start(chunks, encoding, EXAMINED, self._count_wire)
        return read_body(chunks, encoding, self.source.limits.max_page_bytes, self._count_wire) if request.with_body else b""

    def _count_wire(self, size: int) -> None:
        self.usage.add(wire_bytes=size)


def _proxy(base: httpx.URL) -> str | None:
    """The environment's proxy for this host: httpx does not look it up once it is given a transport."""
    if proxy_bypass(base.host):
        return None
    proxies = getproxies()
    proxy = proxies.get(base.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
