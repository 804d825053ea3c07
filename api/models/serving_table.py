"""What the service serves at a moment: which version each alias and each arm stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from api.models.rollout_route import RolloutRoute, resolve_targets
from zeroskew.contract.errors.not_found import NotFoundError, VersionRetiredError
from zeroskew.contract.rollout import Rollout
from zeroskew.records.registry.deprecation import describe_deprecation
from zeroskew.records.registry.registered_version import (
    RegisteredModel,
    RegisteredVersion,
    unknown_alias,
    unknown_model,
    unknown_version,
)

__all__ = ["ServedModel", "ServingTable", "find_targets"]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model as it is served.

    It differs from what is ``registered`` where the registry names a version that was refused:
    ``aliases`` and ``rollout`` then are what served before, or lack what never served.
    """

    registered: RegisteredModel
    aliases: Mapping[str, int]
    rollout: Rollout | None
    rollout_revision: int
    route: RolloutRoute | None
    """What the rollout comes to; ``None`` where there is none."""
    versions: Mapping[int, RegisteredVersion] = field(init=False)
    targets: frozenset[int] = field(init=False)
    """The versions that an alias, an arm or a shadow names."""
    notices: Mapping[int, Mapping[str, str]] = field(init=False)
    """Headers for the callers of versions that are on their way out."""

    def __post_init__(self) -> None:
        by_number = {version.version: version for version in self.registered.versions}
        object.__setattr__(self, "versions", by_number)
        notices = {number: describe_deprecation(one) for number, one in by_number.items()}
        object.__setattr__(self, "notices", {n: told for n, told in notices.items() if told})
        named = {*self.aliases.values(), *(self.route.versions if self.route else ())}
        object.__setattr__(self, "targets", frozenset(named))

    def is_all_of(self, registered: RegisteredModel) -> bool:
        """Tell whether the model is served just as the registry says."""
        return (
            self.registered == registered
            and self.aliases == registered.aliases
            and self.rollout == registered.rollout
        )


@dataclass(frozen=True, slots=True)
class ServingTable:
    """All models as they are served; replaced as a whole, never changed.

    ``generation`` is that of the registry when every model was last brought up to it.
    """

    generation: int | None = None
    models: Mapping[str, ServedModel] = field(default_factory=dict)

    def get_alias(self, model: str, alias: str) -> RegisteredVersion:
        """Return the version that serves under an alias, or the refused one that it points to.

        Raises
        ------
        UnknownModelError, UnknownAliasError
            If there is no such model, or no such alias of it.
        """
        served = self._get_model(model)
        version = served.aliases.get(alias, served.registered.aliases.get(alias))
        if version is None:
            raise unknown_alias(model, alias)
        return served.versions[version]

    def get_version(self, model: str, version: int) -> RegisteredVersion:
        """Return a version of a model that may be asked for by its number.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        VersionRetiredError
            If it is retired, and does not go on in place of one that was refused.
        """
        served = self._get_model(model)
        found = served.versions.get(version)
        if found is None:
            raise unknown_version(model, version)
        if found.state == "retired" and version not in served.targets:
            raise VersionRetiredError(
                f"Got version {version} of model {model!r}, which is retired."
            )
        return found

    def answers(self, model: str, version: int) -> bool:
        """Tell whether a version of a model may be asked for by its number."""
        try:
            self.get_version(model, version)
        except NotFoundError:
            return False
        return True

    def get_notices(self, model: str, versions: Iterable[int]) -> dict[str, str]:
        """Return the headers by which callers are told that versions are on their way out."""
        served = self.models.get(model)
        notices = {} if served is None else served.notices
        return {
            name: text for version in versions for name, text in notices.get(version, {}).items()
        }

    def list_aliases(self) -> dict[tuple[str, str], int]:
        """Return the version that serves for each model and alias."""
        return {
            (name, alias): version
            for name, served in self.models.items()
            for alias, version in served.aliases.items()
        }

    def list_targets(self) -> frozenset[tuple[str, int]]:
        """Return the versions that an alias, an arm or a shadow names."""
        return frozenset(
            (name, version) for name, served in self.models.items() for version in served.targets
        )

    def with_model(self, served: ServedModel) -> ServingTable:
        """Return the table with one model as `served`."""
        return replace(self, models={**self.models, served.registered.name: served})

    def _get_model(self, model: str) -> ServedModel:
        served = self.models.get(model)
        if served is None:
            raise unknown_model(model)
        return served


def find_targets(rollout: Rollout | None, aliases: Mapping[str, int]) -> set[int]:
    """Return the versions that a rollout names, itself or by an alias that is there."""
    if rollout is None:
        return set()
    return {number for number in resolve_targets(rollout, aliases).values() if number}
