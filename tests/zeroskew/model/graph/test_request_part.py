"""What is computed of a request is the runtime's, to the bit, in whatever way it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.model.graph.graph_reader import read_graph
from zeroskew.model.graph.graph_split import split_graph
from zeroskew.model.graph.request_part import RequestPart
from zeroskew.model.model_session import ModelSession, open_session

N_FEATURES = 2
SPECIAL = (0.0, -0.0, 1.0, -1.5, 2.5, np.nan, np.inf, -np.inf, 5e-324, 1e300, -3.5e38, 2.0**53)

BINARY = ("Add", "Sub", "Mul", "Div")
UNARY = ("Neg", "Abs", "Floor", "Ceil", "Sqrt")
COMPARING = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")
LOGICAL = ("And", "Or", "Xor")


class Drawing:
    """A graph in the making; every value is float64 ``(n,)``."""

    def __init__(self, n_inputs: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.n_inputs = n_inputs
        self.values = [
            self.add("Gather", "request", self.constant(place, np.int64), axis=1)
            for place in range(n_inputs)
        ]

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(onnx.numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def finish(self, results: Sequence[str]) -> bytes:
        """Return a model whose score is the sum of all features that are not NaN."""
        shape = self.constant([-1, 1], np.int64)
        columns = [self.add("Reshape", result, shape) for result in results]
        narrow = [self.add("Cast", column, to=TensorProto.FLOAT) for column in columns]
        self.add("Concat", *narrow, axis=1, output="request_features")
        self.add("Concat", "features", "request_features", axis=1, output="matrix")
        wide = self.add("Cast", "matrix", to=TensorProto.DOUBLE)
        known = self.add("Where", self.add("IsNaN", wide), self.constant(0.0), wide)
        self.add("ReduceSum", known, self.constant([1], np.int64), keepdims=0, output="scores")
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "model",
            [
                value("features", TensorProto.FLOAT, ["n", N_FEATURES]),
                value("request", TensorProto.DOUBLE, ["n", self.n_inputs]),
            ],
            [
                value("scores", TensorProto.DOUBLE, ["n"]),
                value("request_features", TensorProto.FLOAT, ["n", len(results)]),
            ],
            self.tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        serialized: bytes = model.SerializeToString()
        return serialized


def above_zero(draw: st.DrawFn, drawing: Drawing) -> str:
    size = drawing.add("Abs", draw(st.sampled_from(drawing.values)))
    return drawing.add("Add", size, drawing.constant(draw(st.floats(1e-3, 1e3))))


@st.composite
def drawings(draw: st.DrawFn) -> tuple[bytes, int, int]:
    """Draw a graph of what request-time functions consist of, with its widths."""
    drawing = Drawing(draw(st.integers(1, 4)))
    values = drawing.values
    # The runtime removes an added zero, and what is one in float32.
    number = st.sampled_from([x for x in SPECIAL if abs(x) > 1e-30]) | st.floats(1e-3, 1e3)

    def some() -> str:
        if draw(st.integers(0, 3)) == 0:
            return drawing.constant(draw(number))
        return draw(st.sampled_from(values))

    def polynomial() -> str:
        point, value = draw(st.sampled_from(values)), drawing.constant(draw(number))
        for _ in range(draw(st.integers(1, 4))):
            value = drawing.add("Mul", *draw(st.permutations([value, point])))
            value = drawing.add(
                "Add", *draw(st.permutations([value, drawing.constant(draw(number))]))
            )
        return value

    def choice() -> str:
        conditions = [
            drawing.add(draw(st.sampled_from(COMPARING)), draw(st.sampled_from(values)), some())
            for _ in range(2)
        ]
        condition = drawing.add(draw(st.sampled_from(LOGICAL)), *conditions)
        if draw(st.booleans()):
            condition = drawing.add("Not", condition)
        # Of a -0.0 the runtime's Where makes 0.0 or not: `trace_request_function` refuses that.
        return drawing.add("Where", condition, *(above_zero(draw, drawing) for _ in range(2)))

    def stack() -> str:
        """Go through rows that stand on each other: an operator on both, then one of them."""
        axis = drawing.constant([0], np.int64)
        rows = [drawing.add("Unsqueeze", draw(st.sampled_from(values)), axis) for _ in range(2)]
        both = drawing.add("Concat", *rows, axis=0)
        changed = drawing.add(draw(st.sampled_from(BINARY)), both, some())
        place = draw(st.integers(0, 1))
        if draw(st.booleans()):
            return drawing.add("Gather", changed, drawing.constant(place, np.int64), axis=0)
        start, end = (drawing.constant([one], np.int64) for one in (place, place + 1))
        return drawing.add("Squeeze", drawing.add("Slice", changed, start, end, axis), axis)

    makers: list[Callable[[], str]] = [
        lambda: drawing.add(draw(st.sampled_from(BINARY)), draw(st.sampled_from(values)), some()),
        lambda: drawing.add(draw(st.sampled_from(UNARY)), draw(st.sampled_from(values))),
        polynomial,
        choice,
        stack,
    ]
    for _ in range(draw(st.integers(1, 14))):
        values.append(draw(st.sampled_from(makers))())
    results = draw(st.lists(st.sampled_from(values[drawing.n_inputs :]), min_size=1, max_size=4))
    return drawing.finish(results), drawing.n_inputs, len(results)


def rows_of(n_rows: int, n_inputs: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    ordinary = rng.uniform(-1e3, 1e3, (n_rows, n_inputs))
    return np.where(
        rng.random((n_rows, n_inputs)) < 0.5, rng.choice(SPECIAL, ordinary.shape), ordinary
    )


def bits(values: NDArray[Any]) -> bytes:
    return np.where(np.isnan(values), np.nan, values).astype(values.dtype).tobytes()


@settings(max_examples=200)
@given(drawings(), st.integers(0, 2**32 - 1))
def test_the_interpreter_gives_the_runtimes_bits(drawn: tuple[bytes, int, int], seed: int) -> None:
    content, n_inputs, n_computed = drawn
    split = split_graph(read_graph(content), N_FEATURES + n_computed)
    assert split is not None
    session = open_session(split.request_part)
    part = RequestPart(split, session, n_inputs)
    request = rows_of(40, n_inputs, seed)
    (expected,) = session.run(None, {"request": request})
    assert not part.is_interpreted
    assert bits(part.compute(request[:3])) == bits(expected[:3])
    part.prepare(rows_of(4, n_inputs, seed + 1))
    assert part.is_interpreted
    for rows in (request[:1], request, request[:3], request[:1]):
        assert bits(part.compute(rows)) == bits(expected[: len(rows)])
    assert [bits(part.compute(row[None])) for row in request] == [bits(row) for row in expected]


def open_part(drawing: Drawing, *results: str) -> tuple[RequestPart, onnxruntime.InferenceSession]:
    split = split_graph(read_graph(drawing.finish(results)), N_FEATURES + len(results))
    assert split is not None
    session = open_session(split.request_part)
    part = RequestPart(split, session, drawing.n_inputs)
    part.prepare(np.zeros((1, drawing.n_inputs)))
    return part, session


@pytest.mark.parametrize(
    "operator", [*BINARY, *COMPARING, *UNARY, "IsNaN", "And", "Or", "Xor", "Not"]
)
def test_an_operator_is_interpreted(operator: str) -> None:
    drawing = Drawing(2)
    x, y = drawing.values
    if operator in {"And", "Or", "Xor", "Not"}:
        x, y = (drawing.add("Less", value, drawing.constant(1.0)) for value in (x, y))
    value = (
        drawing.add(operator, x)
        if operator in {*UNARY, "IsNaN", "Not"}
        else drawing.add(operator, x, y)
    )
    if operator not in {*BINARY, *UNARY}:
        value = drawing.add("Cast", value, to=TensorProto.DOUBLE)
    part, session = open_part(drawing, value)
    assert part.is_interpreted
    rows = np.array([(x, y) for x in SPECIAL for y in SPECIAL])
    (expected,) = session.run(None, {"request": rows})
    assert bits(np.concatenate([part.compute(row[None]) for row in rows])) == bits(expected)


def test_what_the_interpreter_does_not_know_is_the_runtimes() -> None:
    drawing = Drawing(1)
    part, session = open_part(drawing, drawing.add("Exp", drawing.values[0]))
    assert not part.is_interpreted
    row = np.array([[1.5]])
    assert bits(part.compute(row)) == bits(session.run(None, {"request": row})[0])


def test_rows_that_differ_in_the_sign_of_a_zero_are_kept_apart() -> None:
    drawing = Drawing(1)
    part, _ = open_part(drawing, drawing.add("Div", drawing.constant(1.0), drawing.values[0]))
    given_rows = [np.array([[zero]]) for zero in (0.0, -0.0, 0.0, -0.0)]
    assert [part.compute(row).item() for row in given_rows] == [np.inf, -np.inf] * 2


def test_results_stand_in_the_graphs_order_and_not_in_that_of_what_they_share() -> None:
    drawing = Drawing(2)
    x, y = drawing.values
    one, two = (drawing.constant(value) for value in (1.0, 2.0))
    square = drawing.add("Mul", x, x)
    part, _ = open_part(
        drawing,
        drawing.add("Add", square, one),
        drawing.add("Mul", y, two),
        drawing.add("Sub", square, two),
    )
    assert part.compute(np.array([[3.0, 5.0]])).tolist() == [[10.0, 10.0, 7.0]]


def test_more_rows_than_are_remembered_come_out_right() -> None:
    drawing = Drawing(1)
    part, _ = open_part(drawing, drawing.add("Mul", drawing.values[0], drawing.constant(2.0)))
    numbers = [*range(2_500), *range(2_500)]
    assert [part.compute(np.array([[float(x)]])).item() for x in numbers] == [
        2.0 * x for x in numbers
    ]


def test_a_graph_that_is_opened_in_parts_scores_as_the_whole_does() -> None:
    drawing = Drawing(2)
    content = drawing.finish([drawing.add("Div", *drawing.values)])
    session = ModelSession(content, n_features=N_FEATURES, n_request_inputs=2, n_request_features=1)
    session.prepare(np.zeros((1, 2)))
    whole = open_session(content)
    rng = np.random.default_rng(0)
    for n_rows in (0, 1, 3, 100):
        features = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
        request = rows_of(n_rows, 2, n_rows)
        feed = {"features": features, "request": request}
        scores, computed = whole.run(["scores", "request_features"], feed)
        assert bits(session.run(features, request)) == bits(scores)
        assert bits(session.compute_request_features(features, request)) == bits(computed)


@pytest.mark.parametrize("place", ["features", "request", "scores", "request_features"])
def test_a_type_that_is_declared_otherwise_is_refused(place: str) -> None:
    drawing = Drawing(2)
    model = onnx.load_from_string(drawing.finish([drawing.add("Div", *drawing.values)]))
    for value in (*model.graph.input, *model.graph.output):
        if value.name == place:
            value.type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(ModelRefusedError):
        ModelSession(
            model.SerializeToString(),
            n_features=N_FEATURES,
            n_request_inputs=2,
            n_request_features=1,
        )
