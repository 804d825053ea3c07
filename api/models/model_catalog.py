"""What the registry says about models, for reading; nothing is loaded for it."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.manifest import Manifest
from zeroskew.model.load_gate import read_manifest
from zeroskew.model.requests.v1_documents import ModelMetadata, describe_metadata
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.registered_version import (
    RegisteredAlias,
    RegisteredVersion,
    RegistryReader,
)

__all__ = ["ModelCatalog", "ModelDetail", "ModelList", "ModelVersionDetail"]


class ModelDetail(AnswerModel):
    """One model with its aliases and its versions, the newest first."""

    name: str
    aliases: dict[str, int] = Field(description="The version that each alias points to.")
    versions: list[RegisteredVersion]


class ModelList(AnswerModel):
    """All registered models, sorted by name."""

    models: list[str] = Field(description="Their names, as KServe lists them.")
    details: list[ModelDetail]


class ModelVersionDetail(AnswerModel):
    """One version with its whole manifest: fields, plan, metrics, parity report, data."""

    registered: RegisteredVersion
    aliases: list[str] = Field(description="The aliases that point to this version.")
    manifest: Manifest


class ModelCatalog:
    """Describes models and versions. Its calls block; run them beside the event loop."""

    def __init__(self, *, registry: RegistryReader, artifacts: ArtifactStore) -> None:
        self._registry = registry
        self._artifacts = artifacts

    def list_models(self, is_seen: Callable[[str], bool]) -> ModelList:
        """Describe the registered models that the caller sees."""
        names = [name for name in self._registry.list_models() if is_seen(name)]
        return ModelList(models=names, details=[self.get_model(name) for name in names])

    def get_model(self, model: str) -> ModelDetail:
        """Describe one model.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        return ModelDetail(
            name=model,
            aliases=self._registry.list_aliases(model),
            versions=self._registry.list_versions(model),
        )

    def get_alias(self, model: str, alias: str) -> RegisteredAlias:
        """Return where `alias` points.

        Raises
        ------
        UnknownModelError, UnknownAliasError
            If there is no such model, or no such alias of it.
        """
        return self._registry.get_alias(model, alias)

    def get_version(self, model: str, version: int) -> ModelVersionDetail:
        """Describe one version of a model.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        ModelRefusedError
            If its manifest cannot be read.
        """
        registered = self._registry.get_version(model, version)
        aliases = self._registry.list_aliases(model)
        return ModelVersionDetail(
            registered=registered,
            aliases=[alias for alias, target in aliases.items() if target == version],
            manifest=read_manifest(registered, self._artifacts),
        )

    def get_metadata(self, model: str, version: int) -> ModelMetadata:
        """Describe the inputs and outputs of one version, as TensorFlow Serving does.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        ModelRefusedError
            If its manifest cannot be read.
        """
        registered = self._registry.get_version(model, version)
        return describe_metadata(read_manifest(registered, self._artifacts), version)
