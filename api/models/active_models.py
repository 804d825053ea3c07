"""The way from an address to the model that answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from api.models.addresses import check_model
from api.models.loaded_models import LoadedModels
from api.models.registry_follower import RegistryFollower
from api.models.rollout_route import RolloutRoute, make_route, resolve_targets
from api.models.serving_table import ServedModel, find_targets
from zeroskew.contract.errors.service import (
    ModelRefusedError,
    RegistryConflictError,
    RegistryUnavailableError,
)
from zeroskew.contract.request_change import check_callers_fit
from zeroskew.contract.rollout import CHAMPION, Rollout
from zeroskew.model.load_gate import ActiveModel

__all__ = ["ActiveModels", "Answerers"]

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Answerers:
    """Who answers a request: one version, or the arms of a rollout."""

    models: Sequence[ActiveModel]
    route: RolloutRoute | None = None

    @property
    def lead(self) -> ActiveModel:
        """The version by which a request is read first: the only one, or that of the first arm."""
        return self.models[0]


class ActiveModels:
    """The models that are served, by version and by alias.

    A request asks once, and keeps what it was given to its end: whatever moves meanwhile, one
    version answers it.

    Parameters
    ----------
    follower
        Keeps the table of what is served.
    loaded
        Keeps the versions themselves.
    """

    def __init__(self, *, follower: RegistryFollower, loaded: LoadedModels) -> None:
        self._follower = follower
        self._loaded = loaded

    async def catch_up(self) -> None:
        """Serve what the registry says now, if it can be read; for whoever has changed it."""
        try:
            await self._follower.catch_up()
        except RegistryUnavailableError as error:
            _log.warning("registry_not_followed", reason=str(error))

    def list_serving(self) -> list[ActiveModel]:
        """Return those of the loaded models that an alias or a rollout names."""
        targets = self._follower.table.list_targets()
        loaded = self._loaded.list_loaded()
        return [model for model in loaded if (model.name, model.version) in targets]

    async def find(self, model: str) -> Answerers:
        """Return who answers a model's callers: its rollout, or else its champion.

        Raises
        ------
        UnknownModelError, UnknownAliasError, ModelRefusedError
            If nobody does; see `by_alias`.
        """
        served = self._follower.table.models.get(model)
        if served is None:
            check_model(model)  # A name that no model can have is not looked for.
        elif served.route is not None:
            # All at once: whatever moves meanwhile, these answer this request.
            arms = [await self.for_answer(model, version) for _, version in served.route.arms]
            return Answerers(arms, served.route)
        return Answerers((await self.by_alias(model, CHAMPION),))

    async def by_version(self, model: str, version: int) -> ActiveModel:
        """Return one version, loading it where it is not loaded yet.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If the registry has no such model or version.
        VersionRetiredError
            If the version is retired.
        ModelRefusedError, ArtifactStoreUnavailableError, RegistryUnavailableError
            If it fails the load gate, or its files or the registry cannot be read.
        """
        served = self._follower.table.models.get(model)
        if served is None or version not in served.versions:
            await self._follower.catch_up()
        return await self._loaded.get(self._follower.table.get_version(model, version))

    async def check_rollout(self, model: str, rollout: Rollout) -> None:
        """Load what a rollout names, and check that its versions answer one another's callers.

        What is not there at all is left to the registry to refuse.

        Raises
        ------
        RegistryConflictError
            If a version does not pass the load gate, or does not fit the others.
        """
        await self.catch_up()
        served = self._follower.table.models.get(model)
        if served is None:
            return
        aliases = served.registered.aliases
        targets = find_targets(rollout, aliases)
        is_all_there = None not in resolve_targets(rollout, aliases).values()
        if not is_all_there or not targets <= set(served.versions):
            return
        await self._check_route(served, rollout, aliases)

    async def _check_route(
        self, served: ServedModel, rollout: Rollout, aliases: Mapping[str, int]
    ) -> None:
        try:
            manifests = {
                number: (await self._loaded.get(served.versions[number])).manifest
                for number in sorted(find_targets(rollout, aliases))
            }
            make_route(rollout, aliases, manifests)
        except (ModelRefusedError, ValueError) as error:
            raise RegistryConflictError(str(error)) from error

    async def check_alias(
        self, model: str, alias: str, version: int, *, allow_request_change: bool
    ) -> None:
        """Load the version that an alias is to point to, and check that it fits who goes by it.

        What is not there at all, or retired, is left to the registry to refuse.

        Parameters
        ----------
        model, alias, version
            Which alias is to point where.
        allow_request_change
            Whether its callers may be refused, or answered otherwise, from then on.

        Raises
        ------
        RegistryConflictError
            If the version does not pass the load gate; if it does not take the requests that
            the version before it takes, or answers in another form; if the model's rollout goes
            by the alias, and the version does not fit the others in it.
        """
        await self.catch_up()
        served = self._follower.table.models.get(model)
        coming = None if served is None else served.versions.get(version)
        if served is None or coming is None or coming.state == "retired":
            return
        try:
            manifest = (await self._loaded.get(coming)).manifest
            standing = served.aliases.get(alias)
            if standing is not None and not allow_request_change:
                # What serves is loaded, unless it answers nobody: then nobody need be kept.
                before = self._loaded.find(model, standing)
                if before is not None:
                    check_callers_fit(alias, standing, before.manifest, manifest)
        except (ModelRefusedError, ValueError) as error:
            raise RegistryConflictError(str(error)) from error
        if served.rollout is not None and served.rollout == served.registered.rollout:
            await self._check_route(served, served.rollout, {**served.aliases, alias: version})

    async def for_answer(self, model: str, version: int) -> ActiveModel:
        """Return a version that answers or has answered, even where it is retired by now."""
        served = self._follower.table.models.get(model)
        registered = None if served is None else served.versions.get(version)
        if registered is None:
            return await self.by_version(model, version)
        return await self._loaded.get(registered)

    async def by_alias(self, model: str, alias: str) -> ActiveModel:
        """Return the version that serves under an alias, loading it where it is not loaded.

        Raises
        ------
        UnknownModelError, UnknownAliasError
            If the registry has no such model or alias.
        ModelRefusedError, ArtifactStoreUnavailableError, RegistryUnavailableError
            If it fails the load gate, and no other version serves for it, or its files or the
            registry cannot be read.
        """
        served = self._follower.table.models.get(model)
        version = None if served is None else served.aliases.get(alias)
        if version is None:
            await self._follower.catch_up()
        elif (found := self._loaded.find(model, version)) is not None:
            return found
        registered = self._follower.table.get_alias(model, alias)
        try:
            return await self._loaded.get(registered)
        except ModelRefusedError:
            await self._follower.settle(model)
            other = self._follower.table.get_alias(model, alias)
            if other == registered:
                raise
            return await self._loaded.get(other)
