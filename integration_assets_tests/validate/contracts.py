"""Contracts that the tests of the gate hold rows against."""

import pandas as pd
import pandera.pandas as pandera

from integration_assets.spec.contract import Int64, String, Timestamp, column


class Order(pandera.DataFrameModel):
    """An order."""

    id: String = column(nullable=False, description="Its name.")
    amount: Int64 = column(ge=0, le=100, description="Pieces.")
    discount: Int64 = column(description="Pieces not paid for.")
    at: Timestamp = column(nullable=False, description="When it changed.")

    @pandera.dataframe_check(name="discount is not above amount")
    def discount_fits(cls, frame: pd.DataFrame) -> "pd.Series[bool]":
        """Compare two columns of a row."""
        return (frame["discount"] <= frame["amount"]).fillna(value=True)


class Fragile(pandera.DataFrameModel):
    """A contract with a check that raises on some values."""

    id: String = column(nullable=False)

    @pandera.check("id", name="an even number")
    def even(cls, values: "pd.Series[str]") -> "pd.Series[bool]":
        """Raise on what is no number."""
        return values.map(lambda value: int(value) % 2 == 0)


class Broken(pandera.DataFrameModel):
    """A contract whose check never works."""

    id: String = column(nullable=False)

    @pandera.check("id", name="impossible")
    def impossible(cls, values: "pd.Series[str]") -> "pd.Series[bool]":
        """Raise on every value."""
        raise RuntimeError("boom")
