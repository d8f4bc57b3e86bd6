"""The pandera gate: every row passes the contract, or is rejected alone with every reason."""

from __future__ import annotations

import gc
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from integration_assets.spec.contract_data import Contract
from integration_assets.spec.records import DELETED, Batch, Reject, check_rejects

if TYPE_CHECKING:  # imported with the first row: a sync that finds nothing new is over before they would be there
    import pandas as pd

Reasons = dict[int, list[str]]
_SHOWN = 80
_HALVINGS = 500
"""How often a batch is asked about to find the rows on which a check breaks; what is left then is rejected with them."""


@dataclass(frozen=True)
class Gate:
    """A contract, and the columns (key, cursor, version) that no row may lack, tombstones included.

    owner : the columns that tell whose child a row is, where its record alone does not.
    """

    contract: Contract
    required: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()

    def warm_up(self) -> None:
        """Load pandas, pandera and the model in a thread of their own, while the first pages are still fetched and decoded."""
        Thread(target=self._load, name="gate").start()

    def _load(self) -> None:
        with suppress(Exception):  # raised again by the first check
            self.contract.schema  # noqa: B018 - kept once it is there

    def check(self, batch: Batch) -> tuple[pa.Table, list[Reject]]:
        """Split a batch into the rows that hold the contract and rejects with reasons, in the order received.

        Rejects of the decoder are passed on. Rows on which a check breaks by an error of its own are rejected with that error.
        """
        table = batch.table
        reasons: Reasons = defaultdict(list)
        for name in self.required:
            check_rejects(table.column(name).null_count, f"{name}: is null")
            for position in pc.indices_nonzero(pc.is_null(table.column(name))).to_pylist():
                reasons[position].append(f"{name}: is null")
        live = pc.indices_nonzero(pc.invert(table.column(DELETED))).to_pylist()
        for position, found in self._violations(table, live).items():
            reasons[position].extend(reason for reason in found if reason not in reasons[position])
        if not reasons:
            return table, list(batch.rejects)
        check_rejects(len(reasons), next(iter(reasons.values()))[0])
        good = pa.array([position not in reasons for position in range(table.num_rows)], pa.bool_())
        turned_away = [
            Reject(
                batch.raw[position],
                _columns_first(reasons[position]),
                _text(table, position, self.key),
                _text(table, position, self.owner),
            )
            for position in sorted(reasons)
        ]
        return table.filter(good), [*batch.rejects, *turned_away]

    def _violations(self, table: pa.Table, live: Sequence[int]) -> Reasons:
        """Reasons by position in `table`, of the rows at the `live` positions."""
        if not live:
            return {}
        import pandas as pd

        chosen = table if len(live) == table.num_rows else table.take(live)
        frame = chosen.select(self.contract.arrow_schema.names).to_pandas(types_mapper=pd.ArrowDtype)
        reasons = {live[position]: found for position, found in self._validate(frame).items()}
        del frame
        # pandera and a frame hold each other. The collector that frees them counts objects, not bytes, and is due only after
        # dozens of batches, all of whose columns would be kept until then. The young objects are few: this takes a millisecond.
        gc.collect(1)
        return reasons

    def _validate(self, frame: pd.DataFrame) -> Reasons:
        """Reasons by position in `frame`. A check that breaks on some rows is narrowed down to them by halving."""
        found: Reasons = {}
        parts = deque([(0, len(frame))])
        asked = 0
        while parts:
            start, end = parts.popleft()
            by_row, broken = self._ask_pandera(_rows(frame, start, end))
            asked += 1
            if broken and end - start > 1 and asked < _HALVINGS:
                middle = (start + end) // 2
                parts.extend([(start, middle), (middle, end)])
                continue
            for position in range(start, end) if broken else by_row:
                row = position if broken else start + position
                found[row] = [*by_row.get(row - start, []), *broken]
        return found

    def _ask_pandera(self, frame: pd.DataFrame) -> tuple[Reasons, list[str]]:
        """Reasons by row, and the failures that pandera could not lay at a row's door."""
        import pandas as pd
        import pandera.errors

        try:
            self.contract.schema.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as errors:
            by_row: Reasons = defaultdict(list)
            broken: list[str] = []
            for case in errors.failure_cases.to_dict("records"):
                reason = _reason(case)
                if case["index"] is None or pd.isna(case["index"]):
                    broken.append(reason)
                elif reason not in by_row[int(case["index"])]:
                    by_row[int(case["index"])].append(reason)
            return by_row, broken
        return {}, []


def _text(table: pa.Table, position: int, names: Sequence[str]) -> str | None:
    """A row's values of some columns; None without columns, and where one of them is null."""
    values = [table.column(name)[position].as_py() for name in names]
    return None if not values or any(value is None for value in values) else "|".join(str(value) for value in values)


def _columns_first(reasons: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(reasons, key=lambda reason: reason.startswith("row: ")))


def _rows(frame: pd.DataFrame, start: int, end: int) -> pd.DataFrame:
    return frame.iloc[start:end].reset_index(drop=True)


def _reason(case: dict[str, object]) -> str:
    """`field: what is wrong, got value`; a check over the whole row has no field and no value."""
    check = str(case["check"])
    if case["schema_context"] == "DataFrameSchema" and not check.startswith("column_"):
        return f"row: {check}"
    if check == "not_nullable":
        return f"{case['column']}: is null"
    value = repr(case["failure_case"])
    return f"{case['column']}: must be {check}, got {value if len(value) <= _SHOWN else value[:_SHOWN] + '…'}"
