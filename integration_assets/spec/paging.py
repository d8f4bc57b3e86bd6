"""How an endpoint is read page by page. A page token is a position inside a slice, never a cursor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec


class Single(Spec):
    """The whole answer is one page."""

    kind: Literal["single"] = "single"


class PageNumber(Spec):
    """`?page=1&per_page=500`; ends at a page without records.

    Where the API counts all records in a header (`X-Total-Count`, `X-Total`), also at a page with fewer than `size` once as
    many were read. A page with fewer is no end by itself: the API may not give as many as it is asked for. Where it counts,
    pages are asked for several at a time.

    total_path : where a JSON body counts all records; None looks at the headers.
    """

    kind: Literal["page_number"] = "page_number"
    param: str = "page"
    size_param: str | None = "per_page"
    size: int = Field(default=500, ge=1)
    first: int = 1
    total_path: str | None = None


class Offset(Spec):
    """`?offset=0&limit=500`; ends as `PageNumber` does. `first` is 1 for APIs that count from one.

    overlap : ask for so many records of the last page again, so that no record which leaves the list while it is read can
              hide another unseen: a page that does not begin as the last one ended says so. Needs a key, and an API that
              takes any offset.
    """

    kind: Literal["offset"] = "offset"
    param: str = "offset"
    limit_param: str = "limit"
    limit: int = Field(default=500, ge=1)
    first: int = 0
    total_path: str | None = None
    overlap: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Offset:
        if self.overlap >= self.limit:
            raise SpecError(
                f"Offset: an overlap of {self.overlap} leaves nothing new on a page of {self.limit}",
                field="paging.overlap",
                remedy="Set it to a few records, such as 1.",
            )
        return self


class Token(Spec):
    """The body names the next page's token at `path`; ends when it is absent, null or empty."""

    kind: Literal["token"] = "token"
    path: str
    param: str
    size_param: str | None = None
    size: int = Field(default=500, ge=1)


class NextLink(Spec):
    """The answer gives the next page's whole URL: in the body at `path`, or in the `Link` header when `path` is None."""

    kind: Literal["next_link"] = "next_link"
    path: str | None = None
    rel: str = "next"
    size_param: str | None = None
    size: int = Field(default=500, ge=1)


Paging = Annotated[Single | PageNumber | Offset | Token | NextLink, Field(discriminator="kind")]
