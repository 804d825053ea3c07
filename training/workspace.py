"""Where things are: the feature repo, the declared models, and the home of all that is made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.registry.artifact_store import ArtifactStore
from api.registry.open_artifacts import open_artifacts
from training.errors import StepError

__all__ = ["Workspace"]


class Workspace(BaseSettings):
    """Folders of one project; each can be set by an environment variable ``ZEROSKEW_...``.

    Everything that commands write goes below ``home``, which the feature repo's
    ``feature_store_file`` must point to as well, or to servers.
    """

    model_config = SettingsConfigDict(env_prefix="ZEROSKEW_", extra="ignore", frozen=True)

    feature_repo: Path = Path("feature_repo")
    feature_store_file: str = "feature_store.yaml"
    models: Path = Path("training/models")
    home: Path = Path("var")
    lake: Path | str = Field(default_factory=lambda given: given["home"] / "lake")
    """Feature and label tables, one folder of Parquet files each; also in an object store."""

    database_url: str = Field(
        default_factory=lambda given: f"sqlite:///{given['home'] / 'zeroskew.db'}"
    )
    artifacts_dir: Path | str = Field(default_factory=lambda given: given["home"] / "artifacts")

    log_spool_dir: Path = Field(default_factory=lambda given: given["home"] / "spool")
    """Where the service's prediction log waits while the database is away."""

    signing_key_file: Path | None = None
    log_hash_key: str | None = Field(default=None, repr=False)

    @field_validator("lake", "artifacts_dir")
    @classmethod
    def _read_place(cls, given: Path | str) -> Path | str:
        return given if "://" in str(given) else Path(given)

    @field_validator("lake")
    @classmethod
    def _check_lake(cls, given: Path | str, info: ValidationInfo) -> Path | str:
        is_default = given == info.data["home"] / "lake"
        if isinstance(given, str) or given.is_absolute() or is_default:
            return given
        raise StepError(
            f"Got ZEROSKEW_LAKE={given}, but expected an absolute path or an address such as "
            "s3://bucket/lake: the feature repo looks from another folder"
        )

    def open_artifacts(self) -> ArtifactStore:
        """Open the folder or the object store of model files."""
        return open_artifacts(self.artifacts_dir, cache=self.home / "artifacts_cache")

    @property
    def lake_folder(self) -> Path:
        """The lake, where it is a folder of this machine and can be written to.

        Raises
        ------
        StepError
            If it is in an object store.
        """
        if isinstance(self.lake, str):
            raise StepError(
                f"Got ZEROSKEW_LAKE={self.lake}, but expected a folder: this writes to one alone"
            )
        return self.lake

    @property
    def feature_store_yaml(self) -> Path:
        """Feast's settings of the feature repo."""
        return self.feature_repo / self.feature_store_file

    @property
    def online_store_path(self) -> Path | None:
        """The SQLite online store that ``feature_store_file`` names, ``None`` for a server."""
        settings = yaml.safe_load(self.feature_store_yaml.read_text())
        path = settings["online_store"].get("path")
        return None if path is None else (self.feature_repo / path).resolve()

    def service_environment(self) -> dict[str, str]:
        """Return the settings by which the service finds what was made here.

        Where an online store that is a server is, `ZEROSKEW_ONLINE_STORE` must say.
        """
        path = self.online_store_path
        return {
            "ZEROSKEW_DATABASE_URL": self.database_url,
            "ZEROSKEW_ARTIFACTS_DIR": str(self.artifacts_dir),
            "ZEROSKEW_LOG_SPOOL_DIR": str(self.log_spool_dir),
        } | ({} if path is None else {"ZEROSKEW_ONLINE_STORE": f"sqlite:///{path}"})

    def work(self, model: str) -> Path:
        """Return the folder of a model's intermediate files, made if it is missing."""
        folder = self.home / "work" / model
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def require_feature_repo(self) -> None:
        """Refuse to go on without a Feast repo.

        Raises
        ------
        StepError
            If the folder is none.
        """
        if not self.feature_store_yaml.exists():
            raise StepError(
                f"Got no {self.feature_store_file} in {self.feature_repo.resolve()}, but expected "
                "a Feast repo; run in the project's folder or set ZEROSKEW_FEATURE_REPO"
            )

    def open_feature_store(self) -> Any:
        """Open Feast's ``FeatureStore`` of the feature repo.

        The repo becomes importable first: request-time functions are imported by bare name.

        Raises
        ------
        StepError
            If the folder is no Feast repo.
        """
        self.require_feature_repo()
        from feast import FeatureStore  # Feast takes seconds to import.

        # Feast makes the registry's folder there, but none above it.
        self.home.mkdir(parents=True, exist_ok=True)

        repo = str(self.feature_repo.resolve())
        if repo not in sys.path:
            sys.path.insert(0, repo)
        return FeatureStore(repo_path=repo, fs_yaml_file=self.feature_store_yaml.resolve())
