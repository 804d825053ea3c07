"""Whose Feast registry a file is: one that was copied along with its project is another's.

Feast keeps absolute paths in its registry, of SQLite tables above all. A copy of the file goes on
pointing at the original's online store, and applying to it drops the original's tables. So each
apply leaves a note beside the file that says for which folder it is.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError

__all__ = ["RegistryFolder"]


@dataclass(frozen=True)
class _Note:
    """For whom a registry is: its file, the feature repo, and the names of its project."""

    registry: str
    feature_repo: str
    projects: list[str]


class RegistryFolder:
    """The registry file of a workspace, and the note beside it.

    A registry that is no file of this machine belongs to nobody's folder: all of this is void.

    Parameters
    ----------
    workspace
        Where the feature repo is.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._feature_repo = workspace.feature_repo.resolve()
        settings = workspace.read_feature_store_yaml()
        self._file = _find_file(settings.get("registry"), self._feature_repo)
        self._project = str(settings.get("project", ""))
        # Now: Feast changes the working directory when it applies.
        self._online_store: str | None = None
        with contextlib.suppress(StepError):
            self._online_store = workspace.online_store_address

    @property
    def projects(self) -> list[str]:
        """The names that the project has, and had when it was applied here before."""
        note = self._read()
        before = note.projects if note is not None and not self._is_foreign(note) else []
        return sorted({self._project, *before})

    def require_own(self) -> None:
        """Refuse a registry that came along with a copy of its project.

        Raises
        ------
        StepError
            If it does; applying makes it anew.
        """
        note = self._read()
        if note is not None and self._is_foreign(note):
            raise StepError(
                f"Got a Feast registry that belongs to {note.feature_repo}, but expected one of "
                f"{self._feature_repo}; run `zeroskew apply`, which makes it anew"
            )

    def take_over(self) -> str | None:
        """Put aside a registry that came along with a copy, so that applying makes it anew.

        Returns
        -------
        str or None
            The folder that it belonged to, ``None`` where nothing had to be done.

        Raises
        ------
        StepError
            If another feature repo that is still there applies to the same file.
        """
        note = self._read()
        if note is None or self._file is None or note.feature_repo == str(self._feature_repo):
            return None
        if not self._is_foreign(note) and Path(note.feature_repo).exists():
            raise StepError(
                f"Got a Feast registry that {note.feature_repo} applies to, but expected one of "
                f"this project alone; give it another in {self._feature_repo.name}, or delete "
                f"{self._note} if that folder has no more use for it"
            )
        self._file.unlink()
        return note.feature_repo

    def sign(self) -> None:
        """Note that the registry is this workspace's."""
        if self._file is not None:
            note = _Note(str(self._file), str(self._feature_repo), self.projects)
            self._note.write_text(json.dumps(asdict(note), indent=2))

    @property
    def _note(self) -> Path:
        assert self._file is not None
        return self._file.with_name(f"{self._file.name}.folder.json")

    def _is_foreign(self, note: _Note) -> bool:
        """Tell whether the file that the note was written for is another than it stands beside."""
        return note.registry != str(self._file)

    def _read(self) -> _Note | None:
        """Return the note; where Feast alone has applied, it is made up from what Feast kept."""
        if self._file is None or not self._file.exists():
            return None
        try:
            return _Note(**json.loads(self._note.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            pass
        if self._online_store is None:
            return None
        other = _find_other_online_store(self._file, self._online_store)
        return None if other is None else _Note("", other, [])


def _find_file(registry: Any, feature_repo: Path) -> Path | None:
    """Return the registry's file, ``None`` where it is a database or in an object store."""
    if isinstance(registry, dict):
        if registry.get("registry_type", "file") != "file":
            return None
        registry = registry.get("path")
    if not isinstance(registry, str) or "://" in registry or "${" in registry:
        return None
    return (feature_repo / registry).resolve()


def _find_other_online_store(registry: Path, expected: str) -> str | None:
    """Return a SQLite file that a registry has tables in and that is not the expected one."""
    from feast.protos.feast.core.Registry_pb2 import Registry
    from google.protobuf.message import DecodeError

    found = Registry()
    try:
        found.ParseFromString(registry.read_bytes())
    except DecodeError:  # Feast tells of it when it opens the file.
        return None
    for one in found.infra.infra_objects:
        path = one.sqlite_table.path
        if path and Path(path).is_absolute() and f"sqlite:///{Path(path).resolve()}" != expected:
            return path
    return None
