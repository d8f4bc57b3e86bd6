"""The OpenAPI 3.1 description of /v1, as the sandbox really answers it."""

from __future__ import annotations

from typing import Any

from integration_assets.sandbox import flights, snapshots, weather

Json = dict[str, Any]

_INSTANT: Json = {"type": "string", "format": "date-time"}
_TEXT: Json = {"type": "string"}
_WHOLE: Json = {"type": "integer"}
_NUMBER: Json = {"type": "number"}


def document(server: str) -> Json:
    """Describe the API served at the address `server`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sandbox flight operations API",
            "version": "1.0.0",
            "description": "The flights that left New York in 2013, with weather, airports, airlines and planes.",
        },
        "servers": [{"url": server}],
        "security": [{"bearer": []}],
        "paths": {
            "/v1/flights": {"get": _flights()},
            "/v1/weather": {"get": _weather()},
            "/v1/airports": {"get": _airports()},
            "/v1/airlines": {"get": _snapshot("listAirlines", "Airline")},
            "/v1/planes": {"get": _snapshot("listPlanes", "Plane")},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
            "headers": _headers(),
            "responses": _errors(),
        },
    }


def _flights() -> Json:
    page = _object({"data": _list("FlightOrTombstone"), "meta": _ref("PageMeta")})
    parameters = [
        _parameter("updated_since", _INSTANT, "Only versions with updated_at at or after this instant."),
        _parameter("updated_before", _INSTANT, "Only versions with updated_at before this instant."),
        _parameter("limit", _bounded(1, flights.MAX_LIMIT, flights.DEFAULT_LIMIT), "Records on a page."),
        _parameter("cursor", _TEXT, "meta.next_cursor of the page before; it ages out."),
    ]
    summary = "The current version of each flight, sorted by updated_at and id"
    operation = _operation("listFlights", summary, parameters, {"application/json": {"schema": page}})
    operation["responses"]["410"] = {"$ref": "#/components/responses/CursorExpired"}
    return operation


def _weather() -> Json:
    parameters = [
        _parameter("observed_since", _INSTANT, "Only observations at or after this instant."),
        _parameter("observed_before", _INSTANT, "Only observations before this instant."),
        _parameter("page", _bounded(1, weather.MAX_PAGE, 1), "Page number, from 1."),
        _parameter("per_page", _bounded(1, weather.MAX_SIZE, weather.DEFAULT_SIZE), "Rows on a page."),
    ]
    summary = "Hourly observations as CSV with a header line; an empty cell is null"
    content = {"text/csv": {"schema": {"type": "string", "x-row-schema": _ref("Observation")}}}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in ("Link", "X-Total-Count")}
    return _operation("listWeather", summary, parameters, content, headers)


def _airports() -> Json:
    root = _object({"total": _WHOLE | {"xml": {"attribute": True}}, "airport": _list("Airport")})
    parameters = [
        _parameter("offset", _bounded(0, snapshots.MAX_OFFSET, 0), "Airports to skip."),
        _parameter("limit", _bounded(1, snapshots.MAX_LIMIT, snapshots.DEFAULT_LIMIT), "Airports on a page."),
    ]
    content = {"application/xml": {"schema": root | {"xml": {"name": "airports"}}}}
    return _operation("listAirports", "Airports as XML, sorted by faa; an empty element is null", parameters, content)


def _snapshot(name: str, schema: str) -> Json:
    content = {"application/json": {"schema": _object({"data": _list(schema)})}}
    match = {"name": "If-None-Match", "in": "header", "schema": _TEXT, "description": "The ETag that the client holds."}
    etag = {"ETag": {"$ref": "#/components/headers/ETag"}}
    operation = _operation(name, "The whole table, with a strong ETag", [match], content, etag)
    operation["responses"]["304"] = {"description": "The client's copy is current.", "headers": etag}
    return operation


def _operation(name: str, summary: str, parameters: list[Json], content: Json, headers: Json | None = None) -> Json:
    limits = ("X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    shown = {header: {"$ref": f"#/components/headers/{header}"} for header in limits} | (headers or {})
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": summary, "headers": shown, "content": content},
            "400": {"$ref": "#/components/responses/BadRequest"},
            "401": {"$ref": "#/components/responses/Unauthorized"},
            "429": {"$ref": "#/components/responses/RateLimited"},
        },
    }


def _schemas() -> Json:
    port = _object({"faa": _TEXT, "name": _nullable(_TEXT)})
    return {
        "Flight": _flight(port),
        "FlightTombstone": _object({"id": _TEXT, "updated_at": _INSTANT, "withdrawn": {"const": True}}),
        "FlightOrTombstone": {"oneOf": [_ref("Flight"), _ref("FlightTombstone")]},
        "PageMeta": _object({"count": _WHOLE, "next_cursor": _nullable(_TEXT)}),
        "Observation": _observation(),
        "Airport": _object(
            dict.fromkeys(("faa", "name", "dst"), _TEXT)
            | {"lat": _NUMBER, "lon": _NUMBER, "altitude_ft": _WHOLE, "utc_offset_h": _WHOLE}
            | {"timezone": _nullable(_TEXT)}
        ),
        "Airline": _object({"code": _TEXT, "name": _TEXT}),
        "Plane": _object(
            dict.fromkeys(("tail_number", "type", "manufacturer", "model", "engine"), _TEXT)
            | {"engines": _WHOLE, "seats": _WHOLE}
            | {"year": _nullable(_WHOLE), "cruise_speed_mph": _nullable(_WHOLE)}
        ),
        "Error": _object({"error": _object({"code": _TEXT, "message": _TEXT})}),
    }


def _flight(port: Json) -> Json:
    aircraft = {name: _nullable(_TEXT) for name in ("tail_number", "manufacturer", "model")}
    return _object(
        {
            "id": _TEXT,
            "status": {"enum": ["scheduled", "departed", "arrived", "cancelled"]},
            "flight_number": _WHOLE,
            "carrier": _object({"code": _TEXT, "name": _TEXT}),
            "aircraft": _object(aircraft | {"seats": _nullable(_WHOLE)}),
            "origin": port,
            "destination": port,
            "distance_mi": _WHOLE,
            "scheduled_departure": _INSTANT,
            "scheduled_arrival": _INSTANT,
            "departed_at": _nullable(_INSTANT),
            "arrived_at": _nullable(_INSTANT),
            "departure_delay_min": _nullable(_WHOLE),
            "arrival_delay_min": _nullable(_WHOLE),
            "air_time_min": _nullable(_WHOLE),
            "created_at": _INSTANT,
            "updated_at": _INSTANT,
            "withdrawn": {"const": False},
        }
    )


def _observation() -> Json:
    nullable = ("temp_f", "dewpoint_f", "humidity_pct", "wind_speed_mph", "wind_gust_mph", "pressure_mb")
    return _object(
        {"id": _TEXT, "origin": _TEXT, "observed_at": _INSTANT, "wind_dir_deg": _nullable(_WHOLE)}
        | {name: _nullable(_NUMBER) for name in nullable}
        | {"precip_in": _NUMBER, "visibility_mi": _NUMBER}
    )


def _headers() -> Json:
    described = {
        "X-Request-Id": ("Names this answer.", _TEXT),
        "X-RateLimit-Limit": ("Requests that a full bucket holds.", _WHOLE),
        "X-RateLimit-Remaining": ("Requests left in the bucket.", _WHOLE),
        "X-RateLimit-Reset": ("Seconds until the bucket is full.", _WHOLE),
        "Retry-After": ("Seconds to wait.", _WHOLE),
        "ETag": ("A strong validator of the whole body.", _TEXT),
        "Link": ("RFC 8288 links to the first, prev, next and last page.", _TEXT),
        "X-Total-Count": ("Rows on all pages together.", _WHOLE),
    }
    return {name: {"description": text, "schema": schema} for name, (text, schema) in described.items()}


def _errors() -> Json:
    content = {"application/json": {"schema": _ref("Error")}}
    texts = {
        "BadRequest": "A parameter is unknown or malformed.",
        "Unauthorized": "The bearer key is missing or wrong.",
        "CursorExpired": "The cursor is malformed or too old: start the read again.",
        "RateLimited": "The key's bucket is empty.",
    }
    errors: Json = {name: {"description": text, "content": content} for name, text in texts.items()}
    errors["RateLimited"]["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return errors


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _nullable(schema: Json) -> Json:
    return schema | {"type": [schema["type"], "null"]}


def _list(name: str) -> Json:
    return {"type": "array", "items": _ref(name)}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _bounded(low: int, high: int, default: int) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


def _parameter(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": text}
