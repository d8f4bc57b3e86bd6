"""Where a campaign's runs land: a folder or a bucket, DuckDB or BigQuery, and what its account finds there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

import pytest

from integration_assets_tests.bigquery.process import PROJECT, BigQueryEmulator
from integration_assets_tests.campaign.upstream import KEY, Ledger
from integration_assets_tests.gcs.process import GcsEmulator

Kind = Literal["folder + DuckDB", "bucket + DuckDB", "bucket + BigQuery"]
KINDS: tuple[Kind, ...] = ("folder + DuckDB", "bucket + DuckDB", "bucket + BigQuery")
"""The fourth pair, a folder with BigQuery, is refused by the settings: BigQuery cannot read a folder."""
_NUMBERS = count()


@dataclass(frozen=True)
class Place:
    """A lake, a warehouse and the limits of its API, all of their own.

    environ : what a run needs to find them.
    roots   : the folders in which everything of it is kept, on the emulators' side too.
    table   : the warehouse's table.
    """

    kind: Kind
    environ: Mapping[str, str]
    roots: tuple[str, ...]
    table: str

    @contextmanager
    def here(self) -> Iterator[None]:
        """Let this process find the emulators while the context is open."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environ.items():
                patch.setenv(name, value)
            yield


@dataclass(frozen=True)
class Emulators:
    """What stands in for Google; None where only a folder is used."""

    gcs: GcsEmulator | None = None
    bigquery: BigQueryEmulator | None = None

    def place(self, kind: Kind, ledger: Ledger, folder: Path) -> Place:
        """A new, empty place of the kind; `folder` holds whatever of it is local."""
        number = next(_NUMBERS)
        mine = folder / f"place-{number}"
        mine.mkdir(parents=True)
        environ = {
            "LEDGER_URL": ledger.url,
            "LEDGER_KEY": KEY,
            "INTEGRATION_LAKE_URI": str(mine / "lake"),
            "INTEGRATION_WAREHOUSE_URI": str(mine / "warehouse.duckdb"),
            "INTEGRATION_WAREHOUSE_WAIT": "30",
            "INTEGRATION_LIMITS_URI": str(mine / "limits"),
        }
        roots, table = [str(mine)], "ledger.entries"
        if kind != "folder + DuckDB":
            assert self.gcs is not None
            bucket = f"campaign-{number}"
            self.gcs.create_bucket(bucket, "US")
            environ |= self.gcs.environ | {"INTEGRATION_LAKE_URI": f"gs://{bucket}/lake"}
            roots.append(str(self.gcs.folder / bucket))
        if kind == "bucket + BigQuery":
            assert self.bigquery is not None
            prefix = f"campaign_{number}_"
            environ |= self.bigquery.environ
            environ |= {"INTEGRATION_WAREHOUSE_URI": f"bigquery://{PROJECT}?location=US&prefix={prefix}"}
            roots.append(str(self.bigquery.folder / "data"))
            table = f"{prefix}ledger.entries"
        return Place(kind, environ, tuple(roots), table)


Places = Callable[[Kind, Ledger], Place]
