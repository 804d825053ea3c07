"""ONNX graphs in the making, and sessions that run them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

__all__ = ["GraphBuilder", "open_session"]


class GraphBuilder:
    """Collects nodes and constants, and names every value after its place.

    Names depend on nothing but the order of the calls, so equal calls give equal graphs.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its only output."""
        output = output or f"{op_type}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op_type, inputs, [output], output, **attributes))
        return output

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add an initializer and return its name."""
        name = f"constant_{len(self.initializers)}"
        array = np.asarray(values, dtype=dtype)
        self.initializers.append(onnx.numpy_helper.from_array(array, name))
        return name


def open_session(model: bytes) -> ort.InferenceSession:
    """Open a model in onnxruntime, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
