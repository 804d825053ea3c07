"""Feast file sources as lazy Parquet tables: one file, a folder, or hive partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

import polars as pl
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.file_source import FileSource

from zeroskew.contract.errors.sentences import first_line
from zeroskew.contract.number_bounds import INT64
from zeroskew.features.offline_store.errors import SourceError, UnsupportedRequestError
from zeroskew.features.offline_store.parquet.part_schemas import UNREADABLE, open_parts, scan
from zeroskew.features.offline_store.parquet.table_files import (
    Place,
    parquet_files,
    partition_columns,
)

__all__ = [
    "DAY_US",
    "INSTANT_OF_DAY",
    "ParquetTable",
    "between",
    "find_place",
    "has_key",
    "local_path",
    "open_parquet_table",
]

DAY_US: Final = 86_400_000_000
INSTANT_OF_DAY: Final = "; a date does not say from which moment of the day it holds"
_PER_MICROSECOND: Final = {"ns": 1000, "us": 1}


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """A table of Parquet files, not yet read.

    Attributes
    ----------
    name : str
        The data source's name, for errors.
    frame : pl.LazyFrame
        All rows, files in order of their paths; hive partitions are columns.
    schema : pl.Schema
        Names and types of the columns.
    files : tuple of Path or str
        The files.
    refused : mapping of str to str
        Columns that some files lack or have in a type of another meaning, each with a sentence.
    """

    name: str
    frame: pl.LazyFrame
    schema: pl.Schema
    files: tuple[Place, ...]
    refused: Mapping[str, str] = field(default_factory=dict)

    def collect(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Run a query on ``frame``.

        Raises
        ------
        SourceError
            If a file is broken or gone, lacks a column that is asked for, or has it in
            another type.
        """
        try:
            return rows.collect()
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SourceError:
        for file in self.files:
            try:
                scan([file]).tail(1).collect()
            except UNREADABLE as alone:
                return SourceError(
                    f"Got file {PurePosixPath(file).name!r} of source {self.name!r} that cannot "
                    f"be read ({first_line(alone)}), but expected Parquet with the columns "
                    f"{self.schema.names()}."
                )
        return SourceError(
            f"Got {first_line(error)} from source {self.name!r}, but expected whole Parquet files "
            f"with the columns {self.schema.names()}."
        )

    def require(self, column: str, *, role: str) -> pl.DataType:
        """Return the type of ``column``.

        Raises
        ------
        SourceError
            If the table has no such column, or not in all of its files.
        """
        if column in self.refused:
            raise SourceError(self.refused[column])
        if column not in self.schema:
            raise SourceError(
                f"Got source {self.name!r} with columns {self.schema.names()}, "
                f"but expected {column!r} as its {role}."
            )
        return self.schema[column]

    def require_instants(self, column: str, *, role: str) -> pl.DataType:
        """Return the type of a timestamp ``column``.

        Raises
        ------
        SourceError
            If the column is missing or is no timestamp.
        """
        dtype = self.require(column, role=role)
        if not isinstance(dtype, pl.Datetime):
            raise SourceError(
                f"Got {dtype} in column {column!r} of source {self.name!r}, but expected a "
                f"timestamp as its {role}{INSTANT_OF_DAY if dtype == pl.Date else ''}."
            )
        return dtype

    def count_rows(self) -> int:
        """Count all rows from the files' footers."""
        return int(self.collect(self.frame.select(pl.len())).item())

    def distinct_days(self, column: str) -> list[int]:
        """List the days since the Unix epoch in which a column's instants lie, ascending."""
        day = pl.col(column).dt.timestamp("us") // DAY_US
        days = self.collect(self.frame.select(day.unique()))
        return days.to_series().drop_nulls().sort().to_list()


