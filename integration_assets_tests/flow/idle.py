"""An event, for an API that has nothing new most of the time."""

import pandera.pandas as pandera

from integration_assets.spec.contract import Int64, Timestamp, column


class Event(pandera.DataFrameModel):
    """Something that happened."""

    id: Int64 = column(nullable=False, ge=0)
    at: Timestamp = column(nullable=False)
