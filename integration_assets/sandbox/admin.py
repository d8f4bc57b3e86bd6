"""The endpoints that tests and the demo steer the sandbox with: clock, faults, rate limit, truth, request counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from integration_assets.sandbox.ratelimit import RateLimit
from integration_assets.sandbox.times import iso, parse

if TYPE_CHECKING:
    from starlette.requests import Request

    from integration_assets.sandbox.api import Api


Shape = TypeVar("Shape", bound=msgspec.Struct)


class ClockChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /admin/clock: an ISO-8601 instant and simulated seconds per real second, either or both."""

    now: str | None = None
    speed: float | None = None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /admin/clock/advance."""

    seconds: float


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /admin/rate_limit: requests per second for each key, 0 for none."""

    rate_limit: float


def routes(api: Api) -> list[Route]:
    """Give the routes under /admin for one `Api`."""
    admin = _Admin(api)
    return [
        Route("/clock", admin.clock, methods=["GET", "PUT"]),
        Route("/clock/advance", admin.advance, methods=["POST"]),
        Route("/faults", admin.faults, methods=["GET", "PUT", "DELETE"]),
        Route("/rate_limit", admin.rate_limit, methods=["GET", "PUT"]),
        Route("/requests", admin.requests, methods=["GET", "DELETE"]),
        Route("/truth/{stream}", admin.truth, methods=["GET"]),
    ]


class _Admin:
    def __init__(self, api: Api) -> None:
        self._api = api

    async def clock(self, request: Request) -> Response:
        if request.method == "PUT":
            change = await _body(request, ClockChange)
            try:
                self._api.clock.change(None if change.now is None else parse(change.now), change.speed)
            except ValueError as error:
                raise HTTPException(400, str(error)) from error
        return self._clock_now()

    async def advance(self, request: Request) -> Response:
        step = await _body(request, Step)
        self._api.clock.change(self._api.clock.now() + step.seconds)
        return self._clock_now()

    async def faults(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self._api.faults.put(await request.body())
            except ValueError as error:
                raise HTTPException(400, str(error)) from error
        if request.method == "DELETE":
            self._api.faults.clear()
        return _json(self._api.faults.shown())

    async def rate_limit(self, request: Request) -> Response:
        if request.method == "PUT":
            self._api.limit = RateLimit((await _body(request, Limit)).rate_limit)
        return _json({"rate_limit": self._api.limit.rate})

    async def requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._api.counts.clear()
        shown: dict[str, dict[str, int]] = {}
        for (path, status), count in sorted(self._api.counts.items()):
            shown.setdefault(path, {})[status] = count
        return _json(shown)

    async def truth(self, request: Request) -> Response:
        at, deleted = request.query_params.get("at"), request.query_params.get("deleted", "false")
        try:
            clock = self._api.clock.now() if at is None else parse(at)
            lines = self._api.truth(request.path_params["stream"], int(clock), deleted=deleted == "true")
        except ValueError as error:
            raise HTTPException(400, f"at: {error}") from error
        except KeyError as error:
            raise HTTPException(404, f"no such stream: {error}") from error
        return StreamingResponse(lines, media_type="application/x-ndjson")

    def _clock_now(self) -> Response:
        return _json({"now": iso(self._api.clock.now()), "speed": self._api.clock.speed})


async def _body(request: Request, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(await request.body(), type=shape)
    except msgspec.MsgspecError as error:
        raise HTTPException(400, str(error)) from error


def _json(value: Any) -> Response:  # noqa: ANN401  (anything msgspec can write)
    return Response(msgspec.json.encode(value), media_type="application/json")
