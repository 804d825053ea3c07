"""What the steps of training keep of a subject in the models' work folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from training.dataset.build_dataset import DATA_FILES, FEATURES, PLAN, ROWS
from training.privacy.subject import Subject
from training.project.workspace import Workspace
from zeroskew.contract.manifest import FeaturePlan

__all__ = [
    "find_in_work",
    "forget_in_work",
    "list_work_folders",
    "read_work_columns",
    "read_work_plans",
]


def list_work_folders(workspace: Workspace) -> list[Path]:
    """Return the work folders that have a data set or a part of one."""
    folders = sorted(workspace.work_folder.resolve().glob("*/"))
    return [folder for folder in folders if any((folder / name).exists() for name in DATA_FILES)]


def read_work_columns(workspace: Workspace) -> dict[Path, list[str] | None]:
    """Return the columns of each data set by its folder; ``None`` where they cannot be read."""
    found: dict[Path, list[str] | None] = {}
    for folder in list_work_folders(workspace):
        try:
            found[folder] = list(pl.read_parquet_schema(folder / ROWS))
        except (OSError, pl.exceptions.PolarsError):
            found[folder] = None
    return found


def read_work_plans(workspace: Workspace) -> Iterator[FeaturePlan]:
    """Yield the plans of data sets: a model that was never published has its names there alone."""
    for folder in list_work_folders(workspace):
        try:
            yield FeaturePlan.model_validate_json((folder / PLAN).read_bytes())
        except (OSError, ValidationError):
            continue  # Such a folder is removed whatever its names are.


def find_in_work(workspace: Workspace, subject: Subject) -> list[dict[str, Any]]:
    """Return the rows of data sets that are the subject's, with the model that has them."""
    found = []
    for folder in list_work_folders(workspace):
        rows = _read_rows(folder, subject)
        if rows is None or rows.height:
            found.append({"model": folder.name, "rows": None if rows is None else rows.to_dicts()})
    return found


def forget_in_work(workspace: Workspace, subject: Subject) -> dict[str, int]:
    """Remove all step files of each model whose data set has the subject, or may have.

    A row's features stand in another file than its keys, and what was fitted on it beside both.
    All of it is derived: `train` makes it again of what the lake then has.

    Returns
    -------
    n_files
        The number of files that were removed, by model.
    """
    return {
        one["model"]: _empty(workspace.work_folder.resolve() / one["model"])
        for one in find_in_work(workspace, subject)
    }


def _read_rows(folder: Path, subject: Subject) -> pl.DataFrame | None:
    """Return the subject's rows of a data set; ``None`` where its files do not tell whose they are.

    So it is where a file is gone or cut short, or rows were taken out of one of them.
    """
    try:
        FeaturePlan.model_validate_json((folder / PLAN).read_bytes())
        rows = pl.read_parquet(folder / ROWS)
        # The footer tells: a file that was cut has none.
        n_features = pl.scan_parquet(folder / FEATURES).select(pl.len()).collect().item()
        if rows.height != n_features:
            return None
    except (OSError, ValidationError, pl.exceptions.PolarsError):
        return None
    condition = subject.condition(rows.schema)
    return rows.clear() if condition is None else rows.filter(condition)


def _empty(folder: Path) -> int:
    """Remove a folder's files, and last the one that tells whose they are."""
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    for path in sorted(files, key=lambda path: path == folder / ROWS):
        path.unlink(missing_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return len(files)
