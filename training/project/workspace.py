"""Where things are: the feature repo, the declared models, and the home of all that is made."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from zeroskew.contract.database_url import locate_database
from zeroskew.contract.errors.project import StepError
from zeroskew.online.schemes import find_address
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.artifacts.open_artifacts import open_artifacts

if TYPE_CHECKING:
    from zeroskew.features.pushed_rows.collect import Collected

__all__ = ["Workspace"]


class Workspace(BaseModel):
    """Folders of one project; each can be set by an environment variable ``ZEROSKEW_...``.

    Everything that commands write goes below ``home``, which the feature repo's
    ``feature_store_file`` must point to as well, or to servers.
    """

    model_config = ConfigDict(frozen=True, validate_default=True)

    feature_repo: Path = Path("feature_repo")
    feature_store_file: str = "feature_store.yaml"
    models: Path = Path("models")
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

    @model_validator(mode="before")
    @classmethod
    def _read_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        # Not by pydantic-settings, whose import takes as long as a short command does.
        names = {name: f"ZEROSKEW_{name.upper()}" for name in cls.model_fields}
        return {name: os.environ[key] for name, key in names.items() if key in os.environ} | given

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, given: str) -> str:
        try:
            locate_database(given)
        except ValueError as error:
            raise StepError(f"ZEROSKEW_DATABASE_URL: {error}") from error
        return given

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
    def simulation(self) -> Path:
        """Where `zeroskew simulate` keeps its own registry, log and online store."""
        return self.home / "simulation"

    @property
    def database_file(self) -> Path | None:
        """The database, where it is a SQLite file and not a server."""
        place = locate_database(self.database_url)
        return place if isinstance(place, Path) else None

    @property
    def registry_url(self) -> str:
        """The database's URL, for commands that need no feature repo.

        Raises
        ------
        StepError
            If there is neither a database nor a project, and nobody said where they are: an empty
            one would be made here, whose keys no service knows.
        """
        file = self.database_file
        is_said = self.model_fields_set & {"database_url", "home"}
        if is_said or file is None or file.exists() or self.feature_store_yaml.is_file():
            return self.database_url
        raise StepError(
            f"Got no database {file} and no project in {Path.cwd()}, but expected one of them; "
            "run in the project's folder or set ZEROSKEW_DATABASE_URL"
        )

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
    def prepare_file(self) -> Path | None:
        """What makes the tables, ``None`` where they come as they are."""
        path = self.feature_repo / "pipelines" / "prepare.py"
        return path if path.exists() else None

    @property
    def feature_store_yaml(self) -> Path:
        """Feast's settings of the feature repo."""
        return self.feature_repo / self.feature_store_file

    @property
    def online_store_address(self) -> str | None:
        """The address of the online store that ``feature_store_file`` describes.

        ``None`` where only Feast knows its kind: then ``ZEROSKEW_ONLINE_STORE`` must say.

        Raises
        ------
        StepError
            If the file cannot be read, or has no address of a store that is known.
        """
        section = self.read_feature_store_yaml().get("online_store")
        try:
            return find_address(section, self.feature_repo.resolve())
        except ValueError as error:
            raise StepError(f"{self.feature_store_file}: {error}") from error

    def read_feature_store_yaml(self) -> dict[str, Any]:
        """Read Feast's settings of the feature repo, without Feast.

        Raises
        ------
        StepError
            If there are none, or they are no YAML: the folder is no Feast repo.
        """
        path = self.feature_store_yaml
        if not path.is_file():
            raise StepError(
                f"Got no {self.feature_store_file} in {self.feature_repo.resolve()}, but expected "
                "a Feast repo; run in the project's folder or set ZEROSKEW_FEATURE_REPO"
            )
        try:
            settings = yaml.safe_load(os.path.expandvars(path.read_text()))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            raise StepError(
                f"Got {path.name}{line} that is no YAML "
                f"({getattr(error, 'problem', None) or error}), but expected Feast's settings"
            ) from error
        if not isinstance(settings, dict):
            raise StepError(
                f"Got {path.name} with a {type(settings).__name__}, but expected Feast's settings: "
                "project, provider, registry, online_store, offline_store"
            )
        return settings

    def load_repo_config(self) -> Any:
        """Read ``feature_store_file`` into Feast's ``RepoConfig``; nothing is opened or made.

        Raises
        ------
        StepError
            If there is no such file, or Feast refuses what stands in it.
        """
        settings = self.read_feature_store_yaml()
        from feast import RepoConfig  # Feast takes seconds to import.
        from feast.errors import FeastError
        from pydantic import ValidationError

        try:
            config = RepoConfig(**settings)
            # They are made when they are first asked for.
            _ = config.registry, config.online_store, config.offline_store
        except ValidationError as error:
            one = error.errors(include_url=False)[0]
            where = ".".join(map(str, one["loc"])) or "settings"
            message = str(one["msg"]).removeprefix("Value error, ")
            raise StepError(
                f"Got {where} in {self.feature_store_file} that Feast refuses ({message}), but "
                "expected what Feast documents"
            ) from error
        except (FeastError, ImportError, TypeError, ValueError) as error:
            raise StepError(
                f"Got {self.feature_store_file} that Feast refuses ({error}), but expected what "
                "Feast documents"
            ) from error
        config.repo_path = self.feature_repo.resolve()
        return config

    def service_environment(self) -> dict[str, str]:
        """Return the settings by which the service finds what was made here."""
        # What the environment says wins, and Feast's settings need not be whole then.
        is_said = "ZEROSKEW_ONLINE_STORE" in os.environ
        address = None if is_said else self.online_store_address
        return {
            "ZEROSKEW_DATABASE_URL": self.database_url,
            "ZEROSKEW_ARTIFACTS_DIR": str(self.artifacts_dir),
            "ZEROSKEW_LOG_SPOOL_DIR": str(self.log_spool_dir),
        } | ({} if address is None else {"ZEROSKEW_ONLINE_STORE": address})

    @property
    def work_folder(self) -> Path:
        """Where the steps of training keep their files, a folder a model."""
        return self.home / "work"

    def work(self, model: str) -> Path:
        """Return the folder of a model's intermediate files, made if it is missing."""
        folder = self.work_folder / model
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def open_feature_store(self) -> Any:
        """Open Feast's ``FeatureStore`` of the feature repo, over tables that have all rows.

        What was pushed to the service and waits for the lake is brought there first, so that no
        command reads a table without it. The repo becomes importable before: request-time
        functions are imported by bare name.

        Raises
        ------
        StepError
            If the folder is no Feast repo, or Feast refuses its settings.
        RegistrySchemaError
            If the database's tables are of another release.
        """
        store = self.open_definitions()
        collected = self.collect_pushes(store)
        if collected is not None:
            for source, why in collected.refused.items():
                n_rows = collected.n_refused[source]
                sys.stderr.write(f"! {n_rows} rows pushed for {source!r} wait: {why}\n")
        return store

    def collect_pushes(self, store: Any) -> Collected | None:
        """Bring the pushed rows that wait into the lake; ``None`` where there is no database."""
        if self.database_file is not None and not self.database_file.exists():
            return None
        from zeroskew.features.pushed_rows.collect import collect_pushes
        from zeroskew.records.database.open_database import open_database

        engine = open_database(self.database_url)
        try:
            return collect_pushes(engine, store)
        finally:
            engine.dispose()

    def open_definitions(self) -> Any:
        """Open Feast's ``FeatureStore`` without a look at what waits for its tables."""
        self.load_repo_config()
        from feast import FeatureStore  # Feast takes seconds to import.

        # Feast makes the registry's folder there, but none above it.
        self.home.mkdir(parents=True, exist_ok=True)

        repo = str(self.feature_repo.resolve())
        if repo not in sys.path:
            sys.path.insert(0, repo)
        store = FeatureStore(repo_path=repo, fs_yaml_file=self.feature_store_yaml.resolve())
        from google.protobuf.message import DecodeError

        try:
            _ = store.registry  # Opened when it is first asked for.
        except DecodeError as error:
            raise StepError(
                f"Got a Feast registry that is none ({error}), but expected what `zeroskew apply` "
                f"left; delete the file that {self.feature_store_file} names and apply again"
            ) from error
        return store
