"""What the benchmark's upstream promises: our contract, with checks on what a team would check."""

from typing import Annotated

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from integration_assets.spec.contract import Boolean, Float64, Int64, String, Timestamp, column

Tags = Annotated[pd.ArrowDtype, pa.list_(pa.string())]
Address = Annotated[
    pd.ArrowDtype,
    pa.struct(
        [
            ("line", pa.string()),
            ("city", pa.string()),
            ("postcode", pa.string()),
            ("country", pa.string()),
            ("lat", pa.float64()),
            ("lon", pa.float64()),
        ]
    ),
]
Items = Annotated[pd.ArrowDtype, pa.list_(pa.struct([("sku", pa.string()), ("quantity", pa.int64()), ("price", pa.float64())]))]
Campaign = Annotated[pd.ArrowDtype, pa.struct([("source", pa.string()), ("name", pa.string()), ("variant", pa.string())])]


class Order(pandera.DataFrameModel):
    """An order of a shop."""

    id: Int64 = column(nullable=False, ge=1)
    updated_at: Timestamp = column(nullable=False)
    amount: Float64 = column(nullable=False, ge=0)
    created_at: Timestamp = column(nullable=False)
    status: String = column(nullable=False, isin=["open", "paid", "shipped", "cancelled"])
    currency: String = column(nullable=False, str_length={"min_value": 3, "max_value": 3})
    tax: Float64 = column(ge=0)
    quantity: Int64 = column(nullable=False, ge=0, le=10_000)
    paid: Boolean = column(nullable=False)
    email: String = column()
    name: String = column()
    phone: String = column()
    note: String = column()
    tags: Tags = column()
    address: Address = column()
    items: Items = column()
    channel: String = column(isin=["web", "shop", "phone"])
    referrer: String = column()
    ip: String = column()
    user_agent: String = column()
    score: Float64 = column(ge=0, le=1)
    rank: Int64 = column()
    discount: Float64 = column()
    campaign: Campaign = column()
    version: Int64 = column()
    deleted: Boolean = column()
    url: String = column()
