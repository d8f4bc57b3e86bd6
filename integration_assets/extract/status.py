"""What a status or a failed connection means, as an error of ours."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator

import httpx

from integration_assets.errors import (
    AccessDeniedError,
    HumanNeededError,
    IntegrationError,
    PageTokenExpiredError,
    ResponseError,
    TransientError,
)
from integration_assets.extract.auth import Credential
from integration_assets.extract.limits.headers import budget
from integration_assets.extract.retry import NameLookupError, ThrottledError, retry_after
from integration_assets.spec.limits import Limits

# 520 to 524: a proxy that got no whole answer; 529: the API is overloaded.
_PASSING = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_TOO_FAST = frozenset({420, 429})
_MAY_MEAN_TOO_FAST = frozenset({400, 403})
_LIMITED = r"(rate|request|usage|call)s?.{0,10}limit"
_TOO_FAST_TEXT = re.compile(
    rf"{_LIMITED}.{{0,40}}(exceed|reach|hit)|exceed.{{0,40}}({_LIMITED}|quota)|quota.{{0,40}}exceed|too many requests|throttl",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN_STATUSES = frozenset({400, 404, 422})
_TOKEN_GONE = re.compile(
    r"(?=.*(cursor|token|continuation|page))(?=.*(expir|invalid|unknown|stale|no longer|not found|too old))",
    re.IGNORECASE | re.DOTALL,
)
_SHOWN = 200
_LONGEST = 1000
EXAMINED = 4096
"""How many bytes of a body are looked at for an error's text."""


def status_error(
    status: int,
    headers: httpx.Headers,
    body: bytes,
    asked: str,
    credential: Credential,
    limits: Limits,
    *,
    page_token: bool,
) -> IntegrationError:
    """The error for an answer that is no page. `asked`: method and path; `page_token`: the request carried one."""
    text = excerpt(body, credential, _SHOWN)
    asked = f"{asked} answered {status}"
    if _means_too_fast(status, headers, text, limits):
        throttled = ThrottledError(asked if status in _TOO_FAST else f"{asked}: {text or 'no text'}")
        throttled.retry_after = _back_in(headers)
        return throttled
    if status in _PASSING or status in limits.retry_on_status:
        error = TransientError(asked) if retry_after(headers) is None else ThrottledError(asked)
        error.retry_after = retry_after(headers)
        return error
    if status in {401, 403}:
        names = " and ".join(credential.names)
        return AccessDeniedError(
            f"{asked}: the API refused {f'the secret {names}' if names else 'a request without a credential'}",
            field="auth",
            remedy=f"Check that {names} is set to a key that is valid and may read this stream."
            if names
            else "Describe the source's auth.",
        )
    if page_token and (status == 410 or (status in _TOKEN_STATUSES and _TOKEN_GONE.search(text))):  # noqa: PLR2004
        return PageTokenExpiredError(
            f"{asked} to a page token: {text}", field="paging", remedy="The slice is read again from its start."
        )
    refused = ResponseError(
        f"{asked}: {text or 'no text'}", remedy="Check the stream's path and params against the API's manual."
    )
    refused.status = status
    return refused


def throttled_page(asked: str, body: bytes, credential: Credential, limits: Limits) -> ThrottledError | None:
    """The error for a page that is none but says "too fast", by the patterns that the source's spec gives."""
    if not limits.retry_on_body:
        return None
    text = excerpt(body, credential, EXAMINED)
    if not any(re.search(pattern, text, re.IGNORECASE) for pattern in limits.retry_on_body):
        return None
    return ThrottledError(f"{asked} answered, with no page: {text[:_SHOWN]}")


def _means_too_fast(status: int, headers: httpx.Headers, text: str, limits: Limits) -> bool:
    if status in _TOO_FAST or any(re.search(pattern, text, re.IGNORECASE) for pattern in limits.retry_on_body):
        return True
    if status not in _MAY_MEAN_TOO_FAST:
        return False
    told = budget(headers)
    return "retry-after" in headers or (told is not None and told.left <= 0) or bool(_TOO_FAST_TEXT.search(text))


def _back_in(headers: httpx.Headers) -> float | None:
    """Seconds that the API asks to wait: its `Retry-After`, or until its budget is whole again."""
    asked = retry_after(headers)
    told = budget(headers)
    return told.reset if asked is None and told is not None and told.left <= 0 else asked


def excerpt(body: bytes, credential: Credential, length: int) -> str:
    """The first characters of a body on one line, without secrets."""
    text = body[:EXAMINED].decode("utf-8", "replace")
    # What is no longer than a body's start may go on after it: a secret that ends there is hidden by its beginning.
    text = credential.redact(f"{text}…" if len(body) >= EXAMINED else text)
    return printable(" ".join(text.split()))[:length]


def printable(text: str) -> str:
    """The text with `?` for what is no character to look at: it may steer a terminal, or turn the line around."""
    return text if text.isprintable() else "".join(character if character.isprintable() else "?" for character in text)


def presentable(error: IntegrationError, credential: Credential) -> IntegrationError:
    """The error itself, which now shows no credential, whatever of an answer it tells, and has no end too far away."""
    what = printable(credential.redact(error.what))
    error.what = what if len(what) <= _LONGEST else f"{what[:_LONGEST]}…"
    error.args = (error.what,)
    return error


def connection_error(error: httpx.TransportError, method: str, url: httpx.URL, credential: Credential) -> IntegrationError:
    """The error for a request that got no answer, by what lies beneath it."""
    causes = list(_causes(error))
    reason = printable(credential.redact(str(error)))[:_SHOWN] or type(error).__name__
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return HumanNeededError(
            f"the certificate of {url.host} is not trusted: {reason}",
            field="base_url",
            remedy="Check the base_url; for a private authority set SSL_CERT_FILE to its certificate.",
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return NameLookupError(f"the host name {url.host} does not resolve: {reason}")
    transient = TransientError(f"{method} {url.path} got no answer from {url.host}: {_kind(error)} ({reason})")
    transient.unanswered = True
    return transient


def _kind(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return "it cannot be connected to"
        case httpx.TimeoutException():
            return "it took too long"
        case httpx.RemoteProtocolError():
            return "it broke off the answer, or what it sent is no HTTP"
        case _:
            return "the connection failed"


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
