"""What a source's `contracts.py` is written with.

A contract is a `pandera.pandas.DataFrameModel` whose fields are made with `column(...)` and whose types are the aliases
below. It is written in a source's `contracts.py` and named in the spec as `package.module:Model`, so that loading the
definitions does not import pandas and pandera.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from integration_assets.spec.contract_data import Column, Contract
from integration_assets.spec.contract_loading import check_stream, load_contract
from integration_assets.spec.paths import Path, parse_path

String = Annotated[pd.ArrowDtype, pa.string()]
Int64 = Annotated[pd.ArrowDtype, pa.int64()]
Float64 = Annotated[pd.ArrowDtype, pa.float64()]
Boolean = Annotated[pd.ArrowDtype, pa.bool_()]
Date = Annotated[pd.ArrowDtype, pa.date32()]
Timestamp = Annotated[pd.ArrowDtype, pa.timestamp("us", "UTC")]

__all__ = [
    "Boolean",
    "Column",
    "Contract",
    "Date",
    "Float64",
    "Int64",
    "Path",
    "String",
    "Timestamp",
    "check_stream",
    "column",
    "load_contract",
    "parse_path",
]


def column(
    path: str | None = None,
    *,
    format: str | None = None,  # noqa: A002 - the field's own word
    nullable: bool = True,
    description: str | None = None,
    pii: Literal["redact", "hash", "partial"] | None = None,
    mask: Literal["hash", "redact"] | None = None,
    **checks: Any,  # noqa: ANN401 - pandera's own checks
) -> Any:  # noqa: ANN401 - what pandera.Field returns
    """A contract's column.

    path        : where the value is in a record: `properties.mag`, `geometry.coordinates[0]`, `@id` (XML attribute);
                  the column's own name when None.
    format      : how a timestamp is written: `iso8601` (default), `epoch_s`, `epoch_ms` or a strftime pattern;
                  `json` keeps any value as its JSON text in a String column.
    nullable    : whether the value may be absent or null. Absent and null are the same.
    pii         : the value is personal, and people see this of it; lake and warehouse have it whole.
    mask        : lake and warehouse have this of the value, and quarantine the whole record should it be rejected.
    checks      : pandera's: `ge=0`, `isin=[…]`, `str_matches="…"`, `str_length={"min_value": 1}`, …
    """
    metadata = {"path": path, "format": format, "pii": pii, "mask": mask}
    return pandera.Field(nullable=nullable, description=description, metadata=metadata, **checks)
