"""A fitted LightGBM model as the ONNX file that the service loads.

The graph, from its inputs to its output (`zeroskew.contract.manifest` states the contract):

    request (float64) -> request-time functions -> float32 --+
    features (float32) --------------------------------------+-> double -> trees
        -> division by the iterations (rf) -> the objective's output transform -> scores

Ordinary operators compute the output transform, never the ensemble's own post transform,
whose results differ between runtimes (onnxruntime issues 24862, 26596, 27533 and 28557).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final

import lightgbm as lgb
import numpy as np
import onnx

from training.families.lightgbm.model_text import TextModel, parse_model_text
from training.families.lightgbm.tree_ensemble import add_tree_ensemble
from zeroskew.contract.errors.project import TrainingError
from zeroskew.features.onnx_graph import GraphBuilder
from zeroskew.features.request_function import RequestFunction
from zeroskew.features.trace_request_time import OPSET, trace_request_function

__all__ = ["MATRIX", "ExportError", "export_onnx", "read_model", "serialize_model"]

MATRIX: Final = "matrix"
"""Name of the float32 matrix ``(n, n_features)`` in a graph with request-time functions."""

_COMPUTED: Final = "request_features"
_ML_OPSET: Final = 5
_IR_VERSION: Final = 10
_PRODUCER: Final = "zeroskew"

_Transform = Callable[[GraphBuilder, TextModel, str], str]


class ExportError(TrainingError):
    """A model cannot be exported."""


def export_onnx(
    booster: lgb.Booster | str,
    *,
    n_columns: int,
    request_inputs: Sequence[str] = (),
    request_functions: Sequence[RequestFunction] = (),
) -> onnx.ModelProto:
    """Export a LightGBM model to ONNX.

    Equal arguments give equal bytes. Of an early-stopped booster the trees up to its best
    iteration are exported, which are those that ``Booster.predict`` uses; of a text, all.

    Parameters
    ----------
    booster : lightgbm.Booster or str
        The model, or its text as ``model_to_string`` returns it.
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
        a valid feature: NaN, infinities and values that are no category code do as in
        LightGBM.

    Raises
    ------
    ExportError
        If the objective is unknown or custom, or the columns do not add up.
    ModelTextError
        If the text is incomplete or holds linear trees.
    RequestFunctionError
        If a request-time function cannot be traced, or its trace computes other bits.
    """
    model = read_model(booster)
    transform = _transform_of(model)
    _check_columns(model, n_columns, request_inputs, request_functions)
    graph = GraphBuilder()
    matrix = "features"
    if request_functions:
        computed = [
            column
            for function in request_functions
            for column in _add_request_function(graph, function, request_inputs)
        ]
        graph.add("Concat", *computed, axis=1, output=_COMPUTED)
        matrix = graph.add("Concat", matrix, _COMPUTED, axis=1, output=MATRIX)
    values = graph.add("Cast", matrix, to=onnx.TensorProto.DOUBLE)
    raw = add_tree_ensemble(graph, model, values)
    if model.averages_trees:
        raw = graph.add("Div", raw, graph.constant(model.n_iterations, np.float64))
    scores = transform(graph, model, raw)
    if model.n_outputs == 1:
        graph.add("Reshape", scores, graph.constant([-1], np.int64), output="scores")
    else:
        graph.add("Identity", scores, output="scores")
    n_computed = model.n_features - n_columns
    return _make_model(graph, n_columns, len(request_inputs), n_computed, model.n_outputs)


def read_model(booster: lgb.Booster | str) -> TextModel:
    """Parse a booster, or a model text, as `export_onnx` does.

    The text is the model. It rounds the objective's ``sigmoid`` to six digits, and so does a
    booster that ``lightgbm.train`` returned, unless it was told to ``keep_training_booster``.
    """
    return parse_model_text(booster if isinstance(booster, str) else booster.model_to_string())


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
    model: TextModel,
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
    if width != model.n_features:
        raise ExportError(
            f"Got {n_columns} columns and {width - n_columns} request-time columns, "
            f"but expected {model.n_features} together."
        )


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


def _transform_of(model: TextModel) -> _Transform:
    if model.objective is None:
        raise ExportError(
            "Got a model without an objective (a custom objective function), "
            f"but expected one of {', '.join(sorted(_TRANSFORMS))}."
        )
    if model.objective not in _TRANSFORMS:
        raise ExportError(
            f"Got objective {model.objective!r}, "
            f"but expected one of {', '.join(sorted(_TRANSFORMS))}."
        )
    transform, known = _TRANSFORMS[model.objective]
    if unknown := sorted(set(model.objective_options) - known):
        raise ExportError(
            f"Got options {unknown} of objective {model.objective!r}, "
            f"but expected {sorted(known) or 'none'}."
        )
    n_classes = int(model.objective_options.get("num_class", 1))
    if n_classes != model.n_outputs:
        raise ExportError(
            f"Got {model.n_outputs} trees an iteration for objective {model.objective!r}, "
            f"but expected {n_classes}."
        )
    return transform


def _identity_or_square(graph: GraphBuilder, model: TextModel, raw: str) -> str:
    """x, or x·|x| where the model was trained on square roots (``reg_sqrt``)."""
    if "sqrt" not in model.objective_options:
        return raw
    return graph.add("Mul", raw, graph.add("Abs", raw))


def _identity(graph: GraphBuilder, model: TextModel, raw: str) -> str:  # noqa: ARG001 -- a _Transform
    return raw


def _same_alone_and_in_a_batch(graph: GraphBuilder, op_type: str, values: str) -> str:
    """Apply an elementwise op so that a row's bits do not depend on the rows beside it.

    onnxruntime computes Exp and Log of doubles in vector registers and what is left over at
    the end by the C library, which differs in the last bit (onnxruntime 1.32: one row alone
    differs from a batch in a tenth of all cases). Eight copies of each value fill every
    register, so that all values take the same way.
    """
    axis = graph.constant([-1], np.int64)
    copies = graph.add(
        "Mul", graph.add("Unsqueeze", values, axis), graph.constant(np.ones(8), np.float64)
    )
    return graph.add("Gather", graph.add(op_type, copies), graph.constant(0, np.int64), axis=-1)


def _exponential(graph: GraphBuilder, model: TextModel, raw: str) -> str:  # noqa: ARG001 -- a _Transform
    return _same_alone_and_in_a_batch(graph, "Exp", raw)


def _softmax(graph: GraphBuilder, model: TextModel, raw: str) -> str:
    """exp(x - max) over its sum, added class by class so that the order never changes."""
    largest = graph.add("ReduceMax", raw, graph.constant([1], np.int64))
    exponential = _same_alone_and_in_a_batch(graph, "Exp", graph.add("Sub", raw, largest))
    classes = [
        graph.add("Gather", exponential, graph.constant([k], np.int64), axis=1)
        for k in range(model.n_outputs)
    ]
    total = functools.reduce(lambda left, right: graph.add("Add", left, right), classes)
    return graph.add("Div", exponential, total)


def _sigmoid(graph: GraphBuilder, model: TextModel, raw: str) -> str:
    """1 / (1 + exp(-sigmoid·x)), a class at a time: LightGBM does not normalise classes.

    Written out, because onnxruntime's ``Sigmoid`` is not relatively exact: 5e-8 off at -20,
    and 0 from -40 on.
    """
    slope = float(model.objective_options.get("sigmoid", "1"))
    one = graph.constant(1.0, np.float64)
    scaled = graph.add("Mul", raw, graph.constant(-slope, np.float64))
    exponential = _same_alone_and_in_a_batch(graph, "Exp", scaled)
    return graph.add("Div", one, graph.add("Add", exponential, one))


def _softplus(graph: GraphBuilder, model: TextModel, raw: str) -> str:  # noqa: ARG001 -- a _Transform
    """log1p(e) with e = exp(x), after Kahan: log(u)·e/(u - 1) with u = 1 + e, and e if u = 1.

    ONNX has no log1p, and log(1 + e) alone loses all digits of a small e. Above 2**60, where
    e/(u - 1) is 1 or overflows, the quotient is left out.
    """
    one = graph.constant(1.0, np.float64)
    exponential = _same_alone_and_in_a_batch(graph, "Exp", raw)
    shifted = graph.add("Add", exponential, one)
    quotient = graph.add("Div", exponential, graph.add("Sub", shifted, one))
    is_moderate = graph.add("Less", exponential, graph.constant(2.0**60, np.float64))
    correction = graph.add("Where", is_moderate, quotient, one)
    corrected = graph.add("Mul", _same_alone_and_in_a_batch(graph, "Log", shifted), correction)
    return graph.add("Where", graph.add("Equal", shifted, one), exponential, corrected)


_TRANSFORMS: Final[dict[str, tuple[_Transform, frozenset[str]]]] = {
    "regression": (_identity_or_square, frozenset({"sqrt"})),
    "regression_l1": (_identity_or_square, frozenset({"sqrt"})),
    "quantile": (_identity_or_square, frozenset({"sqrt"})),
    "mape": (_identity_or_square, frozenset({"sqrt"})),
    "fair": (_identity_or_square, frozenset({"sqrt"})),
    "huber": (_identity, frozenset()),
    "poisson": (_exponential, frozenset()),
    "gamma": (_exponential, frozenset()),
    "tweedie": (_exponential, frozenset()),
    "binary": (_sigmoid, frozenset({"sigmoid"})),
    "cross_entropy": (_sigmoid, frozenset()),
    "cross_entropy_lambda": (_softplus, frozenset()),
    "multiclass": (_softmax, frozenset({"num_class"})),
    "multiclassova": (_sigmoid, frozenset({"num_class", "sigmoid"})),
    "lambdarank": (_identity, frozenset()),
    "rank_xendcg": (_identity, frozenset()),
}
"""For each objective its output transform and the options that its text may carry."""


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
