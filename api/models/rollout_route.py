"""A rollout as it is served: every arm and every shadow with the version that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zeroskew.contract.arm_choice import ArmChooser, check_arms_fit, encode_json, list_sticky_fields
from zeroskew.contract.manifest import Manifest
from zeroskew.contract.rollout import Rollout

__all__ = ["RolloutRoute", "RoutedShadow", "make_route", "resolve_targets"]


@dataclass(frozen=True, slots=True)
class RoutedShadow:
    """A version that scores a share of the answers along."""

    name: str
    version: int
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class RolloutRoute:
    """Which version answers for which key; replaced as a whole, never changed.

    ``arms`` are names and versions, the champion first.
    """

    arms: tuple[tuple[str, int], ...]
    shadows: tuple[RoutedShadow, ...]
    _chooser: ArmChooser
    _fields: tuple[tuple[str, int], ...]

    @property
    def versions(self) -> frozenset[int]:
        """The versions of all arms and shadows."""
        return frozenset(
            {version for _, version in self.arms} | {one.version for one in self.shadows}
        )

    def deal(self, rows: Sequence[Sequence[Any]]) -> dict[int, list[int]]:
        """Return the numbers of the rows that each arm answers, by the arm's number.

        Parameters
        ----------
        rows
            Values in the order of the model's request fields, as its schema has parsed them.
        """
        dealt: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            key = encode_json({name: row[place] for name, place in self._fields})
            dealt.setdefault(self._chooser.choose(key), []).append(number)
        return dealt


def resolve_targets(rollout: Rollout, aliases: Mapping[str, int]) -> dict[str, int | None]:
    """Return the version of each arm and shadow by its name, ``None`` where its alias is not."""
    return {
        target.name: target.version if target.alias is None else aliases.get(target.alias)
        for target in (*rollout.arms, *rollout.shadows)
    }


def make_route(
    rollout: Rollout, aliases: Mapping[str, int], manifests: Mapping[int, Manifest]
) -> RolloutRoute:
    """Return the route of a rollout.

    Parameters
    ----------
    aliases
        Where the model's aliases point.
    manifests
        The manifests of all versions that the rollout names, itself or by an alias.

    Raises
    ------
    ValueError
        If an arm or a shadow has no version, or they cannot answer one another's callers.
    """
    versions: dict[str, int] = {}
    for name, version in resolve_targets(rollout, aliases).items():
        if version is None or version not in manifests:
            raise ValueError(f"Got {name!r}, of which no version can serve.")
        versions[name] = version
    check_arms_fit(rollout, {name: manifests[version] for name, version in versions.items()})
    first = manifests[versions[rollout.arms[0].name]]
    places = {field.name: place for place, field in enumerate(first.request)}
    return RolloutRoute(
        arms=tuple((arm.name, versions[arm.name]) for arm in rollout.arms),
        shadows=tuple(
            RoutedShadow(one.name, versions[one.name], one.share) for one in rollout.shadows
        ),
        _chooser=ArmChooser(rollout),
        _fields=tuple((name, places[name]) for name in list_sticky_fields(rollout, first)),
    )
