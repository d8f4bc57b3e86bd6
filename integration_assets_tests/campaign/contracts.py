"""What the ledger promises."""

import pandera.pandas as pandera

from integration_assets.spec.contract import Int64, Timestamp, column


class Entry(pandera.DataFrameModel):
    """An entry of the ledger."""

    id: Int64 = column(nullable=False)
    amount: Int64 = column(nullable=False, ge=0)
    changed_at: Timestamp = column(nullable=False)


class Mended(pandera.DataFrameModel):
    """The same after someone saw that debts are entries too."""

    id: Int64 = column(nullable=False)
    amount: Int64 = column(nullable=False, ge=-10_000)
    changed_at: Timestamp = column(nullable=False)
