"""What the tests' API promises."""

import pandera.pandas as pandera

from integration_assets.spec.contract import Int64, String, Timestamp, column


class Order(pandera.DataFrameModel):
    """An order of a shop."""

    id: String = column(nullable=False, description="The order's number.")
    amount: Int64 = column(nullable=False, ge=0, description="Cents.")
    note: String = column(description="What the customer wrote.")
    updated_at: Timestamp = column(nullable=False, description="When this version was made.")


class Country(pandera.DataFrameModel):
    """A country the shop sends to."""

    code: String = column(nullable=False, description="Two letters.")
    name: String = column(description="In English.")
