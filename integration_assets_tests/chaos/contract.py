"""What the hostile upstream is described as."""

from __future__ import annotations

import pandera.pandas as pandera

from integration_assets.spec.contract import Boolean, Float64, Int64, String, Timestamp, column


class Item(pandera.DataFrameModel):
    """One column of each kind that a record may get wrong."""

    id: Int64 = column(nullable=False)
    seq: Int64 = column(nullable=False)
    price: Float64 = column()
    ok: Boolean = column()
    at: Timestamp = column()
    ticked: Timestamp = column(format="epoch_ms")
    note: String = column()
