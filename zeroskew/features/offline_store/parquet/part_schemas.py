"""One schema for the part files of a table, which may have been written at different times.

Files may differ in the order of columns, and in types that hold one another: a column that is
nowhere but null, whole numbers of two widths, floats of two widths, whole numbers and floats,
text and categories, times of two units or zones (naive ones are UTC). A column that a file lacks,
or has in a type that means something else, cannot be read; the other columns can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Final

import polars as pl
from polars.exceptions import ColumnNotFoundError, ComputeError, SchemaError

from zeroskew.contract.errors.sentences import first_line
from zeroskew.contract.number_bounds import EXACT_FLOAT, INT64
from zeroskew.features.offline_store.column_types import TEXT
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.offline_store.parquet.table_files import Place

__all__ = ["UNREADABLE", "PartFiles", "open_parts", "scan"]

UNREADABLE: Final = (ColumnNotFoundError, ComputeError, SchemaError, OSError)
"""What polars raises of a file that is broken, gone or of other columns."""

_READERS: Final = 16
"""How many footers in an object store are asked for at once."""


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The files of one table as one lazy frame.

    Attributes
    ----------
    frame : pl.LazyFrame
        The columns of ``schema``, files in the order given.
    schema : pl.Schema
        Names and types of the columns that all files have, hive partitions last.
    refused : mapping of str to str
        For each other column why it cannot be read: a sentence that names the file.
    """

    frame: pl.LazyFrame
    schema: pl.Schema
    refused: Mapping[str, str]


def open_parts(files: Sequence[Place], title: str, *, partitions: Sequence[str] = ()) -> PartFiles:
    """Read the footers of a table's files and find the types that hold all of their values.

    Parameters
    ----------
    files : sequence of Path or str
        At least one.
    title : str
        What the table is called in errors, such as ``source 'orders'``.
    partitions : sequence of str
        The hive partitions to be read as columns.

    Raises
    ------
    SourceError
        If a file is no Parquet, or cannot be read.
    """
    schemas = _read_schemas(files, title)
    columns, refused = _unify(schemas, title)
    for name in [name for name in columns if name not in partitions]:
        if (sentence := _find_lossy_file(name, columns[name], schemas, title)) is not None:
            del columns[name]
            refused[name] = sentence
    hive = pl.Schema(
        scan(files, partitioned=True).select(partitions).collect_schema() if partitions else {}
    )
    stored = [name for name in columns if name not in hive]
    refused = {name: sentence for name, sentence in refused.items() if name not in hive}
    frames = [
        _cast(scan([file for file, _ in group], hive=hive), types, columns, stored, list(hive))
        for types, group in _group(schemas, stored)
    ]
    frame = frames[0] if len(frames) == 1 else pl.concat(frames)
    return PartFiles(frame, pl.Schema({**{n: columns[n] for n in stored}, **hive}), refused)


def scan(
    files: Sequence[Place], *, partitioned: bool = False, hive: pl.Schema | None = None
) -> pl.LazyFrame:
    """Scan files under the first one's schema, types and all."""
    return pl.scan_parquet(
        [str(file) for file in files],
        hive_partitioning=partitioned or bool(hive),
        hive_schema=hive or None,
        glob=False,
        missing_columns="raise",
        extra_columns="ignore",
    )


def _read_schemas(files: Sequence[Place], title: str) -> list[tuple[Place, pl.Schema]]:
    def read(file: Place) -> pl.Schema:
        try:
            return scan([file]).collect_schema()
        except UNREADABLE as error:
            raise SourceError(
                f"Got file {PurePosixPath(file).name!r} of {title} that cannot be read "
                f"({first_line(error)}), but expected Parquet files"
            ) from error

    if isinstance(files[0], str):
        with ThreadPoolExecutor(_READERS) as pool:
            return list(zip(files, pool.map(read, files), strict=True))
    return [(file, read(file)) for file in files]


