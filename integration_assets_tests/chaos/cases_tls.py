"""Certificates, and what is behind a TLS port."""

from __future__ import annotations

from integration_assets.spec import NextLink
from integration_assets_tests.chaos.answers import JSON, WELL, does, head, page, pages, sends, sends_and_closes
from integration_assets_tests.chaos.case import ALL, QUICK, Case, Fails
from integration_assets_tests.chaos.upstream import Talk


def _distrusted(kind: str, *says: str) -> Case:
    return Case(
        f"certificate {kind}",
        sends(WELL),
        Fails("HumanNeededError", ("certificate of localhost", "base_url", *says), 0),
        tls=kind,
    )


def _downgrades(talk: Talk) -> bool:
    talk.send(head("302 Found", f"Location: {talk.here.replace('https', 'http')}/items", "Content-Length: 0"))
    return True


def _links_down(talk: Talk, after: int) -> dict[str, str]:
    return {"next": f"{talk.here.replace('https', 'http')}/items?from={after}"}


CASES = (
    Case("certificate good", sends(WELL), ALL, tls="good"),
    _distrusted("self-signed", "self-signed"),
    _distrusted("expired", "expired"),
    _distrusted("early", "not yet valid"),
    _distrusted("other host", "localhost"),
    _distrusted("other authority"),
    Case("redirect from https to http", _downgrades, Fails("CrossHostError", ("http://localhost",), 1), tls="good"),
    Case(
        "next link from https to http",
        pages(_links_down),
        Fails("CrossHostError", ("http://localhost",), 1),
        stream={"paging": NextLink(path="next")},
        tls="good",
    ),
    Case(
        "plain text on the TLS port",
        sends(WELL),
        Fails("UpstreamUnavailableError", ("connect",), 0),
        limits=QUICK,
        base_url="https://localhost:{port}",
    ),
    Case(
        "silence on the TLS port",
        does(Talk.hold),
        Fails("UpstreamUnavailableError", ("connect",), 0),
        base_url="https://localhost:{port}",
        limits=QUICK,
    ),
    Case(
        "TLS on the plain port",
        sends(WELL),
        Fails("UpstreamUnavailableError", (), 2),
        base_url="http://localhost:{port}",
        tls="good",
    ),
    Case(
        "TLS with headers byte by byte",
        does(lambda talk: talk.drip(WELL)),
        Fails("UpstreamUnavailableError", ("too long",), 2),
        tls="good",
        limits=QUICK,
    ),
    Case(
        "TLS that would rather speak HTTP/2",
        sends(WELL),
        ALL,
        tls="good",
        protocols=("h2", "http/1.1"),
    ),
    Case(
        "TLS cut off before the body's length",
        sends_and_closes(head("200 OK", JSON, f"Content-Length: {len(page())}") + page()[:-30]),
        Fails("UpstreamUnavailableError", (), 2),
        tls="good",
    ),
)
