"""A calculation's steps one register at a time, with products and polynomials taken together.

What is taken together is rounded as before, step by step; only looking up what to do next is saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from zeroskew.model.graph.calculation import Calculation
from zeroskew.model.graph.operators import OPERATORS

__all__ = [
    "MULTIPLY_ADD",
    "MULTIPLY_SUBTRACT",
    "POLYNOMIAL",
    "SUBTRACT_PRODUCT",
    "Instruction",
    "list_instructions",
]

MULTIPLY_ADD: Final = "x * y + z"
MULTIPLY_SUBTRACT: Final = "x * y - z"
SUBTRACT_PRODUCT: Final = "z - x * y"
POLYNOMIAL: Final = "(x * y + c) * y + ..."
"""By Horner's rule; the constants, in their order, are the instruction's ``coefficients``."""


class Instruction(NamedTuple):
    """One operator over registers."""

    operator: str
    operands: tuple[int, ...]
    result: int
    coefficients: tuple[float, ...] = ()


def list_instructions(calculation: Calculation) -> tuple[list[Instruction], list[int]]:
    """Return what fills registers, in order, and the registers of the results."""
    instructions, same = _list_single(calculation)
    results = [same.get(register, register) for register in calculation.results]
    instructions = _take_products_in(instructions, results)
    return _take_polynomials_in(instructions, results, calculation.constants), results


def _list_single(calculation: Calculation) -> tuple[list[Instruction], dict[int, int]]:
    """Return an instruction for each register, and which registers are the same as others."""
    instructions: list[Instruction] = []
    seen: dict[tuple[object, ...], int] = {}
    same: dict[int, int] = {}
    for step in calculation.steps:
        rows = zip(*(operand.tolist() for operand in step.operands), strict=True)
        for result, row in enumerate(rows, step.first):
            operands = tuple(same.get(one, one) for one in row)
            commutes = step.operator in OPERATORS and OPERATORS[step.operator].commutes
            key = (step.operator, *(sorted(operands) if commutes else operands))
            if key in seen:
                same[result] = seen[key]
            else:
                seen[key] = result
                instructions.append(Instruction(step.operator, operands, result))
    return instructions, same


def _take_products_in(
    instructions: Sequence[Instruction], results: Sequence[int]
) -> list[Instruction]:
    """Let sums and differences compute the product that nothing else needs."""
    uses = _count_uses(instructions, results)
    products = {
        one.result: one for one in instructions if one.operator == "Mul" and uses[one.result] == 1
    }
    taken: set[int] = set()
    made = []
    for one in instructions:
        if one.operator in {"Add", "Sub"} and (
            product := products.get(one.operands[0]) or products.get(one.operands[1])
        ):
            is_first = one.operands[0] == product.result
            other = one.operands[is_first]
            operator = MULTIPLY_ADD
            if one.operator == "Sub":
                operator = MULTIPLY_SUBTRACT if is_first else SUBTRACT_PRODUCT
            taken.add(product.result)
            made.append(Instruction(operator, (*product.operands, other), one.result))
        else:
            made.append(one)
    return [one for one in made if one.result not in taken]


def _take_polynomials_in(
    instructions: Sequence[Instruction],
    results: Sequence[int],
    constants: dict[int, float | bool],
) -> list[Instruction]:
    """Take steps of Horner's rule together that follow each other."""
    uses = _count_uses(instructions, results)
    made: dict[int, Instruction] = {}
    for one in instructions:
        if one.operator == MULTIPLY_ADD and one.operands[2] in constants:
            first, second, constant = one.operands
            coefficients: tuple[float, ...] = (float(constants[constant]),)
            operands = (first, second)
            for value, point in ((first, second), (second, first)):
                before = made.get(value)
                if uses[value] == 1 and before is not None and _is_polynomial_in(before, point):
                    del made[value]
                    start = before.operands[before.operands[0] == point]
                    operands, coefficients = (start, point), before.coefficients + coefficients
                    break
            made[one.result] = Instruction(POLYNOMIAL, operands, one.result, coefficients)
        else:
            made[one.result] = one
    return list(made.values())


def _is_polynomial_in(one: Instruction, point: int) -> bool:
    """Tell whether it is one; while it has a single product, either factor may be the point."""
    if one.operator != POLYNOMIAL:
        return False
    return one.operands[1] == point or (len(one.coefficients) == 1 and one.operands[0] == point)


def _count_uses(instructions: Iterable[Instruction], results: Sequence[int]) -> Counter[int]:
    uses = Counter(results)
    for one in instructions:
        uses.update(one.operands)
    return uses
