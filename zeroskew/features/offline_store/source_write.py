"""Bringing rows to a source's own columns and types before they are appended."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
from feast.data_source import DataSource

from zeroskew.features.offline_store.column_types import conform
from zeroskew.features.offline_store.errors import SourceError, UnsupportedRequestError
from zeroskew.features.offline_store.parquet.parquet_source import local_path, open_parquet_table
from zeroskew.features.offline_store.parquet.part_files import append_parts
from zeroskew.features.offline_store.parquet.table_files import (
    CALENDAR,
    Place,
    is_single_file,
    parquet_files,
    partition_columns,
)

__all__ = ["append_to_source", "derived_partitions"]


def derived_partitions(source: DataSource, repo_path: Path | None) -> list[str]:
    """Return the hive partitions of a source that follow from the event time."""
    root = local_path(source, repo_path)
    return [name for name in partition_columns(root, parquet_files(root)) if name in CALENDAR]


def append_to_source(table: pa.Table, source: DataSource, repo_path: Path | None) -> list[Place]:
    """Append rows to a folder of Parquet as new part files.

    Parameters
    ----------
    table : pa.Table
        The source's columns in any order, under the source's or the view's names. Naive
        timestamps are UTC. Partitions named ``year``, ``month`` or ``day`` may be left out.
    source : DataSource
        A local folder. Where it is empty, the rows decide the columns.
    repo_path : Path or None
        What a relative path is relative to.

    Returns
    -------
    list of Path
        The new files, one a partition; none where there are no rows.

    Raises
    ------
    UnsupportedRequestError
        If the source is a single file: appending would rewrite it.
    SourceError
        If columns are missing or unknown, or a value does not fit.
    """
    root = local_path(source, repo_path)
    if is_single_file(root):
        raise UnsupportedRequestError(
            f"Got the single file {root.name!r} to append to, but expected a folder: "
            "files are never rewritten."
        )
    rows = pl.DataFrame(pl.from_arrow(table))
    original = {new: old for old, new in source.field_mapping.items()}
    files = parquet_files(root)
    partitions = partition_columns(root, files)
    if files:
        schema = open_parquet_table(source, repo_path).schema
        rows = rows.rename(
            {
                name: original[name]
                for name in rows.columns
                if name not in schema and name in original
            }
        )
        rows = _conform_rows(rows, schema, optional=[p for p in partitions if p in CALENDAR])
    event = original.get(source.timestamp_field, source.timestamp_field)
    return append_parts(rows, root, partitions, event_column=event)


def _conform_rows(rows: pl.DataFrame, schema: pl.Schema, *, optional: list[str]) -> pl.DataFrame:
    missing = sorted(set(schema) - set(rows.columns) - set(optional))
    unknown = sorted(set(rows.columns) - set(schema))
    if missing or unknown:
        raise SourceError(
            f"Got rows without {missing} and with {unknown}, "
            f"but expected the columns {schema.names()}."
        )
    return rows.select(
        conform(rows[name], dtype, column=name)
        for name, dtype in schema.items()
        if name in rows.columns
    )