def _unify(
    schemas: Sequence[tuple[Place, pl.Schema]], title: str
) -> tuple[dict[str, pl.DataType], dict[str, str]]:
    columns: dict[str, pl.DataType] = {}
    refused: dict[str, str] = {}
    first: dict[str, str] = {}
    for file, schema in schemas:
        for name, dtype in schema.items():
            known = columns.get(name, dtype)
            common = _common_type(known, dtype)
            here = PurePosixPath(file).name
            if common is None and name not in refused:
                refused[name] = (
                    f"Got column {name!r} of type {dtype} in file {here!r} of {title}, but "
                    f"expected {known} as in {first[name]!r}"
                )
            columns[name] = common or known
            first.setdefault(name, here)
    for file, schema in schemas:
        for name in columns.keys() - schema.keys() - refused.keys():
            refused[name] = (
                f"Got file {PurePosixPath(file).name!r} of {title} without column {name!r}, but "
                f"expected it as in {first[name]!r}; write it there too, null where unknown"
            )
    return {name: dtype for name, dtype in columns.items() if name not in refused}, refused


def _common_type(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """Return the type that both become, ``None`` where they mean different things."""
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if isinstance(one, TEXT) and isinstance(other, TEXT):
        return pl.String()
    if isinstance(one, pl.Datetime) and isinstance(other, pl.Datetime):
        unit = one.time_unit if one.time_unit == other.time_unit else "us"
        return pl.Datetime(unit, one.time_zone if one.time_zone == other.time_zone else "UTC")
    if one.is_integer() and other.is_integer():
        return _common_integer(one, other)
    if one.is_decimal() and other.is_decimal():
        return pl.Decimal(38, max(one.scale, other.scale))  # type: ignore[attr-defined]
    if (one.is_integer() or one.is_float()) and (other.is_integer() or other.is_float()):
        return pl.Float64()
    return None


def _common_integer(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    if one.is_unsigned_integer() == other.is_unsigned_integer():
        return max(one, other, key=_width)
    return pl.Int64()


def _width(dtype: pl.DataType) -> int:
    return int(pl.Series([], dtype=dtype).upper_bound().item())


def _find_lossy_file(
    name: str, dtype: pl.DataType, schemas: Sequence[tuple[Place, pl.Schema]], title: str
) -> str | None:
    """Say which file has whole numbers that the common type cannot hold."""
    bounds = (-EXACT_FLOAT, EXACT_FLOAT) if dtype.is_float() else (INT64.start, INT64.stop - 1)
    for file, schema in schemas:
        is_wide = schema[name] in (pl.Int64, pl.UInt64, pl.Int128, pl.UInt128)
        if not is_wide or schema[name] == dtype:
            continue
        column = pl.col(name)
        low, high = scan([file]).select(column.min().alias("l"), column.max().alias("h")).collect()
        for value in (low.item(), high.item()):
            if value is not None and not bounds[0] <= value <= bounds[1]:
                return (
                    f"Got {value} in column {name!r} of file {PurePosixPath(file).name!r} of "
                    f"{title}, but another file has it as {dtype}, which cannot hold it; write "
                    f"{schema[name]} in all files"
                )
    return None


def _group(
    schemas: Sequence[tuple[Place, pl.Schema]], stored: Sequence[str]
) -> list[tuple[tuple[pl.DataType, ...], list[tuple[Place, pl.Schema]]]]:
    """Put neighbours of the same types together."""
    grouped = groupby(schemas, key=lambda one: tuple(one[1][name] for name in stored))
    return [(types, list(group)) for types, group in grouped]


def _cast(
    frame: pl.LazyFrame,
    types: Sequence[pl.DataType],
    columns: Mapping[str, pl.DataType],
    stored: Sequence[str],
    hive: Sequence[str],
) -> pl.LazyFrame:
    casts = [
        _cast_column(name, dtype, columns[name])
        for name, dtype in zip(stored, types, strict=True)
        if dtype != columns[name]
    ]
    return frame.with_columns(casts).select(*stored, *hive)


def _cast_column(name: str, dtype: pl.DataType, target: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if not isinstance(dtype, pl.Datetime) or not isinstance(target, pl.Datetime):
        return column.cast(target)
    if dtype.time_zone is None and target.time_zone is not None:
        column = column.dt.replace_time_zone("UTC")
    if dtype.time_unit != target.time_unit:
        column = column.dt.cast_time_unit(target.time_unit)
    return column.dt.convert_time_zone(target.time_zone) if target.time_zone else column
