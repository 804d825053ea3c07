"""Whether a model's parameters are known, effective, and of a sane type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.errors.sentences import nearest_name
from zeroskew.declarations.lightgbm.conditions import (
    Given,
    find_lack,
    metrics_of,
    split_metrics,
)
from zeroskew.declarations.lightgbm.names import (
    ALIASES,
    resolve_alias,
    resolve_metric,
    resolve_names,
)
from zeroskew.declarations.lightgbm.table import CATEGORICAL, OWNED, SETTABLE
from zeroskew.declarations.lightgbm.values import Groups, PerColumn, shown

__all__ = ["check_columns", "check_parameters", "find_problems"]


def check_parameters(parameters: Mapping[str, object]) -> None:
    """Raise unless each of a model's parameters has the effect that its name promises.

    Raises
    ------
    SpecError
        With a sentence for each that has not: unknown, said elsewhere, of another type, out of
        range, twice, or without effect beside the others.
    """
    if problems := find_problems(parameters):
        raise SpecError("; ".join(problems))


def find_problems(parameters: Mapping[str, object]) -> list[str]:
    """Return a sentence for each parameter that `check_parameters` refuses.

    The objective itself is judged by `zeroskew.declarations.objectives`, which knows the output
    as well.
    """
    problems, given = [], Given(resolve_names(parameters))
    for name, value in parameters.items():
        problem = _problem_of_name(name) or _problem_of_value(str(resolve_alias(name)), name, value)
        if problem:
            problems.append(problem)
    if problems:
        return [*_said_twice(parameters), *problems]
    return [*_said_twice(parameters), *_without_effect(given), *_contradictions(given)]


def check_columns(
    parameters: Mapping[str, object], columns: Sequence[str], categorical: Collection[str]
) -> None:
    """Raise unless what is said of single columns fits the model's.

    Parameters
    ----------
    columns
        All columns of the model, in order.
    categorical
        Those of text.

    Raises
    ------
    SpecError
        With a sentence for each parameter that does not.
    """
    problems = []
    for name, value in resolve_names(parameters).items():
        if name in CATEGORICAL and not categorical:
            problems.append(f"Got {name} without effect, but expected a column of text beside it")
        problem = _problem_of_columns(name, value, columns)
        if problem is None and name == "monotone_constraints":
            problem = _problem_of_directions(value, columns, categorical)
        if problem:
            problems.append(problem)
    if problems:
        raise SpecError("; ".join(problems))


def _problem_of_name(name: object) -> str | None:
    own = resolve_alias(name) if isinstance(name, str) else None
    if own in SETTABLE:
        return None
    if own in OWNED:
        alias = "" if own == name else f" ({own})"
        return f"Got parameter {name!r}{alias}, but expected {OWNED[own]}"
    nearest = nearest_name(str(name), [one for one in ALIASES if ALIASES[one] in SETTABLE])
    return f"Got parameter {shown(name)}, but expected " + (
        f"one that LightGBM knows: {ALIASES[nearest]!r}?" if nearest else "one that LightGBM knows"
    )


def _problem_of_value(own: str, name: str, value: object) -> str | None:
    if own == "objective":
        return (
            None  # Which there are, and for what output, `zeroskew.declarations.objectives` says.
        )
    if own == "metric":
        return next(_problems_of_metric(name, value), None)
    values = SETTABLE[own].values
    if values.accepts(value):
        return None
    return f"Got {name}={shown(value)}, but expected {values.expected}"


def _problems_of_metric(name: str, value: object) -> Iterator[str]:
    entries = split_metrics(value)
    for entry in entries or [value]:
        if resolve_metric(entry) is None:
            nearest = nearest_name(str(entry), metrics_of("regression") + metrics_of("binary"))
            yield (
                f"Got {name}={shown(entry)}, but expected a metric of LightGBM's, by which "
                "validation chooses the rounds" + (f": {nearest!r}?" if nearest else "")
            )


def _said_twice(parameters: Mapping[str, object]) -> Iterator[str]:
    names = defaultdict(list)
    for name in parameters:
        names[ALIASES.get(name, name)].append(name)
    for own, given in names.items():
        if len(given) > 1:
            yield f"Got {' and '.join(given)}, but expected one of them: both are {own}"


def _without_effect(given: Given) -> Iterator[str]:
    for name, value in given.values.items():
        settable = SETTABLE[name]
        if settable.off is not None and value == settable.off:
            continue
        if (lack := find_lack(name, settable.needs, given)) is not None:
            yield f"Got {name}={shown(value)} without effect, but expected {lack}"


def _contradictions(given: Given) -> Iterator[str]:
    values, objective = given.values, given.objective
    if not objective:
        return
    fitting = metrics_of(objective)
    for metric in given.metrics:
        if metric not in fitting:
            yield f"Got metric {metric!r} with objective {objective!r}, but expected one of " + (
                ", ".join(fitting)
            )
    if values.get("is_unbalance") is True and given.number("scale_pos_weight", 1) != 1:
        yield "Got is_unbalance and scale_pos_weight, but expected one of them: both weigh classes"
    yield from _contradictions_of_drawing(given)


def _contradictions_of_drawing(given: Given) -> Iterator[str]:
    if given.boosting == "rf" and given.is_goss:
        yield "Got boosting='rf' with goss, but expected bagging: all its trees have one gradient"
    elif given.boosting == "rf" and not (given.draws_rows or given.draws_columns):
        yield (
            "Got boosting='rf' without bagging_freq and a bagging_fraction below 1, but expected "
            "them, or feature_fraction below 1: all trees would be one"
        )
    if given.values.get("boosting") == "goss" and given.values.get("data_sample_strategy") not in (
        None,
        "goss",
    ):
        yield "Got boosting='goss' and data_sample_strategy='bagging', but expected one of them"
    rates = given.number("top_rate", 0.2) + given.number("other_rate", 0.1)
    if given.is_goss and rates > 1:
        yield f"Got top_rate and other_rate of {rates:g} together, but expected at most 1"


def _problem_of_columns(name: str, value: Any, columns: Sequence[str]) -> str | None:
    kind = SETTABLE[name].values
    if isinstance(kind, PerColumn):
        if isinstance(value, Mapping):
            return _problem_of_unknown_column(name, value, columns)
        if len(value) != len(columns):
            return f"Got {len(value)} entries of {name}, but expected {len(columns)}, one a column"
    if isinstance(kind, Groups):
        listed = [columns[one] if one in range(len(columns)) else one for one in chain(*value)]
        unused = [column for column in columns if column not in listed]
        if unused and not set(listed) - set(columns):
            return (
                f"Got {name} without column {unused[0]!r}, but expected all: LightGBM never uses "
                f"one that stands in no group; add {unused[:1]} as a group of its own"
            )
        return _problem_of_unknown_column(name, listed, columns)
    return None


def _problem_of_unknown_column(
    name: str, given: Iterable[object], columns: Sequence[str]
) -> str | None:
    for one in given:
        if one not in columns:
            nearest = nearest_name(str(one), columns)
            return f"Got {name} of column {shown(one)}, but expected one of the model's" + (
                f": {nearest!r}?" if nearest else f" {len(columns)}"
            )
    return None


def _problem_of_directions(
    value: Any, columns: Sequence[str], categorical: Collection[str]
) -> str | None:
    if isinstance(value, Mapping):
        bound = [name for name, direction in value.items() if direction]
    else:
        bound = [name for name, direction in zip(columns, value, strict=True) if direction]
    if wrong := [name for name in bound if name in categorical]:
        return f"Got monotone_constraints of {wrong[0]!r}, but expected a column of numbers"
    return None
