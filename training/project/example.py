"""The worked example out of a clone: what it declares, made, registered and wrote online."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from training.project.apply_definitions import apply_definitions
from training.project.registry_folder import RegistryFolder
from training.project.settings_file import FILE as SETTINGS
from training.project.standing import Stamp
from training.project.workspace import Workspace
from training.publish.publish_catalog import publish_catalog
from zeroskew.contract.errors.project import StepError
from zeroskew.records.registry.forget_models import Forgotten, forget_models

__all__ = ["ExampleParts", "RemovedExample", "read_example", "remove_example"]

FILE: Final = "example.toml"
_ASIDE: Final = ".example-removed"


def _check_path(given: str) -> str:
    parts = given.split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise ValueError("not a path below the clone")
    return given


_Name = Annotated[str, StringConstraints(pattern=r"^\w+$")]
_Path = Annotated[str, AfterValidator(_check_path)]


class ExampleParts(BaseModel):
    """What belongs to the example, as ``example.toml`` lists it.

    ``files`` are paths below the clone, ``tables`` folders of the lake, ``settings`` names in
    ``zeroskew.toml`` that are of no use without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[_Name, ...]
    files: tuple[_Path, ...]
    tables: tuple[_Name, ...]
    settings: tuple[_Name, ...] = ()


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
        If definitions that stay do not run without the example's, if the lake is no folder, or if
        the Feast registry is another folder's, which knows nothing of what is online here. Then
        nothing was removed.
    """
    lake = workspace.lake_folder
    RegistryFolder(workspace).require_own()
    Stamp.remove(workspace)
    n_files = _put_files_aside(folder, workspace, parts)
    project = str(workspace.read_feature_store_yaml()["project"])

    def forget() -> Forgotten:
        return forget_models(
            workspace.database_url,
            parts.models,
            project=project,
            discard=lambda sha256s: _remove_artifacts(workspace, sha256s),
        )

    records = forget()
    # Again, since until now versions served that read the example's views.
    applied = apply_definitions(workspace)
    publish_catalog(workspace)
    forget()  # The catalog that was the newest until now.
    n_tables = sum(_remove(lake / name) for name in parts.tables)
    works = (workspace.work(name) for name in parts.models)
    for made in (*works, workspace.simulation, workspace.home / "checks", folder / _ASIDE):
        _remove(made)
    _drop_settings(folder / SETTINGS, parts.settings)
    (folder / FILE).unlink()
    return RemovedExample(n_files, n_tables, tuple(applied.dropped), records)


def _put_files_aside(folder: Path, workspace: Workspace, parts: ExampleParts) -> int:
    """Move the files out of the way, and back if what stays does not run without them."""
    aside = folder / _ASIDE
    # Rows that were pushed for its sources find them now or never.
    if not aside.exists():
        workspace.collect_pushes(workspace.open_definitions())
    for name in parts.files:
        if (folder / name).exists():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).rename(aside / name)
    # Those too that lie there since a call that was broken off.
    moved = [name for name in parts.files if (aside / name).exists()]
    try:
        apply_definitions(workspace, break_live=True)
    except BaseException:
        for name in moved:
            (aside / name).rename(folder / name)
        _remove(aside)
        raise
    return len(moved)


def _remove(path: Path) -> bool:
    """Remove a file or a folder; return whether there was one."""
    if path.is_dir() and not path.is_symlink():
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
