"""LightGBM's objectives: what their labels, their answers and their judgement must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from zeroskew.contract.errors.sentences import nearest_name
from zeroskew.contract.manifest import Manifest, Output, Scalar
from zeroskew.declarations.objective_table import OBJECTIVE_TABLE, LabelRule, Objective

__all__ = ["ALIASES", "OBJECTIVES", "REFUSED", "objective_of_manifest", "read_objective"]

Parameters = Mapping[str, Scalar]

_LONGEST_CLASS: Final = 100
OBJECTIVES: Final = {name: one for name, one in OBJECTIVE_TABLE.items() if not one.refused}
"""Those that a model can declare, by LightGBM's first name."""

ALIASES: Final = {
    **{alias: name for name, one in OBJECTIVE_TABLE.items() for alias in one.aliases},
    **dict.fromkeys(("none", "null", "na"), "custom"),
}
"""LightGBM's other names of objectives."""

REFUSED: Final = {
    **{name: one.refused for name, one in OBJECTIVE_TABLE.items() if one.refused},
    "custom": "a function of one's own cannot be exported",
}
"""By LightGBM's first name, why a model cannot be declared with it."""


def read_objective(parameters: Parameters, output: Output) -> Objective:
    """Return what a model declares, with its output.

    Raises
    ------
    ValueError
        If the objective is unknown or not served, does not fit the output, or the output or one
        of the objective's own parameters is impossible.

    Examples
    --------
    >>> minutes = Output(kind="value", description="Minutes.")
    >>> read_objective({"objective": "mse"}, minutes).metrics
    ('mae', 'rmse')
    >>> read_objective({"objective": "binary"}, minutes)
    Traceback (most recent call last):
    ValueError: Got output kind 'value' for objective 'binary', but expected 'probability'
    """
    objective = _find_objective(parameters)
    if output.kind not in objective.kinds:
        expected = " or ".join(map(repr, objective.kinds))
        raise ValueError(
            f"Got output kind {output.kind!r} for objective {objective.name!r}, "
            f"but expected {expected}"
        )
    objective = replace(objective, kind=output.kind, classes=output.classes or ())
    _check_output(objective, output, parameters)
    level = _read_number(parameters, "alpha", objective.level)
    if objective.name == "quantile" and not 0 < level < 1:
        raise ValueError(f"Got alpha={level:g} for 'quantile', but expected it between 0 and 1")
    power = _read_number(parameters, "tweedie_variance_power", objective.power)
    if objective.name == "tweedie" and not 1 <= power < 2:
        raise ValueError(f"Got tweedie_variance_power={power:g}, but expected it from 1 to below 2")
    return replace(objective, level=level, power=power)


def objective_of_manifest(manifest: Manifest) -> Objective:
    """Return by what a published version's predictions are measured.

    A version whose objective is none of the table is measured as is usual for its output's kind.
    """
    output = manifest.output
    name = ALIASES.get(manifest.objective, manifest.objective)
    usual = {"probability": "binary", "probabilities": "multiclass"}.get(output.kind, "regression")
    objective = OBJECTIVES.get(name, OBJECTIVES[usual])
    if output.kind not in objective.kinds:
        objective = OBJECTIVES[usual]
    return replace(
        objective,
        kind=output.kind,
        classes=output.classes or (),
        level=_read_number(manifest.parameters, "alpha", objective.level),
        power=_read_number(manifest.parameters, "tweedie_variance_power", objective.power),
    )


def _find_objective(parameters: Parameters) -> Objective:
    given = parameters.get("objective")
    if given is None:
        raise ValueError(
            "Got parameters without an objective, but expected one, such as 'regression'"
        )
    name = ALIASES.get(str(given), str(given))
    if (reason := REFUSED.get(name)) is not None:
        raise ValueError(f"Got objective {given!r}, but expected another: {reason}")
    if name not in OBJECTIVES:
        nearest = nearest_name(name[:40], [*OBJECTIVES, *ALIASES])
        raise ValueError(
            f"Got objective {str(given)[:40]!r}, but expected one of {', '.join(OBJECTIVES)}"
            + (f": {nearest!r}?" if nearest else "")
        )
    return OBJECTIVES[name]


def _check_output(objective: Objective, output: Output, parameters: Parameters) -> None:
    if output.threshold is not None and (
        output.kind != "probability" or not 0 <= output.threshold <= 1
    ):
        raise ValueError(
            f"Got threshold={output.threshold:g} of an output of kind {output.kind!r}, but "
            "expected one from 0 to 1 for a probability, and else none"
        )
    if objective.labels is LabelRule.CLASS:
        _check_classes(objective.classes, parameters)
    elif output.classes is not None:
        raise ValueError(
            f"Got classes of an output of kind {output.kind!r}, but expected none: they belong "
            "to 'probabilities'"
        )


def _check_classes(classes: tuple[str, ...], parameters: Parameters) -> None:
    repeated = sorted({name for name in classes if classes.count(name) > 1})
    # Feedback, JSON and the databases take them as they are.
    odd = [name for name in classes if not name.strip() or not name.isprintable()]
    long = [name for name in classes if len(name) > _LONGEST_CLASS]
    if len(classes) < 2 or repeated or odd or long:
        got = f"{repeated[:3]} twice" if repeated else repr([*odd, *long, *classes][:3])
        raise ValueError(
            f"Got output.classes {got[:60]}, but expected two names or more, each once, printable "
            f"and of at most {_LONGEST_CLASS} letters"
        )
    for name in ("num_class", "num_classes"):
        if name in parameters and parameters[name] != len(classes):
            raise ValueError(
                f"Got {name}={parameters[name]!r}, but expected none: output.classes has "
                f"{len(classes)}, and says it alone"
            )


def _read_number(parameters: Parameters, name: str, default: float) -> float:
    value = parameters.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number:
        raise ValueError(f"Got {name}={value!r}, but expected a number")
    return float(value)