def open_parquet_table(
    source: DataSource | None, repo_path: Path | None, *, without: str = ""
) -> ParquetTable:
    """Open a Feast source for reading.

    Parameters
    ----------
    source : DataSource or None
        A ``FileSource`` of Parquet, on this machine or in an object store: one file, or a folder
        with any depth of hive partitions (``year=2013/month=01``). Names that begin with ``.``
        or ``_`` are not read.
    repo_path : Path or None
        What a relative path is relative to.
    without : str, optional
        A name of files that are not read.

    Returns
    -------
    ParquetTable
        Lazy; only the files' footers have been read. A column that a file lacks is refused when
        it is asked for, so one added to a table has to be added to its older files too.

    Raises
    ------
    UnsupportedRequestError
        If the source is not a Parquet file source.
    SourceError
        If there is no file, one is not Parquet, or the object store cannot be read.
    """
    root = find_place(source, repo_path)
    assert source is not None
    files = [file for file in parquet_files(root) if PurePosixPath(file).name != without]
    if not files:
        raise SourceError(
            f"Got no Parquet file at {root}, but expected one or more for source {source.name!r}."
        )
    parts = open_parts(files, f"source {source.name!r}", partitions=partition_columns(root, files))
    return ParquetTable(source.name, parts.frame, parts.schema, tuple(files), parts.refused)


def local_path(source: DataSource | None, repo_path: Path | None) -> Path:
    """Return where a Feast file source lies on this machine.

    Raises
    ------
    UnsupportedRequestError
        If the source is of another kind, of another format, or in an object store.
    """
    place = find_place(source, repo_path)
    if isinstance(place, str):
        raise UnsupportedRequestError(
            f"Got {place} to write to, but expected a file or folder of this machine."
        )
    return place


def find_place(source: DataSource | None, repo_path: Path | None) -> Place:
    """Return where a Feast file source of Parquet lies, here or in an object store.

    Raises
    ------
    UnsupportedRequestError
        If the source is of another kind or format.
    """
    if not isinstance(source, FileSource):
        raise UnsupportedRequestError(
            f"Got {type(source).__name__} as a batch source, but expected a FileSource."
        )
    if not isinstance(source.file_format, ParquetFormat | None):
        raise UnsupportedRequestError(
            f"Got {type(source.file_format).__name__} in source {source.name!r}, "
            "but expected ParquetFormat."
        )
    if source.s3_endpoint_override:
        raise UnsupportedRequestError(
            f"Got an s3_endpoint_override in source {source.name!r}, but expected the variable "
            "AWS_ENDPOINT_URL."
        )
    if "://" in source.path:
        return str(source.path)
    return Path(FileSource.get_uri_for_file_path(repo_path, source.path))


def has_key(column: str, dtype: pl.DataType) -> pl.Expr:
    """Select the rows with a join key: those with a null, or NaN among floats, are no entity's."""
    key = pl.col(column)
    return key.is_not_null() & key.is_not_nan() if dtype.is_float() else key.is_not_null()


def between(column: str, dtype: pl.DataType, start: int | None, end: int | None) -> pl.Expr:
    """Select the rows whose timestamp lies in ``[start, end]``, both included.

    The bounds are written in the column's own unit, so that Parquet statistics still skip
    whole files and row groups.

    Parameters
    ----------
    column : str
        A timestamp column; null is not selected where a bound is given.
    dtype : pl.DataType
        The column's Datetime type. Naive values are UTC.
    start, end : int or None
        Microseconds since the Unix epoch; None leaves that side open.

    Returns
    -------
    pl.Expr
        Boolean.
    """
    assert isinstance(dtype, pl.Datetime)
    selected = [pl.lit(value=True)]
    if start is not None:
        selected.append(pl.col(column) >= _instant(_first_tick(start, dtype), dtype))
    if end is not None:
        selected.append(pl.col(column) <= _instant(_last_tick(end, dtype), dtype))
    return pl.all_horizontal(selected[1:] or selected)


def _first_tick(microseconds: int, dtype: pl.Datetime) -> int:
    if dtype.time_unit == "ms":
        return -(-microseconds // 1000)
    return microseconds * _PER_MICROSECOND[dtype.time_unit]


def _last_tick(microseconds: int, dtype: pl.Datetime) -> int:
    if dtype.time_unit == "ms":
        return microseconds // 1000
    per_microsecond = _PER_MICROSECOND[dtype.time_unit]
    return microseconds * per_microsecond + per_microsecond - 1


def _instant(ticks: int, dtype: pl.Datetime) -> pl.Expr:
    return pl.lit(min(max(ticks, INT64.start), INT64.stop - 1), dtype=pl.Int64).cast(dtype)
