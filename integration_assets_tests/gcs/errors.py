"""Refusals, with the status, the JSON reason and the XML code that Google Cloud Storage gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from xml.sax.saxutils import escape


class Refusal(Exception):  # noqa: N818  (an answer, not a fault of ours)
    """A request answered with `status`; `reason` is the JSON API's word for it and `code` the XML API's."""

    def __init__(self, status: int, reason: str, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.reason, self.code, self.message = status, reason, code, message
        self.headers = dict(headers or {})

    def as_json(self) -> bytes:
        """Body of the JSON API: `{"error": {"code", "message", "errors": [...]}}`; empty for 304."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        body = {"error": {"code": self.status, "message": self.message, "errors": [detail]}}
        return b"" if self.status == 304 else json.dumps(body).encode()

    def as_xml(self) -> bytes:
        """Body of the XML API: `<Error><Code/><Message/></Error>`; empty for 304."""
        inner = f"<Code>{self.code}</Code><Message>{escape(self.message)}</Message>"
        return b"" if self.status == 304 else f"<?xml version='1.0' encoding='UTF-8'?><Error>{inner}</Error>".encode()


def no_object(bucket: str, name: str) -> Refusal:
    """404: no live object of that name, or not that generation of it."""
    return Refusal(404, "notFound", "NoSuchKey", f"No such object: {bucket}/{name}")


def no_bucket() -> Refusal:
    """404: no bucket of that name."""
    return Refusal(404, "notFound", "NoSuchBucket", "The specified bucket does not exist.")


def no_upload() -> Refusal:
    """404: no upload of that id for that object."""
    return Refusal(404, "notFound", "NoSuchUpload", "The requested upload was not found.")


def denied(bucket: str) -> Refusal:
    """403: the caller may not touch this bucket (or its name is a stranger's)."""
    return Refusal(403, "forbidden", "AccessDenied", f"Anonymous caller does not have storage access to the bucket {bucket}.")


def condition_failed() -> Refusal:
    """412: an `if...Match` did not hold."""
    message = "At least one of the pre-conditions you specified did not hold."
    return Refusal(412, "conditionNotMet", "PreconditionFailed", message)


def not_modified() -> Refusal:
    """304: an `if...NotMatch` did not hold."""
    return Refusal(304, "notModified", "NotModified", "Not Modified")


def bad_request(message: str, code: str = "InvalidArgument") -> Refusal:
    """400: the request makes no sense."""
    return Refusal(400, "invalid", code, message)


def conflict(message: str, code: str) -> Refusal:
    """409: the bucket exists, or is not empty."""
    return Refusal(409, "conflict", code, message)


def bad_range(size: int) -> Refusal:
    """416: the range begins behind the last byte."""
    message = "The requested range cannot be satisfied."
    return Refusal(416, "requestedRangeNotSatisfiable", "InvalidRange", message, {"Content-Range": f"bytes */{size}"})


def not_emulated(what: str) -> Refusal:
    """501: Google Cloud Storage can do this, the emulator cannot."""
    return Refusal(501, "notImplemented", "NotImplemented", f"The emulator does not do this: {what}")
