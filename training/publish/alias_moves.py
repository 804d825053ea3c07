"""What must hold before an alias is moved, by a command or by publishing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from zeroskew.contract.arm_choice import check_arms_fit
from zeroskew.contract.errors.not_found import UnknownModelError, UnknownRolloutError
from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.errors.service import ArtifactError
from zeroskew.contract.manifest import Manifest, parse_manifest
from zeroskew.contract.request_change import check_callers_fit
from zeroskew.contract.rollout import Rollout
from zeroskew.records.artifacts.artifact_store import ArtifactStore

if TYPE_CHECKING:
    from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["check_alias_move", "read_manifest", "read_rollout_manifests"]

_ALIAS: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def check_alias_move(
    coming: Manifest,
    alias: str,
    *,
    registry: ModelRegistry,
    artifacts: ArtifactStore,
    allow_request_change: bool = False,
) -> None:
    """Check that an alias may point to a version, as the service does when it is asked to.

    Parameters
    ----------
    coming
        The manifest of the version.
    alias
        The alias; where there is none yet it has no callers.
    registry, artifacts
        Where the version before is.
    allow_request_change
        Whether the alias's callers may be refused, or answered otherwise, from then on.

    Raises
    ------
    SpecError
        If the callers could not go on, or the model's rollout goes by the alias and the version
        does not fit the others in it.
    """
    if _ALIAS.fullmatch(alias) is None:
        raise SpecError(
            f"Got alias {alias!r}, but expected small letters, digits and _, beginning with a "
            "letter: others have no address"
        )
    model = coming.model
    try:
        standing = registry.list_aliases(model).get(alias)
        if standing is None:
            return
        if not allow_request_change:
            before = _read_standing(
                registry.get_version(model, standing).manifest_sha256, artifacts
            )
            if before is not None:
                check_callers_fit(alias, standing, before, coming)
        rollout = registry.get_rollout(model).rollout
        targets = (*rollout.arms, *rollout.shadows)
        moved = {target.name: coming for target in targets if target.alias == alias}
        if moved:
            others = read_rollout_manifests(rollout, model, registry, artifacts)
            check_arms_fit(rollout, dict(others) | moved)
    except (UnknownModelError, UnknownRolloutError):
        return
    except ValueError as error:
        raise SpecError(str(error)) from error


def read_manifest(sha256: str, artifacts: ArtifactStore) -> Manifest:
    """Read the manifest of a registered version.

    Raises
    ------
    ArtifactError
        If it is missing, damaged, or of the format of another release.
    """
    return parse_manifest(artifacts.get(sha256))


def read_rollout_manifests(
    rollout: Rollout, model: str, registry: ModelRegistry, artifacts: ArtifactStore
) -> Iterator[tuple[str, Manifest]]:
    """Read the manifest of each arm and shadow of a rollout, by its name."""
    for target in (*rollout.arms, *rollout.shadows):
        if target.version is not None:
            found = registry.get_version(model, target.version)
        else:
            found = registry.resolve_alias(model, str(target.alias))
        yield target.name, read_manifest(found.manifest_sha256, artifacts)


def _read_standing(sha256: str, artifacts: ArtifactStore) -> Manifest | None:
    """Return the manifest that callers go by; one that no service can load has none."""
    try:
        return read_manifest(sha256, artifacts)
    except ArtifactError:
        return None
