"""From the sum of the leaves to the score, as LightGBM's objectives define it.

Ordinary operators compute it, never the ensemble's own post transform, whose results differ
between runtimes (onnxruntime issues 24862, 26596, 27533 and 28557).
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np

from training.families.lightgbm.model_text import TextModel
from training.families.model_family import ExportError
from zeroskew.declarations.objective_table import OBJECTIVE_TABLE, Objective, Transform
from zeroskew.features.onnx_graph import GraphBuilder

__all__ = ["add_transform", "find_objective"]

_OPTIONS: Final = {"reg_sqrt": "sqrt", "sigmoid": "sigmoid", "num_class": "num_class"}
"""What a model text calls the parameters that its objective is written with."""


def find_objective(model: TextModel) -> Objective:
    """Return the objective that a model text names.

    Raises
    ------
    ExportError
        If it is none of LightGBM's own, or is written with what its transform does not read.
    """
    if model.objective is None:
        raise ExportError(
            "Got a model without an objective (a custom objective function), "
            f"but expected one of {', '.join(sorted(OBJECTIVE_TABLE))}."
        )
    if model.objective not in OBJECTIVE_TABLE:
        raise ExportError(
            f"Got objective {model.objective!r}, "
            f"but expected one of {', '.join(sorted(OBJECTIVE_TABLE))}."
        )
    objective = OBJECTIVE_TABLE[model.objective]
    known = {_OPTIONS[name] for name in objective.parameters if name in _OPTIONS}
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
    return objective


def add_transform(graph: GraphBuilder, model: TextModel, raw: str) -> str:
    """Append the objective's transform and return the name of the scores.

    Parameters
    ----------
    raw : str
        Name of the sums of leaves, float64 ``(n_rows, n_outputs)``; the scores are alike.

    Raises
    ------
    ExportError
        As of `find_objective`.
    """
    return _TRANSFORMS[find_objective(model).transform](graph, model, raw)


def _sum(graph: GraphBuilder, model: TextModel, raw: str) -> str:
    """x, or x·|x| where the model was trained on square roots (``reg_sqrt``)."""
    if "sqrt" not in model.objective_options:
        return raw
    return graph.add("Mul", raw, graph.add("Abs", raw))


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


def _exponential(graph: GraphBuilder, model: TextModel, raw: str) -> str:  # noqa: ARG001 -- as all transforms
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


def _softplus(graph: GraphBuilder, model: TextModel, raw: str) -> str:  # noqa: ARG001 -- as all transforms
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


_TRANSFORMS: Final = {
    Transform.SUM: _sum,
    Transform.EXPONENTIAL: _exponential,
    Transform.SIGMOID: _sigmoid,
    Transform.SOFTPLUS: _softplus,
    Transform.SOFTMAX: _softmax,
}
