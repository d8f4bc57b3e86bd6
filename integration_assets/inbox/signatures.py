"""Whether a delivery is who it says it is from: the HMAC of its bytes, compared in constant time, inside a time window."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from integration_assets.errors import SpecError
from integration_assets.spec.events import GitHub, Hmac, Shopify, Signature, Slack, StandardWebhooks, Stripe

WRONG = "wrong signature"
_WHSEC = "whsec_"
_MOST = 16
"""Signatures of one delivery that are looked at."""
_DIGITS = 12
"""Of a timestamp in seconds."""


def keys(signature: Signature, secrets: Sequence[str]) -> list[bytes]:
    """The secrets as the scheme's HMAC takes them. Raises `SpecError`, without the secret, for one that is not of its form."""
    if not isinstance(signature, StandardWebhooks):
        return [secret.encode() for secret in secrets]
    found = []
    for secret in secrets:
        try:
            found.append(base64.b64decode(secret.removeprefix(_WHSEC), validate=True))
        except (binascii.Error, ValueError):
            raise SpecError(
                f"the secret {signature.secret} or the one before it is not base64",
                field=signature.secret,
                remedy="Copy it as the API shows it: whsec_ and base64.",
            ) from None
    return found


def refusal(signature: Signature, keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """Why the delivery is not accepted, None when it is.

    keys    : of `keys()`; any of them may have signed, so that keys can rotate.
    headers : by name in lower case.
    now     : seconds since 1970, for the schemes that sign a time.
    """
    match signature:
        case GitHub():
            return _compare(keys, body, _after("sha256=", headers.get("x-hub-signature-256")), "hex")
        case Shopify():
            return _compare(keys, body, _after("", headers.get("x-shopify-hmac-sha256")), "base64")
        case Hmac(header=header, prefix=prefix, encoding=encoding):
            return _compare(keys, body, _after(prefix, headers.get(header.lower())), encoding)
        case Stripe(tolerance=tolerance):
            parts = [part.strip() for part in headers.get("stripe-signature", "").split(",")]
            sent = next((part[2:] for part in parts if part.startswith("t=")), "")
            given = [text for part in parts for text in _after("v1=", part)]
            return _when(sent, tolerance, now) or _compare(keys, f"{sent}.".encode() + body, given, "hex")
        case Slack(tolerance=tolerance):
            sent = headers.get("x-slack-request-timestamp", "")
            given = _after("v0=", headers.get("x-slack-signature"))
            return _when(sent, tolerance, now) or _compare(keys, f"v0:{sent}:".encode() + body, given, "hex")
        case StandardWebhooks(tolerance=tolerance):
            id_, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            given = [text for part in headers.get("webhook-signature", "").split(" ") for text in _after("v1,", part)]
            return _when(sent, tolerance, now) or _compare(keys, f"{id_}.{sent}.".encode() + body, given, "base64")
        case _:
            assert_never(signature)


def challenge(signature: Signature, body: bytes) -> str | None:
    """What Slack wants to read in the answer to a (signed) request that only asks whether the address is ours; else None."""
    if not isinstance(signature, Slack) or b"url_verification" not in body:
        return None
    try:
        asked = json.loads(body)
    except ValueError:
        return None
    return str(asked.get("challenge", "")) if isinstance(asked, dict) and asked.get("type") == "url_verification" else None


def _after(prefix: str, text: str | None) -> list[str]:
    """What follows the prefix; nothing where that does not stand at the beginning."""
    return [text.removeprefix(prefix)] if text and text.startswith(prefix) else []


def _when(sent: str, tolerance: float, now: float) -> str | None:
    """A signed time outside of the window may be an old delivery sent again by someone who saw it."""
    if not (sent.isascii() and sent.isdigit() and len(sent) <= _DIGITS):
        return "no timestamp"
    return "timestamp outside the window" if abs(now - int(sent)) > tolerance else None


def _compare(keys: Sequence[bytes], signed: bytes, given: Sequence[str], encoding: str) -> str | None:
    """Compare each signature with each key's, all of them in constant time, so that timing tells nothing."""
    candidates = [found for text in given[:_MOST] for found in _decoded(text, encoding)]
    if not candidates:
        return "no signature"
    expected = [hmac.digest(key, signed, "sha256") for key in keys]
    equal = [hmac.compare_digest(one, other) for one in expected for other in candidates]
    return None if True in equal else WRONG


def _decoded(text: str, encoding: str) -> Iterator[bytes]:
    try:
        yield bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        return
