"""The families of models that can be declared: a line each, imported when a model names it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from zeroskew.contract.errors.sentences import nearest_name

__all__ = ["FAMILIES", "FamilyModules", "ParameterRules", "check_family", "load_parameter_rules"]


@dataclass(frozen=True)
class FamilyModules:
    """Where a family's code is, by the names of modules.

    Attributes
    ----------
    rules
        What is a `ParameterRules`; it imports nothing that fits models.
    training
        What has the family itself as ``FAMILY`` (`training.families.model_family`).
    """

    rules: str
    training: str


FAMILIES: Final = {
    "lightgbm": FamilyModules("zeroskew.declarations.lightgbm", "training.families.lightgbm.family")
}
"""By the name that a `ModelSpec` gives as its ``family``."""


class ParameterRules(Protocol):
    """What a family says of its parameters before anything is fitted."""

    FITS_IN_ROUNDS: bool
    """Whether ``n_rounds`` and ``early_stopping_rounds`` have an effect."""

    def find_problems(self, parameters: Mapping[str, Any]) -> list[str]:
        """Return a sentence for each parameter that has not the effect that its name promises."""

    def resolve_names(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters by their own names, ``objective`` among them."""

    def drop_columns(self, parameters: Mapping[str, Any], *, has_text: bool) -> dict[str, Any]:
        """Return the parameters for the same learner on other columns."""


def check_family(name: str) -> None:
    """Raise unless there is a family of that name.

    Raises
    ------
    ValueError
        With the nearest name there is.

    Examples
    --------
    >>> check_family("LightGBM")
    Traceback (most recent call last):
    ValueError: Got family 'LightGBM', but expected one of lightgbm: 'lightgbm'?
    """
    if name not in FAMILIES:
        nearest = nearest_name(name, FAMILIES)
        raise ValueError(
            f"Got family {name[:40]!r}, but expected one of {', '.join(sorted(FAMILIES))}"
            + (f": {nearest!r}?" if nearest else "")
        )


def load_parameter_rules(name: str) -> ParameterRules:
    """Return the rules for the parameters of a family of the table."""
    return cast(ParameterRules, importlib.import_module(FAMILIES[name].rules))
