"""Everything under /v1: key, rate limit, faults, streams, and the count of what was answered."""

from __future__ import annotations

import hmac
import time
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import Request

from integration_assets.sandbox import wire
from integration_assets.sandbox.answers import Answer, ApiError
from integration_assets.sandbox.damage import damage
from integration_assets.sandbox.faults import Faults
from integration_assets.sandbox.flights import FlightStream
from integration_assets.sandbox.query import Query
from integration_assets.sandbox.ratelimit import RateLimit
from integration_assets.sandbox.snapshots import AIRLINES, PLANES, AirportStream, SnapshotStream
from integration_assets.sandbox.tokens import Tokens
from integration_assets.sandbox.weather import WeatherStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.types import Receive, Scope, Send

    from integration_assets.sandbox.clock import Clock
    from integration_assets.sandbox.data import Data
    from integration_assets.sandbox.faults import Kind, Rule

Stream = FlightStream | WeatherStream | AirportStream | SnapshotStream

RESET = "reset"


class Api:
    """The ASGI application of /v1; the admin endpoints read and change its clock, faults, limit and counts."""

    def __init__(self, data: Data, clock: Clock, *, key: str, rate_limit: float, cursor_ttl: float, gzip: bool) -> None:
        """Index the data; `cursor_ttl` is in real seconds, `rate_limit` in requests per second."""
        self.clock, self.faults, self.limit = clock, Faults(), RateLimit(rate_limit)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.transports: wire.Transports = {}
        self._key, self._gzip = key, gzip
        self._flights = FlightStream(data, Tokens(key.encode(), cursor_ttl))
        self._weather = WeatherStream(data)
        self._fixed: dict[str, AirportStream | SnapshotStream] = {
            "airports": AirportStream(data.airports),
            "airlines": SnapshotStream(data.airlines, AIRLINES),
            "planes": SnapshotStream(data.planes, PLANES),
        }
        self._streams: dict[str, Stream] = {"flights": self._flights, "weather": self._weather, **self._fixed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or cut its connection when a rule says so."""
        request = Request(scope)
        path = request.url.path
        met: Mapping[Kind, Rule] = {}
        try:
            limits = self._admitted(request)
        except ApiError as error:
            answer = error.answer()
        else:
            met = self.faults.met_by(path, has_token="cursor=" in request.url.query)
            if "reset" in met:
                self.counts[path, RESET] += 1
                await wire.reset(scope, receive, self.transports)
                return
            answer = self._answer(request, path, met).adding(*limits)
        if self._gzip:
            answer = wire.compressed(answer, request.headers.get("accept-encoding"))
        self.counts[path, str(answer.status)] += 1
        await wire.deliver(answer, met, scope, send, self.transports)

    def truth(self, stream: str, clock: int, *, deleted: bool) -> Iterator[bytes]:
        """Give what a warehouse should hold of `stream` at `clock` as lines of JSON; `KeyError` for no such stream."""
        if stream == "flights":
            return self._flights.truth(clock, deleted=deleted)
        if stream == "weather":
            return self._weather.truth(clock)
        return self._fixed[stream].truth()

    def _admitted(self, request: Request) -> tuple[tuple[str, str], ...]:
        """Check the key and take from its bucket; gives the rate limit's headers."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self._key.encode()):
            message = "send the key as 'Authorization: Bearer <key>'"
            raise ApiError(401, "unauthorized", message, {"WWW-Authenticate": 'Bearer realm="sandbox"'})
        allowance = self.limit.take(key)
        if allowance is None:
            return ()
        if not allowance.allowed:
            headers = dict(allowance.headers) | {"Retry-After": str(allowance.retry_after)}
            raise ApiError(429, "rate_limited", f"more than {self.limit.rate:g} requests per second", headers)
        return allowance.headers

    def _answer(self, request: Request, path: str, met: Mapping[Kind, Rule]) -> Answer:
        try:
            _refuse(met)
            answer = self._stream(request, path).get(self._query(request, path, looping="loop" in met))
        except ApiError as error:
            return error.answer()
        return wire.conditional(damage(answer, met), request.headers.get("if-none-match"))

    def _stream(self, request: Request, path: str) -> Stream:
        stream = self._streams.get(path.removeprefix("/v1/"))
        if stream is None:
            raise ApiError(404, "not_found", f"no such endpoint: {path}")
        if request.method != "GET":
            raise ApiError(405, "method_not_allowed", "this endpoint only answers GET", {"Allow": "GET"})
        return stream

    def _query(self, request: Request, path: str, *, looping: bool) -> Query:
        params = dict(parse_qsl(request.url.query, keep_blank_values=True))
        url = f"{request.url.scheme}://{request.url.netloc}{path}"
        return Query(path, url, params, int(self.clock.now()), time.time(), looping)


def _refuse(met: Mapping[Kind, Rule]) -> None:
    """Raise the error answer of a `token_refused` or `status` rule."""
    if "token_refused" in met:
        raise ApiError(410, "cursor_expired", "the cursor has expired: start the read again")
    if rule := met.get("status"):
        headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
        raise ApiError(rule.status or 503, "injected_fault", "a fault rule answered this request", headers)
