"""The lake: hive-partitioned Parquet folders that only ever grow by whole files.

A table is a folder ``<lake>/<table>/year=YYYY/month=MM`` of part files, a quarantine table one
of ``<lake>/_quarantine/<table>``. A part file is written to ``<lake>/_staging``, synced, and
renamed into its place, so a reader sees all of it or nothing of it; a writer that is killed
leaves at most a file in ``_staging``, which nobody reads and the next writer removes. Writers
wait for each other.

A part file is named ``part-<batch>-<sha256 of its bytes>.parquet`` and never written over:
readers open a file by its path more than once. Appending the same rows again finds the file in
its place and does nothing. Appending a batch with other rows, after the pipelines changed,
puts the new files in place and then removes the batch's old ones; rows never double for good,
but a reader at that very moment may see both. Other batches stay untouched.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Final

import polars as pl

from zeroskew import PrepareError, publish_files, stage_file

__all__ = ["CREATED", "EVENT_TIMESTAMP", "QUARANTINE", "append_batch", "append_quarantine"]

EVENT_TIMESTAMP: Final = "event_timestamp"
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
        Name of the batch, letters, digits and underscores. Its part files of this table with
        other rows are removed.

    Returns
    -------
    int
        Number of part files that the batch now has.

    Raises
    ------
    PrepareError
        If a timestamp has another type or a null, a row was created before its event, or
        the name of the batch has other characters.
    """
    _check_batch(batch)
    _check_types(table, rows)
    rounded = rows.with_columns((pl.col(EVENT_TIMESTAMP) + _ALMOST_A_SECOND).dt.truncate("1s"))
    _check_order(table, rounded)
    year, month = pl.col(EVENT_TIMESTAMP).dt.year(), pl.col(EVENT_TIMESTAMP).dt.month()
    months = rounded.with_columns(_year=year, _month=month).partition_by(
        "_year", "_month", as_dict=True, include_key=False
    )
    parts = {f"year={year:04d}/month={month:02d}": part for (year, month), part in months.items()}
    _replace_batch(lake, table, parts, batch=batch)
    return len(parts)


def append_quarantine(lake: Path, table: str, rows: pl.DataFrame, *, batch: str) -> None:
    """Put `rows` of `batch` into the table's quarantine, or take the batch out if empty.

    Parameters
    ----------
    lake, table, batch
        As for `append_batch`.
    rows : polars.DataFrame
        Rows as they were read, with ``reasons``.
    """
    _check_batch(batch)
    parts = {} if rows.is_empty() else {"": rows}
    _replace_batch(lake, f"{QUARANTINE}/{table}", parts, batch=batch)


def _check_batch(batch: str) -> None:
    if not re.fullmatch(r"\w+", batch, re.ASCII):
        raise PrepareError(f"Got batch {batch!r}, but expected letters, digits and underscores")


def _check_types(table: str, rows: pl.DataFrame) -> None:
    for name in {EVENT_TIMESTAMP, CREATED} & set(rows.columns):
        if rows[name].dtype != _UTC or rows[name].null_count():
            raise PrepareError(
                f"Got {name} of table {table!r} as {rows[name].dtype} with "
                f"{rows[name].null_count()} nulls, but expected {_UTC} without nulls"
            )


def _check_order(table: str, rows: pl.DataFrame) -> None:
    if CREATED not in rows.columns:
        return
    early = rows.filter(pl.col(CREATED) < pl.col(EVENT_TIMESTAMP)).height
    if early:
        raise PrepareError(
            f"Got {early} rows of table {table!r} created before their event, but expected none"
        )


def _replace_batch(
    lake: Path, table: str, parts: Mapping[str, pl.DataFrame], *, batch: str
) -> None:
    """Put the parts into their folders of the table, then remove the batch's other files."""
    with _only_writer(lake):
        before = set((lake / table).rglob(f"part-{batch}-*.parquet"))
        written = {
            _write_part(part, lake / table / folder, batch=batch, staging=lake / _STAGING)
            for folder, part in parts.items()
        }
        for outdated in before - written:
            outdated.unlink()


@contextlib.contextmanager
def _only_writer(lake: Path) -> Iterator[None]:
    """Hold the lake's lock, which the system frees if the process dies, and tidy ``_staging``."""
    lake.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lake, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for abandoned in (lake / _STAGING).glob("*"):
            abandoned.unlink()
        yield
    finally:
        os.close(descriptor)


def _write_part(rows: pl.DataFrame, folder: Path, *, batch: str, staging: Path) -> Path:
    content = BytesIO()
    rows.write_parquet(content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    path = folder / f"part-{batch}-{digest[:16]}.parquet"
    if not path.exists():
        staged = staging / path.name
        stage_file(staged, lambda file: file.write(content.getbuffer()))
        publish_files([(staged, path)])
    return path
