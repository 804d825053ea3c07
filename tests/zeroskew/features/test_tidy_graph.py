"""What a trace leaves behind goes, and what is computed stays, to the bit."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from zeroskew.features.onnx_graph import open_session
from zeroskew.features.tidy_graph import tidy_graph

X = np.array([-2.5, -0.0, 0.0, 1.5, np.nan, np.inf])


def constant(name: str, value: float | list[int]) -> onnx.NodeProto:
    values = np.array(value if isinstance(value, list) else [value])
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values))


def node(op_type: str, inputs: str, output: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], **attributes)


def model(*nodes: onnx.NodeProto, outputs: str = "y") -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "g",
        [value("x", TensorProto.DOUBLE, ["n"])],
        [value(name, TensorProto.DOUBLE, ["m"]) for name in outputs.split()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def evaluate(graph: onnx.ModelProto) -> list[np.ndarray]:
    return open_session(graph.SerializeToString()).run(None, {"x": X})


@pytest.mark.parametrize(
    ("given", "expected", "n_constants"),
    [
        # Equal constants are one, and so are the steps that have them.
        (
            model(
                constant("a", 2.0),
                constant("b", 2.0),
                node("Mul", "x a", "p"),
                node("Mul", "x b", "q"),
                node("Add", "p q", "y"),
            ),
            ["Mul", "Add"],
            1,
        ),
        # Zeros of two signs are two constants.
        (
            model(
                constant("a", 0.0),
                constant("b", -0.0),
                node("Mul", "x a", "p"),
                node("Div", "p b", "y"),
            ),
            ["Mul", "Div"],
            2,
        ),
        # What is handed on goes, also at the end; what nothing needs, too.
        (
            model(
                constant("a", 3.0),
                node("Identity", "x", "same"),
                node("Sub", "same a", "p"),
                node("Abs", "p", "unused"),
                node("Identity", "p", "y"),
            ),
            ["Sub"],
            1,
        ),
        # Outputs that are the same, an input, or a constant keep their names.
        (
            model(
                constant("z", 7.0),
                node("Abs", "x", "p"),
                node("Abs", "x", "q"),
                node("Identity", "p", "y"),
                node("Identity", "q", "w"),
                node("Identity", "x", "v"),
                outputs="y w v z",
            ),
            ["Constant", "Abs", "Identity", "Identity"],
            0,
        ),
        # What has several results stays, and so do those that are asked for of it.
        (
            model(
                constant("k", [1]),
                helper.make_node("TopK", ["x", "k"], ["most", "place"]),
                helper.make_node("TopK", ["x", "k"], ["y", "unasked"]),
                helper.make_node("Cast", ["place"], ["w"], to=TensorProto.DOUBLE),
                outputs="y w",
            ),
            ["TopK", "TopK", "Cast"],
            1,
        ),
        # Attributes make a difference.
        (
            model(
                node("Cast", "x", "p", to=TensorProto.FLOAT),
                node("Cast", "x", "q", to=TensorProto.DOUBLE),
                node("Cast", "p", "r", to=TensorProto.DOUBLE),
                node("Sub", "q r", "y"),
            ),
            ["Cast", "Cast", "Cast", "Sub"],
            0,
        ),
        # The order of operands, too.
        (
            model(
                constant("a", 2.0),
                node("Sub", "x a", "p"),
                node("Sub", "a x", "q"),
                node("Mul", "p q", "y"),
            ),
            ["Sub", "Sub", "Mul"],
            1,
        ),
    ],
)
def test_a_tidy_graph_has_fewer_nodes_and_computes_the_same(
    given: onnx.ModelProto, expected: list[str], n_constants: int
) -> None:
    before = given.SerializeToString()
    tidy = tidy_graph(given)
    assert given.SerializeToString() == before
    onnx.checker.check_model(tidy, full_check=True)
    assert [one.op_type for one in tidy.graph.node] == expected
    assert len(tidy.graph.initializer) == n_constants
    for got, wanted in zip(evaluate(tidy), evaluate(given), strict=True):
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))
