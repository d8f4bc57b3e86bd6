"""How to see, with one cheap request, whether an API has something new."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec

_PATH = re.compile(r"[^.\[\]]+(\[\d+\])*(\.[^.\[\]]+(\[\d+\])*)*")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class ConditionalProbe(Spec):
    """Whether the ETag, or without one the Last-Modified date, is still the last one seen. No body is read.

    path   : endpoint, relative to the source's base_url; the stream's own when None.
    method : GET asks with If-None-Match or If-Modified-Since; HEAD is for an API that answers HEAD with the same headers.
    every  : seconds between two looks, at least.
    """

    kind: Literal["conditional"] = "conditional"
    path: str | None = None
    params: Mapping[str, str | int | float | bool] = {}
    method: Literal["GET", "HEAD"] = "GET"
    every: int = Field(default=300, ge=30)


class ValueProbe(Spec):
    """Whether one value of an answer is still the last one seen: a count, the newest record's cursor, a version.

    path   : endpoint, relative to the source's base_url; the stream's own when None.
    params : such as `{"sort": "-updated_at", "limit": 1}`: ask for as little as the API allows.
    value  : where it is in the JSON body, such as `meta.total` or `data[0].updated_at`; `""` is the whole body.
    header : the header that holds it, such as `X-Total-Count`, instead of `value`. No body is read then.
    every  : seconds between two looks, at least.
    """

    kind: Literal["value"] = "value"
    path: str | None = None
    params: Mapping[str, str | int | float | bool] = {}
    value: str | None = None
    header: str | None = None
    every: int = Field(default=300, ge=30)

    @model_validator(mode="after")
    def _consistent(self) -> ValueProbe:
        if (self.value is None) == (self.header is None):
            raise SpecError(
                "ValueProbe: give a value or a header, one of them", field="probe.value", remedy='Such as value="meta.total".'
            )
        if self.value and not _PATH.fullmatch(self.value):
            raise SpecError(f"{self.value!r} is not a path", field="probe.value", remedy="Write a.b.c or a.b[0].")
        return self

    @property
    def steps(self) -> tuple[str | int, ...]:
        """The value's path, `data[0].id` as `("data", 0, "id")`; empty for the whole body."""
        return tuple(int(index) if index else name for index, name in _STEP.findall(self.value or ""))


Probe = Annotated[ConditionalProbe | ValueProbe, Field(discriminator="kind")]
