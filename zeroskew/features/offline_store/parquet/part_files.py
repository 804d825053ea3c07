"""Appending to a Parquet folder: new part files, each complete or absent, none rewritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.offline_store.parquet.table_files import CALENDAR, Place

__all__ = ["append_parts", "publish_files", "stage_file", "write_file_atomically"]


def write_file_atomically(table: pa.Table, path: Path) -> None:
    """Write one Parquet file that other processes see whole or not at all.

    The bytes and the folder entry are on disk when this returns.
    """
    publish_files([(_stage(table, path), path)])


def append_parts(
    rows: pl.DataFrame,
    root: Place,
    partitions: Sequence[str],
    *,
    event_column: str,
    name: str | None = None,
) -> list[Place]:
    """Append rows to a folder, one new part file a partition.

    All parts are on disk under hidden names before the first one gets its name, so a failure
    to write leaves the table as it was.

    Parameters
    ----------
    rows : pl.DataFrame
        Without rows nothing is written.
    root : Path or str
        The table's folder, or its address in an object store, where a failure may leave some of
        the new parts.
    partitions : sequence of str
        Hive partitions, outermost first. ``year``, ``month`` and ``day`` that ``rows`` lacks
        are taken from the event time in UTC.
    event_column : str
        The event timestamp.
    name : str, optional
        Name of the new files, which replace those of that name; one that nobody has otherwise.

    Returns
    -------
    list of Path or str
        The new files.

    Raises
    ------
    SourceError
        If a partition is neither a column nor a part of the date, or is null.
    """
    if rows.is_empty():
        return []
    name = name or f"part-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid4().hex}.parquet"
    parts = _split(rows, partitions, event_column)
    if isinstance(root, str):
        return [_put(part.to_arrow(), f"{_join(root, folder)}/{name}") for folder, part in parts]
    staged: list[tuple[Path, Path]] = []
    try:
        for folder, part in parts:
            path = root / folder / name
            staged.append((_stage(part.to_arrow(), path), path))
    except BaseException:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
        raise
    publish_files(staged)
    return [path for _, path in staged]


def _join(root: str, folder: str) -> str:
    return f"{root.rstrip('/')}/{folder}".rstrip("/")


def _put(table: pa.Table, address: str) -> str:
    """Write an object, which is seen when all of it is there."""
    store, path = fs.FileSystem.from_uri(address)
    pq.write_table(table, path, filesystem=store, compression="zstd")
    return address


def _split(
    rows: pl.DataFrame, partitions: Sequence[str], event_column: str
) -> list[tuple[str, pl.DataFrame]]:
    if not partitions:
        return [("", rows)]
    values = rows.select(_partition_value(rows, name, event_column) for name in partitions)
    if any(values.null_count().row(0)):
        raise SourceError(
            f"Got rows with null in one of the partitions {list(partitions)}, "
            "but expected a value in each."
        )
    folders = values.select(
        pl.concat_str(
            [pl.lit(f"{name}=") + pl.col(name) for name in partitions], separator="/"
        ).alias("folder")
    )["folder"]
    stored = rows.drop(partitions, strict=False)
    return [
        (str(folder), stored.filter(folders == folder))
        for folder in folders.unique(maintain_order=True)
    ]


def _partition_value(rows: pl.DataFrame, name: str, event_column: str) -> pl.Expr:
    if name in rows.columns:
        value = pl.col(name).cast(pl.String)
        return value.str.zfill(2) if name in ("month", "day") else value
    if name in CALENDAR:
        return pl.col(event_column).dt.strftime(CALENDAR[name]).alias(name)
    raise SourceError(
        f"Got rows without {name!r}, but expected the column: the table is partitioned by it."
    )


def stage_file(temporary: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a new file and bring its bytes to the disk; a failure leaves no file.

    Parameters
    ----------
    temporary : Path
        A name that no reader takes for a part file. Folders above it are made.
    write : callable
        Called once with the open file.

    Raises
    ------
    OSError
        If the file exists already, or the disk is full.
    """
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(temporary)  # A failed write does not say of which file.
        raise


def publish_files(staged: Sequence[tuple[Path, Path]]) -> None:
    """Give staged files their names, each at once; the folders' entries are on disk then.

    Parameters
    ----------
    staged : sequence of tuple of Path
        The file as it was staged, and the name that readers look for, on the same disk. Folders
        above it are made; a file that has the name already is replaced.

    Raises
    ------
    OSError
        If a staged file is not there or cannot be moved; those before it have their names.
    """
    for temporary, path in staged:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
    for folder in {path.parent for _, path in staged}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stage(table: pa.Table, path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    stage_file(temporary, lambda file: pq.write_table(table, file, compression="zstd"))
    return temporary
