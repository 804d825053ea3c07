"""Where things are: the feature repo, the declared models, and the home of all that is made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Workspace"]


class Workspace(BaseSettings):
    """Folders of one project; each can be set by an environment variable ``ZEROSKEW_...``.

    Everything that commands write goes below ``home``, which ``feature_store.yaml`` must
    point to as well.
    """

    model_config = SettingsConfigDict(env_prefix="ZEROSKEW_", extra="ignore", frozen=True)

    feature_repo: Path = Path("feature_repo")
    models: Path = Path("training/models")
    home: Path = Field(default=Path("var"))

    @property
    def lake(self) -> Path:
        """Feature and label tables, one folder of Parquet files each."""
        return self.home / "lake"

    @property
    def artifacts(self) -> Path:
        """Model files and manifests, addressed by sha256."""
        return self.home / "artifacts"

    @property
    def registry_url(self) -> str:
        """The model registry's database."""
        return f"sqlite:///{self.home / 'zeroskew.db'}"

    def work(self, model: str) -> Path:
        """Return the folder of a model's intermediate files, made if it is missing."""
        folder = self.home / "work" / model
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def open_feature_store(self) -> Any:
        """Open Feast's ``FeatureStore`` of the feature repo.

        The repo becomes importable first: request-time functions are imported by bare name.
        """
        from feast import FeatureStore  # Feast takes seconds to import.

        repo = str(self.feature_repo.resolve())
        if repo not in sys.path:
            sys.path.insert(0, repo)
        return FeatureStore(repo_path=repo)
