"""What a model wants of stale values and of a store that is down, put into its plan."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from zeroskew.contract.errors.project import PlanError
from zeroskew.contract.manifest import OnlineFeature, Scalar, ViewPlan
from zeroskew.contract.number_bounds import INT32, INT64, MAX_FLOAT32
from zeroskew.declarations.model_spec import ModelSpec

__all__ = ["apply_policies", "require_known"]

_WHOLE: Final = {"INT32": INT32, "INT64": INT64, "UNIX_TIMESTAMP": INT64}


def apply_policies(views: tuple[ViewPlan, ...], spec: ModelSpec) -> tuple[ViewPlan, ...]:
    """Return the views with ``spec.when_stale`` and ``spec.defaults``.

    Raises
    ------
    PlanError
        If one of them names no view or feature of the plan, a policy stands for a view whose
        values never get stale, or a default is not of its feature's type.
    """
    require_known("when_stale", spec.when_stale, [view.name for view in views])
    features = [f"{view.name}:{feature.name}" for view in views for feature in view.features]
    require_known("defaults", spec.defaults, features)
    if eternal := sorted(v.name for v in views if v.name in spec.when_stale and v.ttl_us is None):
        raise PlanError(
            f"Got when_stale for views {eternal}, but expected views with a time to live"
        )
    return tuple(
        view.model_copy(
            update={
                "when_stale": spec.when_stale.get(view.name, "null"),
                "features": tuple(
                    _with_default(view.name, feature, spec.defaults) for feature in view.features
                ),
            }
        )
        for view in views
    )


def require_known(what: str, given: Iterable[str], known: list[str]) -> None:
    """Raise `PlanError` if a declaration names something that the plan does not have."""
    if unknown := sorted(set(given) - set(known)):
        raise PlanError(f"Got {what} for {unknown}, but expected some of {sorted(known)}")


def _with_default(view: str, feature: OnlineFeature, defaults: dict[str, Scalar]) -> OnlineFeature:
    reference = f"{view}:{feature.name}"
    default = defaults.get(reference)
    if default is None:
        return feature
    if not _fits(default, feature.type):
        raise PlanError(
            f"Got default {default!r} for feature {reference}, but expected a value of its type "
            f"{feature.type}"
        )
    return feature.model_copy(update={"default": default})


def _fits(value: Scalar, value_type: str) -> bool:
    if value_type in _WHOLE:
        return type(value) is int and value in _WHOLE[value_type]
    if value_type in ("STRING", "BOOL"):
        return type(value) is (str if value_type == "STRING" else bool)
    if isinstance(value, bool | str):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    # A whole number may be another as a float.
    is_same = math.isfinite(number) and number == value
    return is_same and (value_type == "DOUBLE" or abs(number) <= MAX_FLOAT32)
