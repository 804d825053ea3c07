"""What the nodes of a request compute, as steps over registers that hold one value each.

Shapes are followed when the steps are made, for one row: stacking, slicing, reshaping and
broadcasting only say which registers a step reads, and cost nothing when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zeroskew.model.graph.graph_reader import Graph, Node, UnreadableGraphError
from zeroskew.model.graph.graph_split import REQUEST
from zeroskew.model.graph.operators import OPERATORS, Kind

__all__ = ["SELECT", "Calculation", "CalculationStep", "read_calculation"]

SELECT: Final = "Where"
"""The step that takes its second operand where the first is true, or its third."""

_DOUBLE, _FLOAT, _BOOL = 11, 1, 9
Registers: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CalculationStep:
    """One operator over several registers at a time.

    ``operands`` are int ``(size,)`` each; the results are as many registers from ``first`` on.
    """

    operator: str
    operands: tuple[Registers, ...]
    first: int

    @property
    def filled(self) -> range:
        """The registers of the results."""
        return range(self.first, self.first + self.operands[0].size)


@dataclass(eq=False)
class Calculation:
    """Steps in an order in which they can be run.

    Attributes
    ----------
    n_inputs
        The first registers hold the inputs.
    constants
        The registers that hold the same in all rows, and what.
    steps
        What fills the others.
    results
        The registers of what is computed.
    """

    n_inputs: int
    constants: dict[int, float | bool] = field(default_factory=dict)
    steps: list[CalculationStep] = field(default_factory=list)
    results: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Value:
    """A value of the graph for one row: its numbers if they are known, or registers of them."""

    known: NDArray[Any] | None = None
    registers: Registers | None = None
    is_narrow: bool = False
    """Whether it is float32: the last thing that happens to a computed feature."""

    @property
    def array(self) -> NDArray[Any]:
        array = self.registers if self.known is None else self.known
        assert array is not None
        return array


def read_calculation(
    graph: Graph, nodes: Sequence[Node], *, n_inputs: int, result: str
) -> Calculation | None:
    """Return what nodes compute from ``request``.

    Parameters
    ----------
    graph
        Has their constants.
    nodes
        In order.
    n_inputs
        How many columns ``request`` has.
    result
        The value ``(n, n_computed)``, float32, that they compute.

    Returns
    -------
    Calculation or None
        ``None`` where an operator is not among `OPERATORS`, or a shape depends on the rows.
    """
    reading = _Reading(graph, n_inputs)
    try:
        for node in nodes:
            reading.read(node)
        return reading.finish(result)
    except (UnreadableGraphError, LookupError, ValueError, TypeError):
        # What is not understood is computed by the runtime; nothing is lost but time.
        return None


class _Reading:
    def __init__(self, graph: Graph, n_inputs: int) -> None:
        self._graph = graph
        self._made = Calculation(n_inputs)
        self._kinds = [Kind.NUMBER] * n_inputs
        inputs = np.arange(n_inputs, dtype=np.intp).reshape(1, n_inputs)
        self._values = {REQUEST: _Value(registers=inputs)}
        self._constants: dict[tuple[Kind, bytes], int] = {}
        self._seen: dict[tuple[object, ...], int] = {}

    def read(self, node: Node) -> None:
        """Follow one node."""
        if node.domain not in {"", "ai.onnx"} or len(node.outputs) != 1:
            raise UnreadableGraphError(node.operator)
        given = [self._find(name) for name in node.inputs]
        if node.operator in OPERATORS or node.operator == SELECT:
            value = self._calculate(node.operator, given)
        elif node.operator == "Constant":
            value = _Value(known=node.attributes["value"])
        elif node.operator == "Cast":
            value = self._cast(given[0], node.attributes["to"])
        else:
            value = _SHAPES[node.operator](node, given)
        self._values[node.outputs[0]] = value

    def finish(self, result: str) -> Calculation:
        """Return the steps that the result needs."""
        value = self._values[result]
        if not value.is_narrow or value.registers is None or value.registers.shape[0] != 1:
            raise UnreadableGraphError(result)
        made = self._made
        made.results = value.registers[0].tolist()
        needed = set(made.results)
        steps = []
        for step in reversed(made.steps):
            if not needed.isdisjoint(step.filled):
                steps.append(step)
                needed.update(*(operand.tolist() for operand in step.operands))
        made.steps = steps[::-1]
        return made

    def _find(self, name: str) -> _Value:
        if name not in self._values:
            self._values[name] = _Value(known=self._graph.constant(name))
        return self._values[name]

    def _calculate(self, operator: str, given: Sequence[_Value]) -> _Value:
        if any(value.is_narrow for value in given):
            raise UnreadableGraphError(operator)
        operands = np.broadcast_arrays(*(self._registers(value) for value in given))
        gives = self._check_kinds(operator, operands)
        shape = operands[0].shape
        rows = tuple(operand.ravel() for operand in operands)
        key = (operator, *(row.tobytes() for row in rows))
        if key not in self._seen:
            first = self._seen[key] = len(self._kinds)
            self._kinds += [gives] * rows[0].size
            self._made.steps.append(CalculationStep(operator, rows, first))
        first = self._seen[key]
        return _Value(
            registers=np.arange(first, first + rows[0].size, dtype=np.intp).reshape(shape)
        )

    def _check_kinds(self, operator: str, operands: Sequence[Registers]) -> Kind:
        found = [{self._kinds[one] for one in operand.flat} for operand in operands]
        if operator == SELECT:
            condition, first, second = found
            if condition == {Kind.TRUTH} and first == second == {Kind.NUMBER}:
                return Kind.NUMBER
        elif all(kinds == {OPERATORS[operator].takes} for kinds in found):
            return OPERATORS[operator].gives
        raise UnreadableGraphError(operator)

    def _cast(self, value: _Value, to: int) -> _Value:
        if value.is_narrow:
            raise UnreadableGraphError("Cast")
        if value.known is not None:
            return _Value(known=value.known.astype({_DOUBLE: "<f8", _BOOL: "?"}[to]))
        assert value.registers is not None
        kinds = {self._kinds[one] for one in value.registers.flat}
        if to == _FLOAT and kinds == {Kind.NUMBER}:
            return _Value(registers=value.registers, is_narrow=True)
        if (to == _DOUBLE and kinds == {Kind.NUMBER}) or (to == _BOOL and kinds == {Kind.TRUTH}):
            return value
        one, zero = _Value(known=np.array(1.0)), _Value(known=np.array(0.0))
        if to == _DOUBLE and kinds == {Kind.TRUTH}:
            return self._calculate(SELECT, [value, one, zero])
        raise UnreadableGraphError("Cast")

    def _registers(self, value: _Value) -> Registers:
        """Return the registers of a value; one for each constant that it has."""
        if value.registers is not None:
            return value.registers
        known = value.array
        kind = {np.dtype("<f8"): Kind.NUMBER, np.dtype("?"): Kind.TRUTH}.get(known.dtype)
        if kind is None:
            raise UnreadableGraphError("A whole number is calculated with.")
        found = [self._constant(kind, one) for one in known.ravel()]
        return np.array(found, np.intp).reshape(known.shape)

    def _constant(self, kind: Kind, value: Any) -> int:
        key = (kind, value.tobytes())
        if key not in self._constants:
            self._constants[key] = len(self._kinds)
            self._made.constants[len(self._kinds)] = value.item()
            self._kinds.append(kind)
        return self._constants[key]


def _reshaped(value: _Value, array: NDArray[Any]) -> _Value:
    if value.known is not None:
        return _Value(known=array)
    return _Value(registers=array, is_narrow=value.is_narrow)


def _whole(given: Sequence[_Value], place: int, default: Any = None) -> Any:
    """Return a constant operand of whole numbers."""
    if place >= len(given):
        return default
    known = given[place].known
    if known is None or known.dtype != np.dtype("<i8"):
        raise UnreadableGraphError("A shape depends on the rows.")
    return known


def _identity(node: Node, given: Sequence[_Value]) -> _Value:  # noqa: ARG001 -- as all of them
    return given[0]


def _shape(node: Node, given: Sequence[_Value]) -> _Value:
    rank = given[0].array.ndim
    start, end = node.attributes.get("start", 0), node.attributes.get("end", rank)
    return _Value(known=np.array(given[0].array.shape[start:end], "<i8"))


def _concat(node: Node, given: Sequence[_Value]) -> _Value:
    if all(value.known is not None for value in given):
        return _Value(known=np.concatenate([value.array for value in given], _axis(node)))
    if any(value.known is not None or value.is_narrow != given[0].is_narrow for value in given):
        raise UnreadableGraphError("Concat")
    return _reshaped(given[0], np.concatenate([value.array for value in given], _axis(node)))


def _gather(node: Node, given: Sequence[_Value]) -> _Value:
    return _reshaped(given[0], given[0].array.take(_whole(given, 1), axis=_axis(node)))


def _slice(node: Node, given: Sequence[_Value]) -> _Value:  # noqa: ARG001 -- as all of them
    array = given[0].array
    starts, ends = _whole(given, 1), _whole(given, 2)
    axes = _whole(given, 3, range(len(starts)))
    steps = _whole(given, 4, [1] * len(starts))
    chosen = [slice(None)] * array.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise UnreadableGraphError("Slice")
        chosen[axis] = slice(int(start), int(end), int(step))
    return _reshaped(given[0], array[tuple(chosen)])


def _squeeze(node: Node, given: Sequence[_Value]) -> _Value:  # noqa: ARG001 -- as all of them
    axes = tuple(int(axis) for axis in _whole(given, 1))
    return _reshaped(given[0], given[0].array.squeeze(axes))


def _unsqueeze(node: Node, given: Sequence[_Value]) -> _Value:  # noqa: ARG001 -- as all of them
    axes = tuple(int(axis) for axis in _whole(given, 1))
    return _reshaped(given[0], np.expand_dims(given[0].array, axes))


def _reshape(node: Node, given: Sequence[_Value]) -> _Value:
    shape = _whole(given, 1)
    if (shape == 0).any() or node.attributes.get("allowzero"):
        raise UnreadableGraphError("Reshape")
    return _reshaped(given[0], given[0].array.reshape(shape))


def _expand(node: Node, given: Sequence[_Value]) -> _Value:  # noqa: ARG001 -- as all of them
    array = given[0].array
    shape = np.broadcast_shapes(array.shape, tuple(int(size) for size in _whole(given, 1)))
    return _reshaped(given[0], np.broadcast_to(array, shape))


def _axis(node: Node) -> int:
    return int(node.attributes.get("axis", 0))


_SHAPES: Final = {
    "Identity": _identity,
    "Shape": _shape,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Expand": _expand,
}
