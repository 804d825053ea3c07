"""What one event gives to the inputs of a view, from its columns."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from zeroskew.contract.window_plan import EventCondition, EventInput, WindowPlan
from zeroskew.windows.partial import InputValue

__all__ = ["input_values"]

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, known: value in known,
}


def input_values(
    plan: WindowPlan, columns: Mapping[str, Sequence[Any]], n_events: int
) -> list[tuple[InputValue | None, ...]]:
    """Return what some events give to each input.

    Parameters
    ----------
    plan
        The view's windows.
    columns
        The values of each of ``plan.columns``: of its type, instants in microseconds.
    n_events
        How many events there are.
    """
    cleaned = {name: [_clean(value) for value in columns[name]] for name in plan.columns}
    found = [_of_input(one, cleaned, n_events) for one in plan.inputs]
    return list(zip(*found, strict=True))


def _clean(value: Any) -> Any:
    """Take NaN for a null."""
    return None if value != value else value


def _of_input(
    one: EventInput, columns: Mapping[str, list[Any]], n_events: int
) -> list[InputValue | None]:
    values = [True] * n_events if one.column is None else columns[one.column]
    meets = [
        all(_meets(condition, columns[condition.column][place]) for condition in one.where)
        for place in range(n_events)
    ]
    make = _MAKERS.get(one.type, int)
    return [
        make(value) if met and value is not None else None
        for value, met in zip(values, meets, strict=True)
    ]


_MAKERS: Final[dict[str, Callable[[Any], InputValue]]] = {"DOUBLE": float, "STRING": str}


def _meets(one: EventCondition, value: Any) -> bool:
    if one.op == "is_null":
        return value is None
    if value is None:
        return False
    return one.op == "is_not_null" or _OPERATORS[one.op](value, one.value)
