"""A calculation over one row, by a small interpreter over Python's floats.

A step costs some fifty nanoseconds, a node of the runtime twenty times that. Steps stand in runs
of one operator, so that what a run does is looked up once, and the commonest need no call at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

from zeroskew.model.graph.calculation import SELECT, Calculation
from zeroskew.model.graph.instructions import (
    MULTIPLY_ADD,
    MULTIPLY_SUBTRACT,
    POLYNOMIAL,
    SUBTRACT_PRODUCT,
    Instruction,
    list_instructions,
)
from zeroskew.model.graph.operators import OPERATORS

__all__ = ["RowProgram"]

_CHOOSE, _MULTIPLY, _MULTIPLY_ADD, _POLYNOMIAL, _ADD, _SUBTRACT = range(6)
_MULTIPLY_SUBTRACT, _SUBTRACT_PRODUCT, _CALL_2, _CALL_1 = range(6, 10)
_KINDS: Final = {
    SELECT: _CHOOSE,
    "Mul": _MULTIPLY,
    "Add": _ADD,
    "Sub": _SUBTRACT,
    POLYNOMIAL: _POLYNOMIAL,
    MULTIPLY_ADD: _MULTIPLY_ADD,
    MULTIPLY_SUBTRACT: _MULTIPLY_SUBTRACT,
    SUBTRACT_PRODUCT: _SUBTRACT_PRODUCT,
}


_Run: TypeAlias = tuple[int, tuple[Any, ...]]
"""A kind of steps, and each step's operands: places of numbers, and what else the kind needs."""


class RowProgram:
    """Computes the results of one row.

    Parameters
    ----------
    calculation
        What is computed.
    """

    def __init__(self, calculation: Calculation) -> None:
        instructions, results = list_instructions(calculation)
        used = {register for one in instructions for register in one.operands} | set(results)
        constants = {
            register: value for register, value in calculation.constants.items() if register in used
        }
        self._constants = list(constants.values())
        known = [*range(calculation.n_inputs), *constants]
        places = {register: place for place, register in enumerate(known)}
        self._runs = tuple(_schedule(instructions, places))
        chosen = [places[register] for register in results]
        # One more than are wanted: for a single one it would give no tuple.
        self._choose = itemgetter(*chosen, chosen[0])

    def run(  # noqa: C901 -- a call for each run of steps would be a third of the time
        self, inputs: Sequence[float]
    ) -> tuple[float, ...]:
        """Return the results of a row."""
        numbers = [*inputs, *self._constants]
        put = numbers.append
        for kind, operands in self._runs:
            if kind == _CHOOSE:
                for is_first, x, y in operands:
                    put(numbers[x] if numbers[is_first] else numbers[y])
            elif kind == _MULTIPLY:
                for x, y in operands:
                    put(numbers[x] * numbers[y])
            elif kind == _MULTIPLY_ADD:
                for x, y, z in operands:
                    put(numbers[x] * numbers[y] + numbers[z])
            elif kind == _POLYNOMIAL:
                for x, y, coefficients in operands:
                    value, point = numbers[x], numbers[y]
                    for coefficient in coefficients:
                        value = value * point + coefficient
                    put(value)
            elif kind == _ADD:
                for x, y in operands:
                    put(numbers[x] + numbers[y])
            elif kind == _SUBTRACT:
                for x, y in operands:
                    put(numbers[x] - numbers[y])
            elif kind == _MULTIPLY_SUBTRACT:
                for x, y, z in operands:
                    put(numbers[x] * numbers[y] - numbers[z])
            elif kind == _SUBTRACT_PRODUCT:
                for x, y, z in operands:
                    put(numbers[z] - numbers[x] * numbers[y])
            elif kind == _CALL_2:
                for call, x, y in operands:
                    put(call(numbers[x], numbers[y]))
            else:
                for call, x in operands:
                    put(call(numbers[x]))
        results: tuple[float, ...] = self._choose(numbers)
        return results[:-1]


def _schedule(instructions: Sequence[Instruction], places: dict[int, int]) -> Iterator[_Run]:
    """Bring instructions into long runs of one kind; note in `places` where results will be."""
    ready: dict[int, list[Instruction]] = defaultdict(list)
    users: dict[int, list[Instruction]] = defaultdict(list)
    n_missing: dict[int, int] = {}
    for one in instructions:
        missing = set(one.operands) - places.keys()
        n_missing[one.result] = len(missing)
        for register in missing:
            users[register].append(one)
        if not missing:
            ready[_kind_of(one)].append(one)
    while any(ready.values()):
        kind = max(ready, key=lambda one: len(ready[one]))
        queue = ready[kind]
        operands: list[tuple[Any, ...]] = []
        while queue:
            one = queue.pop()
            operands.append(_locate(one, kind, places))
            places[one.result] = len(places)
            for user in users[one.result]:
                n_missing[user.result] -= 1
                if not n_missing[user.result]:
                    ready[_kind_of(user)].append(user)
        yield kind, tuple(operands)


def _kind_of(one: Instruction) -> int:
    return _KINDS.get(one.operator, _CALL_1 if len(one.operands) == 1 else _CALL_2)


def _locate(one: Instruction, kind: int, places: dict[int, int]) -> tuple[Any, ...]:
    found = tuple(places[register] for register in one.operands)
    if kind == _POLYNOMIAL:
        return (*found, one.coefficients)
    return found if one.operator in _KINDS else (OPERATORS[one.operator].compute, *found)
