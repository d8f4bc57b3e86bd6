"""Pages that lead astray or never end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from integration_assets.spec import NextLink, Offset, PageNumber, Token
from integration_assets_tests.chaos.answers import GOOD, JSON, head, ok, page, pages, query, sends
from integration_assets_tests.chaos.case import ALL, Case, Fails
from integration_assets_tests.chaos.upstream import Behaviour, Talk

_LINKS = {"paging": NextLink(path="next")}
_HEADER_LINKS = {"paging": NextLink()}
_TOKENS = {"paging": Token(path="next", param="from")}
_NUMBERS = {"paging": PageNumber(size=5)}


def _leads(name: str, there: str, *says: str, kind: str = "CrossHostError", most: int = 1) -> Case:
    """A first page whose next link leads astray, in the body."""

    def link(talk: Talk, after: int) -> dict[str, Any]:
        return {"next": there.format(here=talk.here, trap=talk.trap, port=talk.here.rpartition(":")[2], after=after)}

    return Case(f"next link {name}", pages(link), Fails(kind, says, most), stream=_LINKS)


def _said(name: str, value: Any, *says: str, kind: str = "ResponseError", stream: Any = None) -> Case:  # noqa: ANN401 - JSON
    return Case(f"next is {name}", pages(lambda _talk, _after: {"next": value}), Fails(kind, says, 2), stream=stream or _TOKENS)


def _headed(link: Callable[[Talk, int], str]) -> Behaviour:
    """The good records by Link headers."""

    def behave(talk: Talk) -> bool:
        start = int(query(talk).get("from", 0))
        lines = [f"Link: {link(talk, start + 10)}"] if start + 10 < len(GOOD) else []
        talk.send(ok(page(GOOD[start : start + 10]), *lines))
        return True

    return behave


def _numbered(total: str) -> Behaviour:
    """The good records by page number, five a page, with a count in a header."""

    def behave(talk: Talk) -> bool:
        start = (int(query(talk)["page"]) - 1) * 5
        talk.send(ok(page(GOOD[start : start + 5]), f"X-Total-Count: {total}"))
        return True

    return behave


def _endless(talk: Talk) -> bool:
    talk.send(ok(page(GOOD[:1] if talk.number else GOOD, next=f"token-{talk.number}")))
    return True


CASES = (
    _leads("to another port", "{trap}/items?from={after}", "127.0.0.1"),
    _leads("to another host", "https://evil.example/items", "evil.example"),
    _leads("without a scheme", "//evil.example/items", "evil.example"),
    _leads("to a file", "file:///etc/passwd", "file://"),
    _leads("to a file of one slash", "file:/etc/passwd", "no URL", kind="ResponseError"),
    _leads("to the metadata server", "http://169.254.169.254/latest/meta-data/iam", "169.254.169.254"),
    _leads("to here in six groups", "http://[::1]:{port}/items", "::1"),
    _leads("to here by another name", "http://localhost:{port}/items", "localhost"),
    _leads("to here as one number", "http://2130706433:{port}/items", "2130706433"),
    _leads("with here as a user", "http://127.0.0.1:{port}@evil.example/items", "evil.example"),
    _leads("with a backslash", "http://evil.example\\@127.0.0.1:{port}/items", "named before", kind="PagingError", most=2),
    _leads("to a script", "javascript:alert(1)", "no URL", kind="ResponseError"),
    _leads("to data", "data:application/json,[]", "no URL", kind="ResponseError"),
    _leads("to half an address", "http://[::1", "no URL", kind="ResponseError"),
    _leads("to a port that is none", "http://127.0.0.1:port/items", "no URL", kind="ResponseError"),
    _leads("of seventy kilobytes", "{here}/items?from=" + "9" * 70_000, "no URL", kind="ResponseError"),
    _leads("to a host of no letters", "http://\u202eexample.com/", "no URL", kind="ResponseError"),
    Case(
        "next link with a user and a password",
        pages(lambda talk, after: {"next": f"{talk.here.replace('//', '//user:pass@')}/items?from={after}#part"}),
        ALL,
        stream=_LINKS,
    ),
    Case(
        "next link with line breaks",
        pages(lambda _talk, after: {"next": f"/items?from={after}&x=\r\nX-Evil: 1"}),
        ALL,
        stream=_LINKS,
    ),
    Case("link header in garbage", sends(ok(page(), "Link: ;;;,,<>;;= rel")), ALL, stream=_HEADER_LINKS),
    Case(
        "link header of no ascii",
        _headed(lambda _talk, after: f"</items?from={after}&n=\xe9>; rel=next"),
        ALL,
        stream=_HEADER_LINKS,
    ),
    Case(
        "link header to another port",
        _headed(lambda talk, _after: f'<{talk.trap}/items>; rel="next"'),
        Fails("CrossHostError", ("127.0.0.1",), 1),
        stream=_HEADER_LINKS,
    ),
    _said("an object", {"url": "x"}, "paging.path", "dict"),
    _said("a list", ["x"], "paging.path", "list"),
    _said("a fraction", 1.5, "paging.path"),
    _said("the same again", "5", "named before", kind="PagingError"),
    Case(
        "next is a number beyond all bounds",
        sends(ok(page()[:-1] + b', "next": 1e99999999999999999999}')),
        Fails("ResponseError", ("next",), 1),
        stream=_TOKENS,
    ),
    Case(
        "next is no text",
        sends(ok(page()[:-1] + b', "next": "\xff\xfe"}')),
        Fails("ResponseError", (), 2),
        stream=_TOKENS,
    ),
    Case(
        "tokens without end",
        _endless,
        Fails("LimitExceededError", ("limits.max_pages", "more than 40 pages"), 42),
        stream=_TOKENS,
        limits={"max_pages": 40},
    ),
    Case("page number is ignored", sends(ok(page(GOOD[:5]))), Fails("PagingError", ("page",), 3), stream=_NUMBERS),
    Case(
        "offset is ignored", sends(ok(page(GOOD[:5]))), Fails("PagingError", ("offset",), 3), stream={"paging": Offset(limit=5)}
    ),
    Case("count of five thousand digits", _numbered("9" * 5000), ALL, stream=_NUMBERS),
    Case("count below nothing", _numbered("-7"), ALL, stream=_NUMBERS),
    Case("count in words", _numbered("twenty"), ALL, stream=_NUMBERS),
    Case("count too high", _numbered("99999999999"), Fails("PagingError", ("99,999,999,999",), 20), stream=_NUMBERS),
    Case("count too low", _numbered("3"), ALL, stream=_NUMBERS),
    Case(
        "next page without a body",
        sends(ok(page(next="a")), head("200 OK", JSON, "Content-Length: 0")),
        Fails("ResponseError", ("empty",), 3),
        stream=_TOKENS,
    ),
)
