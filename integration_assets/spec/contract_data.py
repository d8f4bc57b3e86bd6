"""What a contract says, as plain data: columns with their Arrow types, and a hash. The pandera model is loaded when rows come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from integration_assets.spec.paths import Path

if TYPE_CHECKING:
    import pandera.pandas as pandera


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, where its value is in a record, whether it may be null, and its marks of `spec.masks`."""

    name: str
    type: pa.DataType
    path: Path
    format: str | None
    nullable: bool
    description: str
    pii: str | None = None
    mask: str | None = None


@dataclass(frozen=True)
class Contract:
    """What a stream's rows must be. Arrow schema, warehouse types, gate and hash all come from it.

    hash  : 12 hex digits that change when columns, types, paths, nullability, checks or masks do.
    model : what gives the pandera schema; None for columns that are only read, and never checked.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    hash: str = ""
    model: Callable[[], pandera.DataFrameSchema] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def schema(self) -> pandera.DataFrameSchema:
        """The checks, for the gate; the first call imports pandera. Raises `SpecError` when the model changed meanwhile."""
        if self.model is None:
            raise TypeError(f"{self.name} has columns and no checks")
        return self.model()

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow fields, all nullable: the gate and not the file decides about nulls."""
        return pa.schema([pa.field(c.name, c.type, metadata={"description": c.description}) for c in self.columns])

    @property
    def personal(self) -> bool:
        """Whether any column is marked as personal, by how it is shown or how it is stored."""
        return any(column.pii or column.mask for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column_ in self.columns:
            if column_.name == name:
                return column_
        raise KeyError(name)
