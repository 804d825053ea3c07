"""What the versions that serve read online, and which of it new definitions would break."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from training.publish.alias_moves import read_manifest
from zeroskew.contract.errors.project import PlanError
from zeroskew.contract.errors.service import ArtifactError
from zeroskew.contract.manifest import FeaturePlan, ViewPlan
from zeroskew.contract.rollout import Rollout
from zeroskew.features.stored_views import plan_stored_view

if TYPE_CHECKING:
    from zeroskew.records.artifacts.artifact_store import ArtifactStore
    from zeroskew.records.registry.model_registry import ModelRegistry
    from zeroskew.records.registry.registered_version import RegisteredChange

__all__ = [
    "DeclaredViews",
    "LivePlan",
    "find_breaks",
    "find_ttl_changes",
    "plan_declared_views",
    "read_live_plans",
]


@dataclass(frozen=True)
class LivePlan:
    """The plan of a version that an alias, an arm or a shadow names."""

    model: str
    version: int
    plan: FeaturePlan

    def __str__(self) -> str:
        return f"{self.model} version {self.version}"


def read_live_plans(
    registry: ModelRegistry, artifacts: ArtifactStore, *, moved_since: datetime | None = None
) -> list[LivePlan]:
    """Return the plans of all versions that serve, sorted by model and version.

    A version whose manifest is missing, damaged or of another release serves nowhere, and is left
    out.

    Parameters
    ----------
    registry, artifacts
        Where versions and their manifests are.
    moved_since
        Return those as well that have ceased to serve since then: a service may not have
        followed yet, or be at a request.
    """
    plans = []
    for model in registry.read_snapshot().models:
        named = {*model.aliases.values(), *_list_targets(model.rollout)}
        if moved_since is not None:
            named |= _find_moved(registry.list_changes(model.name), moved_since)
        for version in sorted(model.versions, key=lambda one: one.version):
            if version.version in named:
                try:
                    manifest = read_manifest(version.manifest_sha256, artifacts)
                except ArtifactError:
                    continue
                plans.append(LivePlan(model.name, version.version, manifest.plan))
    return plans


def _list_targets(rollout: Rollout | None) -> set[int]:
    if rollout is None:
        return set()
    targets = (*rollout.arms, *rollout.shadows)
    return {target.version for target in targets if target.version is not None}


def _find_moved(changes: Sequence[RegisteredChange], since: datetime) -> set[int]:
    """Return the versions that aliases and rollouts named before changes since a moment."""
    moved: set[int] = set()
    for change in changes:
        if change.time >= since and change.before is not None:
            if change.action in ("set_alias", "delete_alias"):
                moved.add(change.before["version"])
            elif change.action in ("set_rollout", "delete_rollout"):
                moved |= _list_targets(Rollout.model_validate(change.before))
    return moved


@dataclass(frozen=True)
class DeclaredViews:
    """How declared views would be stored, or why they would not, by their tables.

    ``projects`` are the names that the project has and had; ``is_versioned`` says that each
    version of a view has a table of its own, which has a suffix.
    """

    views: Mapping[str, ViewPlan | str]
    projects: Sequence[str]
    is_versioned: bool

    def find(self, view: ViewPlan) -> ViewPlan | str:
        """Return what is declared in place of a view that a plan reads."""
        table = re.sub(r"_v\d+$", "", view.table) if self.is_versioned else view.table
        return self.views.get(table, "is declared no more")


def plan_declared_views(store: Any, views: Sequence[Any], projects: Sequence[str]) -> DeclaredViews:
    """Return how views would be stored, once they are applied.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``.
    views
        The declared views, their schemas complete.
    projects
        The names that the project has and had.
    """
    from feast.feature_view_projection import FeatureViewProjection
    from feast.infra.online_stores.helpers import compute_table_id

    declared: dict[str, ViewPlan | str] = {}
    for view in views:
        table = compute_table_id(store.project, view, False)
        if not view.online or not view.enabled:
            declared[table] = "is declared with online=False or enabled=False"
            continue
        try:
            projection = FeatureViewProjection.from_definition(view)
            declared[table] = plan_stored_view(store, view, projection)
        except PlanError as error:
            declared[table] = f"cannot be served: {error}"
    versioning = store.config.registry.enable_online_feature_view_versioning
    return DeclaredViews(declared, projects, bool(versioning))


def find_breaks(live: Sequence[LivePlan], declared: DeclaredViews) -> Iterator[str]:
    """Say what live plans read and would not find any more, or not as they expect it.

    Plans of other projects than the declared one are none of its business.
    """
    for one in live:
        if one.plan.project not in declared.projects:
            continue
        for view in one.plan.views:
            standing = declared.find(view)
            if isinstance(standing, str):
                name = view.table.removeprefix(f"{one.plan.project}_")
                yield f"{one} reads view {name!r}, which {standing}"
            else:
                yield from (f"{one} {broken}" for broken in _compare(view, standing))


def find_ttl_changes(live: Sequence[LivePlan], declared: DeclaredViews) -> Iterator[str]:
    """Say which live plans go on with another ttl than is declared: a plan keeps its own."""
    for one in live:
        for view in one.plan.views:
            standing = declared.find(view)
            if isinstance(standing, ViewPlan) and standing.ttl_us != view.ttl_us:
                yield (
                    f"{one} goes on with a ttl of {_say_ttl(view)} for view {standing.name!r}, "
                    f"declared {_say_ttl(standing)}, until a new version is published"
                )


def _compare(view: ViewPlan, declared: ViewPlan) -> Iterator[str]:
    name = declared.name
    if (before := _say_keys(view)) != (after := _say_keys(declared)):
        yield f"finds rows of view {name!r} by {before}, declared by {after}"
    types = {feature.name: feature.type for feature in declared.features}
    for feature in view.features:
        kind = types.get(feature.name)
        if kind is None:
            yield f"reads feature '{name}:{feature.name}', which is declared no more"
        elif kind != feature.type:
            yield f"reads feature '{name}:{feature.name}' as {feature.type}, declared {kind}"


def _say_keys(view: ViewPlan) -> str:
    return ", ".join(f"{key.name} {key.type}" for key in view.join_keys) or "no key"


def _say_ttl(view: ViewPlan) -> str:
    return "none" if view.ttl_us is None else str(timedelta(microseconds=view.ttl_us))
