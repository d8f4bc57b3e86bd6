"""Contracts and specs that the tests read by."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from integration_assets.spec import Limits, Source, Stream
from integration_assets.spec.contract import Boolean, Contract, Date, Float64, Int64, String, Timestamp, column, load_contract

Maker = Annotated[pd.ArrowDtype, pa.struct([("name", pa.string()), ("seats", pa.int64()), ("since", pa.timestamp("us", "UTC"))])]
Tags = Annotated[pd.ArrowDtype, pa.list_(pa.string())]
Money = Annotated[pd.ArrowDtype, pa.decimal128(10, 2)]
Small = Annotated[pd.ArrowDtype, pa.int16()]


class Item(pandera.DataFrameModel):
    """Every type that Arrow's own reader can take."""

    id: Int64 = column(nullable=False)
    name: String = column()
    amount: Float64 = column()
    ok: Boolean = column()
    at: Timestamp = column()
    day: Date = column()
    made: Timestamp = column(format="epoch_s")
    ticked: Timestamp = column(format="epoch_ms")
    written: Timestamp = column(format="%d/%m/%Y %H:%M")
    city: String = column("address.city")
    lat: Float64 = column("address.where[1]")
    maker: Maker = column()
    tags: Tags = column()
    small: Small = column()


class Exact(pandera.DataFrameModel):
    """Types that are read record by record."""

    id: Int64 = column(nullable=False)
    price: Money = column()
    extra: String = column(format="json")


class Thing(pandera.DataFrameModel):
    """A key, a text and a moment."""

    id: Int64 = column(nullable=False)
    name: String = column()
    at: Timestamp = column()


class Reading(pandera.DataFrameModel):
    """Of CSV and XML."""

    id: String = column("@id")
    temp: Float64 = column()
    count: Int64 = column("inner.count")


class Row(pandera.DataFrameModel):
    """Of CSV."""

    id: Int64 = column(nullable=False)
    name: String = column()
    temp: Float64 = column()
    ok: Boolean = column()
    at: Timestamp = column()
    day: Date = column()


def contract(model: type) -> Contract:
    """The contract of one of the models above."""
    return load_contract(f"{__name__}:{model.__name__}")


def stream(model: type = Thing, **settings: Any) -> Stream:  # noqa: ANN401 - the spec checks them
    """A stream that reads `model` from `/things`."""
    given = {"name": "things", "path": "/things", "key": ("id",), "disposition": "append"}
    return Stream(**{**given, "contract": f"{__name__}:{model.__name__}", **settings})


def source(url: str, stream_: Stream | None = None, limits: Limits | None = None, **settings: Any) -> Source:  # noqa: ANN401
    """A source at `url` that waits hardly at all."""
    quick = limits or Limits(attempts=3, wait_initial=0.001, wait_max=0.002)
    return Source(name="shop", base_url=url, streams=(stream_ or stream(),), limits=quick, **settings)
