"""Numbers that note what is calculated with them: the cells that an on-demand view is run on."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zeroskew.contract.errors.project import TrainingError
from zeroskew.features.onnx_graph import GraphBuilder

__all__ = ["Symbol", "SymbolError"]


class SymbolError(TrainingError, TypeError):
    """Something was asked of a symbol that depends on its value, or that no graph does."""


class Symbol:
    """A float64 of a graph in the making.

    Parameters
    ----------
    graph
        Collects the operators.
    name
        The value's name in the graph.
    """

    # A number of numpy then leaves the operation to this class.
    __array_ufunc__ = None

    def __init__(self, graph: GraphBuilder, name: str) -> None:
        self._graph = graph
        self.name = name

    def __add__(self, other: object) -> Symbol:
        return self._make("Add", self, other)

    def __radd__(self, other: object) -> Symbol:
        return self._make("Add", other, self)

    def __sub__(self, other: object) -> Symbol:
        return self._make("Sub", self, other)

    def __rsub__(self, other: object) -> Symbol:
        return self._make("Sub", other, self)

    def __mul__(self, other: object) -> Symbol:
        return self._make("Mul", self, other)

    def __rmul__(self, other: object) -> Symbol:
        return self._make("Mul", other, self)

    def __truediv__(self, other: object) -> Symbol:
        return self._make("Div", self, other)

    def __rtruediv__(self, other: object) -> Symbol:
        return self._make("Div", other, self)

    def __neg__(self) -> Symbol:
        return self._make("Neg", self)

    def __abs__(self) -> Symbol:
        return self._make("Abs", self)

    # What numpy asks the objects of an array for, as in `np.sqrt`.

    def sqrt(self) -> Symbol:
        """Return the square root."""
        return self._make("Sqrt", self)

    def __floor__(self) -> Symbol:
        return self._make("Floor", self)

    def __ceil__(self) -> Symbol:
        return self._make("Ceil", self)

    # What would need the value itself.

    def __bool__(self) -> bool:
        raise SymbolError("it branches on values")

    def __float__(self) -> float:
        raise SymbolError("it turns a value into a number of Python")

    def __hash__(self) -> int:
        raise SymbolError("it looks values up")

    def __eq__(self, _other: object) -> bool:
        raise SymbolError("it compares values")

    __lt__ = __le__ = __gt__ = __ge__ = __eq__

    def _make(self, operator: str, *operands: object) -> Symbol:
        names = [self._name_of(one) for one in operands]
        return Symbol(self._graph, self._graph.add(operator, *names))

    def _name_of(self, operand: Any) -> str:
        if isinstance(operand, Symbol):
            return operand.name
        if isinstance(operand, _NUMBERS) and float(operand) == operand:
            # One value for each row: the graph's inputs have a dimension.
            return self._graph.constant([float(operand)], np.float64)
        raise SymbolError(f"it calculates with {operand!r}"[:80])


_NUMBERS: Final = (bool, int, float, np.bool_, np.integer, np.floating)
