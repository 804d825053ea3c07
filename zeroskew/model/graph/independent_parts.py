"""A calculation in parts that share no step, so that each depends on some of the inputs alone."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from zeroskew.model.graph.calculation import Calculation, CalculationStep

__all__ = ["IndependentPart", "split_calculation"]


class IndependentPart(NamedTuple):
    """Some results, with the steps to them and the inputs that these need.

    ``inputs`` are columns of the request, ``places`` those of the results among all.
    """

    calculation: Calculation
    inputs: tuple[int, ...]
    places: tuple[int, ...]


def split_calculation(calculation: Calculation) -> list[IndependentPart]:
    """Part a calculation as finely as its results allow."""
    filled_by = {register: step for step in calculation.steps for register in step.filled}
    groups: list[tuple[list[int], set[int], set[int]]] = []
    for place, result in enumerate(calculation.results):
        places, steps, inputs = [place], set[int](), set[int]()
        _follow(result, filled_by, calculation.n_inputs, steps, inputs)
        shared = [group for group in groups if not steps.isdisjoint(group[1])]
        for group in shared:
            places, steps, inputs = group[0] + places, steps | group[1], inputs | group[2]
            groups.remove(group)
        groups.append((places, steps, inputs))
    return [
        IndependentPart(
            replace(
                calculation,
                steps=[step for step in calculation.steps if step.first in steps],
                results=[calculation.results[place] for place in places],
            ),
            tuple(sorted(inputs)),
            tuple(places),
        )
        for places, steps, inputs in groups
    ]


def _follow(
    result: int,
    filled_by: dict[int, CalculationStep],
    n_inputs: int,
    steps: set[int],
    inputs: set[int],
) -> None:
    """Add the steps, by their first registers, and the inputs that a result needs."""
    waiting = [result]
    while waiting:
        register = waiting.pop()
        if register < n_inputs:
            inputs.add(register)
        elif (step := filled_by.get(register)) is not None and step.first not in steps:
            steps.add(step.first)
            for operand in step.operands:
                waiting += operand.tolist()
