"""What a rollout is: which versions answer a model's callers, with what share, and who watches.

A rollout is plain data that an engineer writes and the registry keeps. Without one, a model is
answered by the version that its alias ``champion`` points to.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from zeroskew.contract.errors.fields import unexpected
from zeroskew.contract.frozen_model import FrozenModel

__all__ = ["CHAMPION", "Arm", "Bandit", "GuardedMetric", "Limits", "Rollout", "Shadow"]

CHAMPION: Final = "champion"
"""The alias that answers a model's callers."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
# Strict, or `true` and "1" would be numbers; not whole models, so that a list does for a tuple.
Share = Annotated[float, Field(ge=0.0, le=1.0, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]

_TOLERANCE: Final = 1e-9
"""How far the sum of weights may be from 1: what decimal fractions cost in binary."""


class _Target(FrozenModel):
    """A version, or the alias whose version is meant at any moment; exactly one of them."""

    name: Name
    version: Count | None = Field(default=None, le=999_999_999)
    alias: Name | None = None

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if (self.version is None) == (self.alias is None):
            got = f"version {self.version} and alias {self.alias}"
            raise unexpected("one of them", got=got)
        return self


class Arm(_Target):
    """One of the versions that answer, and its share of the entity keys."""

    weight: Share


class Shadow(_Target):
    """A version that scores a share of the requests, is logged, and never answers."""

    share: Share = 1.0


class Bandit(FrozenModel):
    """How Thompson sampling may move the arms' weights.

    ``reward`` says what of a matured label is maximised: ``hit``, 1 where the answered label
    is the actual one and else 0, or ``negative_error``, minus the absolute error.
    """

    reward: Literal["hit", "negative_error"]
    min_weight: Share = 0.05
    max_weight: Share = 0.9
    min_labels: Count = Field(default=100, description="Labels an arm needs to be judged.")


class GuardedMetric(FrozenModel):
    """A matured metric that an arm must hold against the champion's.

    The arm is rolled back when it is worse by more than ``margin``, and promoted when it is
    shown not to be.
    """

    name: str
    margin: float = Field(ge=0.0, strict=True)
    min_labels: Count = 500


class Limits(FrozenModel):
    """What an arm or a shadow may not pass; `None` is not judged."""

    max_error_rate: Share | None = None
    max_p99_ms: Positive | None = None
    max_shadow_disagreement: Share | None = None
    max_skew_rate: Share | None = None
    max_score_psi: Positive | None = None
    metric: GuardedMetric | None = None
    error_rate: Positive = Field(
        default=0.05, lt=0.5, description="How often chance alone may end the rollout."
    )
    min_predictions: Count = 1000


class Rollout(FrozenModel):
    """Who answers a model's callers.

    The first arm is the champion; the others are judged against it. An entity key always falls
    to the same arm while ``salt`` and the weights stay.

    Parameters
    ----------
    kind
        ``canary``: one candidate beside the champion; ``ab``: named arms, compared;
        ``bandit``: arms whose weights a job moves.
    arms
        Their weights add up to 1.
    shadows
        Versions that score along and never answer.
    sticky_by
        The request fields whose values choose the arm; all entity keys if it is not set.
    salt
        Another salt deals the keys anew.
    """

    kind: Literal["canary", "ab", "bandit"]
    arms: tuple[Arm, ...] = Field(min_length=1, max_length=16)
    shadows: tuple[Shadow, ...] = Field(default=(), max_length=4)
    sticky_by: tuple[str, ...] | None = Field(default=None, min_length=1)
    salt: str = Field(default="", max_length=64)
    bandit: Bandit | None = None
    limits: Limits | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [target.name for target in (*self.arms, *self.shadows)]
        if len(set(names)) < len(names):
            raise unexpected("each only once", got=f"the names {', '.join(names)}")
        total = math.fsum(arm.weight for arm in self.arms)
        if abs(total - 1) > _TOLERANCE:
            raise unexpected("1", got=f"weights that add up to {total:g}")
        if self.kind == "canary" and len(self.arms) > 2:
            raise unexpected("at most 2", got=f"{len(self.arms)} arms in a canary")
        if (self.kind == "bandit") != (self.bandit is not None):
            got = f"kind {self.kind!r} {'with' if self.bandit else 'without'} bandit"
            raise unexpected("bandit with kind 'bandit', and with no other", got=got)
        if self.bandit is not None:
            self._check_bounds(self.bandit)
        return self

    def _check_bounds(self, bandit: Bandit) -> None:
        n = len(self.arms)
        if not bandit.min_weight * n <= 1 <= bandit.max_weight * n:
            got = f"bounds of {bandit.min_weight:g} to {bandit.max_weight:g} for {n} arms"
            raise unexpected("some that let their weights add up to 1", got=got)
