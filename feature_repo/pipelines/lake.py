"""The lake: hive-partitioned Parquet folders that only ever grow by whole files.

A table is a folder ``<lake>/<table>/year=YYYY/month=MM`` of part files, a quarantine table one
of ``<lake>/_quarantine/<table>``. A part file is written to ``<lake>/_staging``, synced, and
renamed into its place, so a reader sees all of it or nothing of it; a writer that is killed
leaves at most a file in ``_staging``, which nobody reads and which may be deleted.

A part file is named after its batch. Appending a batch again therefore replaces its own files
by one rename each, and its rows never double; other batches stay untouched. Each file is
atomic, a batch as a whole is not: a reader may see some of its months before the others.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import polars as pl

from pipelines.rolling_statistics import EVENT_TIMESTAMP

__all__ = ["CREATED", "QUARANTINE", "append_batch", "append_quarantine"]

CREATED: Final = "created"
QUARANTINE: Final = "_quarantine"
_STAGING: Final = "_staging"
_UTC: Final = pl.Datetime("us", "UTC")
_ALMOST_A_SECOND: Final = pl.duration(microseconds=999_999)


def append_batch(lake: Path, table: str, rows: pl.DataFrame, *, batch: str) -> int:
    """Append `rows` to a table as new part files, one for each month of ``event_timestamp``.

    Event times are rounded up to whole seconds, because Feast's online stores keep no more:
    rounded down, a value would be visible before it was known.

    Parameters
    ----------
    lake : pathlib.Path
        Folder of the tables, made if it is missing.
    table : str
        Name of the table.
    rows : polars.DataFrame
        ``event_timestamp`` and, if there is one, ``created`` are UTC in microseconds without
        nulls. No rows leave no file.
    batch : str
        Name of the batch. Its earlier part files of this table are replaced or removed.

    Returns
    -------
    int
        Number of part files that the batch now has.

    Raises
    ------
    ValueError
        If a timestamp has another type or a null, or a row was created before its event.
    """
    timed = rows.with_columns(
        (pl.col(EVENT_TIMESTAMP) + _ALMOST_A_SECOND).dt.truncate("1s"),
        _year=pl.col(EVENT_TIMESTAMP).dt.year(),
        _month=pl.col(EVENT_TIMESTAMP).dt.month(),
    )
    _check_timestamps(table, rows, timed)
    before = set((lake / table).glob(f"year=*/month=*/{_part_name(batch)}"))
    written = set()
    for (year, month), part in timed.partition_by(
        "_year", "_month", as_dict=True, include_key=False
    ).items():
        path = lake / table / f"year={year:04d}" / f"month={month:02d}" / _part_name(batch)
        _write_atomically(part, path, staging=lake / _STAGING)
        written.add(path)
    for stale in before - written:
        stale.unlink()
    return len(written)


def append_quarantine(lake: Path, table: str, rows: pl.DataFrame, *, batch: str) -> None:
    """Put `rows` of `batch` into the table's quarantine, or take the batch out if empty.

    Parameters
    ----------
    lake, table, batch
        As for `append_batch`.
    rows : polars.DataFrame
        Rows as they were read, with ``reasons``.
    """
    path = lake / QUARANTINE / table / _part_name(batch)
    if rows.is_empty():
        path.unlink(missing_ok=True)
    else:
        _write_atomically(rows, path, staging=lake / _STAGING)


def _part_name(batch: str) -> str:
    return f"part-{batch}.parquet"


def _check_timestamps(table: str, rows: pl.DataFrame, timed: pl.DataFrame) -> None:
    for name in {EVENT_TIMESTAMP, CREATED} & set(rows.columns):
        if rows[name].dtype != _UTC or rows[name].null_count():
            raise ValueError(
                f"Got {name} of table {table!r} as {rows[name].dtype} with "
                f"{rows[name].null_count()} nulls, but expected {_UTC} without nulls"
            )
    if CREATED in rows.columns:
        early = timed.filter(pl.col(CREATED) < pl.col(EVENT_TIMESTAMP)).height
        if early:
            raise ValueError(
                f"Got {early} rows of table {table!r} created before their event, but expected none"
            )


def _write_atomically(rows: pl.DataFrame, path: Path, *, staging: Path) -> None:
    staging.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=staging, suffix=".parquet", delete=False) as file:
        staged = Path(file.name)
        try:
            rows.write_parquet(file)
            file.flush()
            os.fsync(file.fileno())
            staged.replace(path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
