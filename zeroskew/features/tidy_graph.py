"""Graphs without what a trace leaves behind: constants and steps that it has again and again."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

__all__ = ["tidy_graph"]


def tidy_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that computes the same, bit by bit, with fewer nodes.

    Each constant stands once, beside the nodes, and each step once; what hands a value on as it
    is, and what nothing needs, goes. Nothing is calculated in another order.

    Parameters
    ----------
    model
        Of operators that give the same for the same, and without subgraphs.
    """
    graph = model.graph
    outputs = {value.name for value in graph.output}
    tidy = _Tidying(graph.initializer, keeps=outputs)
    for node in graph.node:
        tidy.add(node)
    nodes = _name_outputs(tidy.nodes, outputs)
    nodes = _needed(nodes, outputs)
    used = {name for node in nodes for name in node.input}
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for repeated, left in (
        (made.graph.node, nodes),
        (made.graph.initializer, [one for one in tidy.constants if one.name in used]),
    ):
        del repeated[:]
        repeated.extend(left)
    return made


class _Tidying:
    """Collects nodes and constants, and knows which name stands for one that is gone.

    What is an output, or has several, stays as it is.
    """

    def __init__(self, constants: Iterable[onnx.TensorProto], *, keeps: set[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._keeps = keeps
        self._same: dict[str, str] = {}
        self._seen: dict[object, str] = {}
        for tensor in constants:
            self._add_constant(tensor, tensor.name)

    def add(self, node: onnx.NodeProto) -> None:
        """Take a node in, unless another does the same."""
        result = node.output[0]
        is_fixed = len(node.output) > 1 or result in self._keeps
        if node.op_type == "Constant" and node.attribute[0].name == "value" and not is_fixed:
            self._add_constant(node.attribute[0].t, result)
            return
        inputs = [self._same.get(name, name) for name in node.input]
        attributes = sorted(one.SerializeToString(deterministic=True) for one in node.attribute)
        key = (node.domain, node.op_type, *inputs, *attributes)
        same = inputs[0] if node.op_type == "Identity" else self._seen.get(key)
        if same is not None and not is_fixed:
            self._same[result] = same
            return
        self._seen.setdefault(key, result)
        made = onnx.NodeProto()
        made.CopyFrom(node)
        made.input[:] = inputs
        self.nodes.append(made)

    def _add_constant(self, tensor: onnx.TensorProto, name: str) -> None:
        values = onnx.numpy_helper.to_array(tensor)
        key = (values.dtype.str, values.shape, values.tobytes())
        if key in self._seen:
            self._same[name] = self._seen[key]
            return
        self._seen[key] = name
        self.constants.append(onnx.numpy_helper.from_array(values, name))


def _name_outputs(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Let what computes an output have its name, where it was only handed on to it."""
    makers = {name for node in nodes for name in node.output} - outputs
    names: dict[str, str] = {}
    left = []
    for node in nodes:
        source = node.input[0] if node.op_type == "Identity" else ""
        if source in makers and source not in names:
            names[source] = node.output[0]
        else:
            left.append(node)
    for node in left:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return left


def _needed(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs need, in their order."""
    wanted = set(outputs)
    left = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            left.append(node)
    return left[::-1]
