"""The worked example out of a clone: what it declares, made, registered and wrote online."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from training.project.apply_definitions import apply_definitions
from training.project.settings_file import FILE as SETTINGS
from training.project.standing import Stamp
from training.project.workspace import Workspace
from training.publish.publish_catalog import publish_catalog
from zeroskew.contract.errors.project import StepError
from zeroskew.records.registry.forget_models import Forgotten, forget_models

__all__ = ["ExampleParts", "RemovedExample", "read_example", "remove_example"]

FILE: Final = "example.toml"


class ExampleParts(BaseModel):
    """What belongs to the example, as ``example.toml`` lists it.

    ``files`` are paths below the clone, ``tables`` folders of the lake, ``settings`` names in
    ``zeroskew.toml`` that are of no use without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...]
    files: tuple[str, ...]
    tables: tuple[str, ...]
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemovedExample:
    """What was taken out; ``views`` are those whose rows are gone from the online store."""

    n_files: int
    n_tables: int
    views: tuple[str, ...]
    records: Forgotten


def read_example(folder: Path) -> ExampleParts:
    """Read what the example consists of.

    Raises
    ------
    StepError
        If it is gone from `folder` already, or was never there.
    """
    try:
        return ExampleParts.model_validate(tomllib.loads((folder / FILE).read_text()))
    except FileNotFoundError as error:
        raise StepError(
            f"Got no {FILE} in {folder.resolve()}, but expected a clone that has its example"
        ) from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise StepError(f"{FILE}: Got {error}, but expected lists of names") from error


def remove_example(folder: Path, workspace: Workspace, parts: ExampleParts) -> RemovedExample:
    """Take the example out; what else is in the clone, its database and its stores stays.

    What was begun and broken off is gone on with when it is called again: the list goes last.

    Parameters
    ----------
    folder
        The clone.
    workspace
        Its folders.
    parts
        What `read_example` found.

    Raises
    ------
    StepError
        If definitions that stay do not run without the example's.
    """
    Stamp.remove(workspace)
    records = forget_models(workspace.database_url, parts.models)
    n_files = sum(_remove(folder / name) for name in parts.files)
    applied = apply_definitions(workspace)
    publish_catalog(workspace)
    # Once more: the catalog that was in force until now is none of those that are kept.
    unnamed = records.unnamed | forget_models(workspace.database_url, ()).unnamed
    _remove_artifacts(workspace, unnamed)
    n_tables = sum(_remove(workspace.lake_folder / name) for name in parts.tables)
    works = (workspace.work(name) for name in parts.models)
    for made in (*works, workspace.simulation, workspace.home / "checks"):
        _remove(made)
    _drop_settings(folder / SETTINGS, parts.settings)
    (folder / FILE).unlink()
    return RemovedExample(n_files, n_tables, tuple(applied.dropped), records)


def _remove(path: Path) -> bool:
    """Remove a file or a folder; return whether there was one."""
    if path.is_dir():
        shutil.rmtree(path)
        return True
    is_there = path.exists()
    path.unlink(missing_ok=True)
    return is_there


def _remove_artifacts(workspace: Workspace, sha256s: Collection[str]) -> None:
    # Objects of a bucket are another's to clear away: they have no name any more.
    if isinstance(workspace.artifacts_dir, Path):
        for path in workspace.artifacts_dir.rglob("*"):
            if path.name in sha256s:
                path.unlink()


def _drop_settings(path: Path, names: Collection[str]) -> None:
    """Take settings out of the file, each with the comment before it."""
    if path.exists():
        text = path.read_text()
        for name in names:
            text = re.sub(rf"(?m)^(#.*\n)*{re.escape(name)}\s*=.*\n?", "", text)
        path.write_text(text.rstrip("\n") + "\n")
