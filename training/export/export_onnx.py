"""A fitted model as the ONNX file that the service loads.

The graph, from its inputs to its output (`zeroskew.contract.manifest` states the contract):

    request (float64) -> request-time functions -> float32 --+
    features (float32) --------------------------------------+-> double -> the model -> scores
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx

from training.families.model_family import Estimator, ExportError
from zeroskew.features.onnx_graph import GraphBuilder
from zeroskew.features.request_function import RequestFunction
from zeroskew.features.trace_request_time import OPSET, trace_request_function

__all__ = ["MATRIX", "export_onnx", "serialize_model"]

MATRIX: Final = "matrix"
"""Name of the float32 matrix ``(n, n_features)`` in a graph with request-time functions."""

_COMPUTED: Final = "request_features"
_ML_OPSET: Final = 5
_IR_VERSION: Final = 10
_PRODUCER: Final = "zeroskew"


def export_onnx(
    estimator: Estimator,
    *,
    n_columns: int,
    request_inputs: Sequence[str] = (),
    request_functions: Sequence[RequestFunction] = (),
) -> onnx.ModelProto:
    """Export a fitted model to ONNX; equal arguments give equal bytes.

    Parameters
    ----------
    estimator : Estimator
        The model.
    n_columns : int
        Width of the ``features`` input: the model's first columns.
    request_inputs : sequence of str, optional
        Names of the columns of the ``request`` input.
    request_functions : sequence of RequestFunction, optional
        Functions that compute the model's last columns, in order, from `request_inputs`.

    Returns
    -------
    onnx.ModelProto
        Inputs ``features`` float32 ``(n, n_columns)`` and, with `request_inputs` only,
        ``request`` float64 ``(n, len(request_inputs))``; output ``scores`` float64 ``(n,)``,
        or ``(n, n_classes)`` for multiclass objectives; with `request_functions` also
        ``request_features`` float32 ``(n, n_computed)``, what they computed. Every float32 is
        a valid feature: NaN, infinities and values that are no category code do as in the
        estimator itself.

    Raises
    ------
    ExportError
        If the model has no such graph, or the columns do not add up.
    RequestFunctionError
        If a request-time function cannot be traced, or its trace computes other bits.
    """
    _check_columns(estimator.n_features, n_columns, request_inputs, request_functions)
    graph = GraphBuilder()
    matrix = _add_request_functions(graph, request_inputs, request_functions)
    values = graph.add("Cast", matrix, to=onnx.TensorProto.DOUBLE)
    scores = estimator.add_scores(graph, values)
    if estimator.n_outputs == 1:
        graph.add("Reshape", scores, graph.constant([-1], np.int64), output="scores")
    else:
        graph.add("Identity", scores, output="scores")
    n_computed = estimator.n_features - n_columns
    return _make_model(graph, n_columns, len(request_inputs), n_computed, estimator.n_outputs)


def serialize_model(model: onnx.ModelProto) -> bytes:
    """Return a model's bytes after ONNX's own checks; equal models give equal bytes.

    Parameters
    ----------
    model : onnx.ModelProto
        What `export_onnx` returned.

    Returns
    -------
    bytes
        The content of ``model.onnx``.

    Raises
    ------
    onnx.checker.ValidationError
        If the model is not valid ONNX.
    """
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def _check_columns(
    n_features: int,
    n_columns: int,
    request_inputs: Sequence[str],
    request_functions: Sequence[RequestFunction],
) -> None:
    if n_columns < 1:
        raise ExportError(f"Got n_columns={n_columns}, but expected at least one.")
    if bool(request_inputs) != bool(request_functions):
        raise ExportError(
            f"Got {len(request_inputs)} request inputs and {len(request_functions)} request "
            "functions, but expected both or neither."
        )
    for function in request_functions:
        if unknown := sorted(set(function.input_names) - set(request_inputs)):
            raise ExportError(
                f"Got inputs {unknown} of request-time function {function.name!r}, "
                f"but expected some of {list(request_inputs)}."
            )
    width = n_columns + sum(len(function.output_names) for function in request_functions)
    if width != n_features:
        raise ExportError(
            f"Got {n_columns} columns and {width - n_columns} request-time columns, "
            f"but expected {n_features} together."
        )


def _add_request_functions(
    graph: GraphBuilder, request_inputs: Sequence[str], functions: Sequence[RequestFunction]
) -> str:
    """Put what the functions compute behind the features; return the matrix of both."""
    if not functions:
        return "features"
    computed = [
        column
        for function in functions
        for column in _add_request_function(graph, function, request_inputs)
    ]
    graph.add("Concat", *computed, axis=1, output=_COMPUTED)
    return graph.add("Concat", "features", _COMPUTED, axis=1, output=MATRIX)


def _add_request_function(
    graph: GraphBuilder, function: RequestFunction, request_inputs: Sequence[str]
) -> list[str]:
    """Splice in a trace and return its outputs as float32 columns ``(n, 1)``."""
    prefix = f"{function.name}/"
    traced = onnx.compose.add_prefix(trace_request_function(function), prefix)
    for name in function.input_names:
        column = graph.constant(request_inputs.index(name), np.int64)
        graph.add("Gather", "request", column, axis=1, output=prefix + name)
    graph.nodes.extend(traced.graph.node)
    graph.initializers.extend(traced.graph.initializer)
    shape = graph.constant([-1, 1], np.int64)
    columns = [graph.add("Reshape", prefix + name, shape) for name in function.output_names]
    return [graph.add("Cast", column, to=onnx.TensorProto.FLOAT) for column in columns]


def _make_model(
    graph: GraphBuilder, n_columns: int, n_request_inputs: int, n_computed: int, n_outputs: int
) -> onnx.ModelProto:
    value = onnx.helper.make_tensor_value_info
    inputs = [value("features", onnx.TensorProto.FLOAT, ["n", n_columns])]
    if n_request_inputs:
        inputs.append(value("request", onnx.TensorProto.DOUBLE, ["n", n_request_inputs]))
    shape = ["n"] if n_outputs == 1 else ["n", n_outputs]
    outputs = [value("scores", onnx.TensorProto.DOUBLE, shape)]
    if n_computed:
        outputs.append(value(_COMPUTED, onnx.TensorProto.FLOAT, ["n", n_computed]))
    opset = onnx.helper.make_opsetid
    return onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "model", inputs, outputs, graph.initializers),
        opset_imports=[opset("", OPSET), opset("ai.onnx.ml", _ML_OPSET)],
        ir_version=_IR_VERSION,
        producer_name=_PRODUCER,
    )
