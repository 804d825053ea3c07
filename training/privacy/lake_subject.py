"""What Parquet files have of a subject: tables of the lake, data sets of training, exports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl

from training.privacy.subject import Subject

__all__ = ["find_in_files", "forget_in_files", "list_files"]

_PREFIXES: Final = ("", "request.")
Progress = Callable[[int, int], None]


def list_files(home: Path, subject: Subject) -> Iterator[tuple[Path, pl.Expr]]:
    """Yield each file that can have rows of the subject, and the condition of such rows."""
    for path in sorted(home.rglob("*.parquet")):
        columns = pl.read_parquet_schema(path).keys()
        for prefix in _PREFIXES:
            condition = subject.condition(list(columns), prefix=prefix)
            if condition is not None:
                yield path, condition
                break


def find_in_files(home: Path, subject: Subject) -> list[dict[str, Any]]:
    """Return the subject's rows with the file that has them."""
    found = []
    for path, condition in list_files(home, subject):
        rows = pl.scan_parquet(path, hive_partitioning=False).filter(condition).collect()
        if rows.height:
            found.append({"file": str(path.relative_to(home)), "rows": rows.to_dicts()})
    return found


def forget_in_files(home: Path, subject: Subject, progress: Progress) -> int:
    """Write each file that has rows of the subject anew without them; return how many rows.

    A file is replaced as a whole, so that a reader sees the one or the other.
    """
    n_rows = 0
    files = list(list_files(home, subject))
    for done, (path, condition) in enumerate(files):
        frame = pl.read_parquet(path, hive_partitioning=False)
        kept = frame.filter(~condition)
        if kept.height < frame.height:
            unfinished = path.with_suffix(f".{os.getpid()}.part")
            kept.write_parquet(unfinished)
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(path)
            n_rows += frame.height - kept.height
        progress(done, len(files))
    return n_rows
