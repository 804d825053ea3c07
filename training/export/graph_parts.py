"""Exported graphs taken apart and put together anew."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

__all__ = ["cut_before", "replace_graph"]


def cut_before(model: bytes, matrix: str) -> bytes:
    """Drop what computes the value `matrix`, and make that the only input and scores the output.

    Returns `model` as it is where no node computes such a value.
    """
    proto = onnx.load_from_string(model)
    nodes = list(proto.graph.node)
    places = [place for place, node in enumerate(nodes) if matrix in node.output]
    if not places:
        return model
    matrix_input = onnx.helper.make_tensor_value_info(
        matrix, onnx.TensorProto.FLOAT, ["n", "n_features"]
    )
    scores = [output for output in proto.graph.output if output.name == "scores"]
    return replace_graph(proto, nodes[places[0] + 1 :], [matrix_input], scores)


def replace_graph(
    proto: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[onnx.ValueInfoProto],
) -> bytes:
    """Return a model with the nodes, inputs and outputs given, and the constants these need."""
    used = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in proto.graph.initializer if tensor.name in used]
    graph = onnx.helper.make_graph(nodes, proto.graph.name, inputs, outputs, constants)
    changed = onnx.helper.make_model(
        graph, opset_imports=proto.opset_import, ir_version=proto.ir_version
    )
    serialized: bytes = changed.SerializeToString()
    return serialized
