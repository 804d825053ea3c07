"""What stands of a project, so that `zeroskew up` does again only what has to be done.

A stamp says of which inputs the standing things were made: those that were read, when the work
began. What it says to stand is looked at each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from pydantic import BaseModel, ValidationError

from training.project.online_store import open_online_store
from training.project.workspace import Workspace
from zeroskew.contract.errors.service import RegistrySchemaError, ServiceError
from zeroskew.contract.rollout import CHAMPION

__all__ = ["Stamp", "digest_code", "digest_tables", "find_missing", "stamp_of"]

_FILE = "up.json"
_ROOT = Path(__file__).parents[2]
_CODE = (_ROOT / "training", _ROOT / "zeroskew")


class Stamp(BaseModel):
    """Of which inputs the standing things were made, and how many rows were online then.

    ``n_cells`` has the tables of the online store; ``None`` for a server, which is not asked.
    """

    code: str
    tables: str
    n_cells: dict[str, int] | None

    @classmethod
    def read(cls, workspace: Workspace) -> Stamp | None:
        """Return the stamp that the last `up` left, ``None`` where none was left to its end."""
        try:
            return cls.model_validate_json((workspace.home / _FILE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    @staticmethod
    def remove(workspace: Workspace) -> None:
        """Say that nothing stands, before something is changed."""
        (workspace.home / _FILE).unlink(missing_ok=True)

    def write(self, workspace: Workspace) -> None:
        """Say what stands."""
        (workspace.home / _FILE).write_text(self.model_dump_json(indent=2))


def stamp_of(workspace: Workspace, code: str, tables: str) -> Stamp:
    """Return the stamp of what was made of inputs with these digests."""
    return Stamp(code=code, tables=tables, n_cells=_count_cells(workspace))


def digest_code(workspace: Workspace, clock: str) -> str:
    """Hash the definitions, the models, Zeroskew's own code, and by which settings all is read."""
    settings = workspace.model_dump_json(exclude={"signing_key_file", "log_hash_key"})
    digest = hashlib.sha256(f"{clock}\n{settings}".encode())
    for folder in (workspace.feature_repo, workspace.models, *_CODE):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".yaml") or path.name == ".feastignore":
                digest.update(str(path.relative_to(folder)).encode())
                digest.update(path.read_bytes())
    # What `prepare` reads, where a project keeps it beside the feature repo.
    for path in sorted((workspace.feature_repo.parent / "data").rglob("*")):
        if path.is_file():
            status = path.stat()
            digest.update(f"{path}:{status.st_size}:{status.st_mtime_ns}".encode())
    return digest.hexdigest()


def digest_tables(workspace: Workspace) -> str:
    """Hash which files are in the lake, of which size and age."""
    from zeroskew.features.offline_store.parquet.table_files import parquet_files

    digest = hashlib.sha256()
    for file in parquet_files(workspace.lake):
        digest.update(str(file).encode())
        if isinstance(file, Path):
            status = file.stat()
            digest.update(f":{status.st_size}:{status.st_mtime_ns}".encode())
    return digest.hexdigest()


def find_missing(workspace: Workspace, stamp: Stamp, models: Sequence[str]) -> str | None:
    """Say what is not there of what the stamp says to stand; ``None`` if all of it is.

    Model files are read and their sha256 compared. An online store that is a server is not asked.
    """
    return next(_find_missing(workspace, stamp, models), None)


def _find_missing(workspace: Workspace, stamp: Stamp, models: Sequence[str]) -> Iterator[str]:
    from zeroskew.records.registry.model_registry import ModelRegistry

    if (file := workspace.database_file) is not None and not file.exists():
        yield "the model registry is gone"
        return
    try:
        opened = ModelRegistry.open(workspace.database_url)
    except RegistrySchemaError as error:  # The steps begin with a migration.
        yield str(error)
        return
    artifacts = workspace.open_artifacts()
    with closing(opened) as registry:
        for model in models:
            try:
                champion = registry.resolve_alias(model, CHAMPION)
                artifacts.get(champion.manifest_sha256)
                artifacts.get(champion.model_sha256)
            except ServiceError as error:
                yield f"{model} has no champion that can be loaded: {error}"
    if stamp.n_cells:
        n_cells = _count_cells(workspace) or {}
        for table, expected in stamp.n_cells.items():
            if (found := n_cells.get(table, 0)) < expected:
                yield f"{table} has {found:,} of {expected:,} values online"


def _count_cells(workspace: Workspace) -> dict[str, int] | None:
    """Return how many values each table of the online store has, ``None`` of a server."""
    if (sizes := open_online_store(workspace).measure()) is None:
        return None
    return {table: size.n_values for table, size in sizes.items()}
