"""What Parquet files have of a subject: tables of the lake, exports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from training.dataset.build_dataset import DATA_FILES
from training.families.progress import Progress
from training.privacy.subject import Subject
from training.privacy.work_subject import list_work_folders
from training.project.workspace import Workspace
from zeroskew.contract.errors.sentences import first_line
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.offline_store.parquet.part_schemas import UNREADABLE
from zeroskew.features.offline_store.parquet.table_files import Place, parquet_files

__all__ = ["find_in_files", "forget_in_files", "list_files", "name_file"]

_PREFIXES: Final = ("", "request.")


def list_files(workspace: Workspace, subject: Subject) -> Iterator[tuple[Place, pl.Expr]]:
    """Yield each file that can have rows of the subject, and the condition of such rows.

    They are looked for below the workspace's home, hidden ones too, and in its lake. The data sets
    in the models' work folders are not among them: their rows stand in several files.

    Raises
    ------
    SourceError
        If a file is no Parquet, or the lake is in an object store that cannot be read.
    """
    files: set[Place] = {*_list_folder(workspace.home), *_list_lake(workspace.lake)}
    of_steps = {folder / name for folder in list_work_folders(workspace) for name in DATA_FILES}
    for path in sorted(files - of_steps, key=str):
        try:
            schema = pl.read_parquet_schema(path)
        except UNREADABLE as error:
            raise SourceError(
                f"Got {name_file(workspace, path)} that cannot be read ({first_line(error)}), but "
                "expected whole Parquet files; mend or remove it"
            ) from error
        for prefix in _PREFIXES:
            condition = subject.condition(schema, prefix=prefix)
            if condition is not None:
                yield path, condition
                break


def find_in_files(workspace: Workspace, subject: Subject) -> list[dict[str, Any]]:
    """Return the subject's rows with the file that has them."""
    found = []
    for path, condition in list_files(workspace, subject):
        rows = (
            pl.scan_parquet(path, hive_partitioning=False, glob=False).filter(condition).collect()
        )
        if rows.height:
            found.append({"file": name_file(workspace, path), "rows": rows.to_dicts()})
    return found


def forget_in_files(workspace: Workspace, subject: Subject, progress: Progress) -> int:
    """Write each file that has rows of the subject anew without them; return how many rows.

    A file is replaced as a whole, so that a reader sees the one or the other.
    """
    # What an interrupted erasure left has everybody else's rows.
    for unfinished in workspace.home.rglob("*.[0-9]*.part"):
        unfinished.unlink()
    n_rows = 0
    files = list(list_files(workspace, subject))
    for done, (path, condition) in enumerate(files):
        frame = pl.read_parquet(path, hive_partitioning=False, glob=False)
        kept = frame.filter(~condition)
        if kept.height < frame.height:
            _replace(path, kept)
            n_rows += frame.height - kept.height
        progress(done, len(files))
    return n_rows


def name_file(workspace: Workspace, path: Place) -> str:
    """Return how a file is called for people: from the home on, or by its whole address."""
    home = workspace.home.resolve()
    if isinstance(path, Path) and path.is_relative_to(home):
        return str(path.relative_to(home))
    return str(path)


def _list_lake(lake: Place) -> Sequence[Place]:
    return parquet_files(lake) if isinstance(lake, str) else _list_folder(lake)


def _list_folder(folder: Path) -> list[Path]:
    # A table may be a folder of that name.
    return [path.resolve() for path in folder.rglob("*.parquet") if path.is_file()]


def _replace(path: Place, rows: pl.DataFrame) -> None:
    if isinstance(path, str):
        # An object store shows an object when all of it is there.
        rows.write_parquet(path)
        return
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    rows.write_parquet(unfinished)
    with unfinished.open("rb") as written:
        os.fsync(written.fileno())
    unfinished.replace(path)
