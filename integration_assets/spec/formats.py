"""What a page's body is, and where its records are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from integration_assets.spec.base import Spec


class Json(Spec):
    """A JSON document; `records` is the path to the list of records, empty when the body is the list itself."""

    kind: Literal["json"] = "json"
    records: str = "data"
    content_types: tuple[str, ...] = ("application/json", "+json")


class Ndjson(Spec):
    """One JSON record a line."""

    kind: Literal["ndjson"] = "ndjson"
    content_types: tuple[str, ...] = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json")


class Csv(Spec):
    """A header line, then one record a line. `nulls` are the spellings of an absent value."""

    kind: Literal["csv"] = "csv"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    nulls: tuple[str, ...] = ("",)
    content_types: tuple[str, ...] = ("text/csv", "application/csv", "text/plain")


class Xml(Spec):
    """Records are the elements named `record`; child elements and `@attribute`s are their fields."""

    kind: Literal["xml"] = "xml"
    record: str
    nulls: tuple[str, ...] = ("",)
    content_types: tuple[str, ...] = ("application/xml", "text/xml", "+xml")


class Parquet(Spec):
    """Parquet files; a column's name is the field. A timestamp without a time zone is taken as UTC."""

    kind: Literal["parquet"] = "parquet"
    content_types: tuple[str, ...] = ()


Format = Annotated[Json | Ndjson | Csv | Xml | Parquet, Field(discriminator="kind")]
