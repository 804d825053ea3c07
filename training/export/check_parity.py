"""The gate before the registry: an exported model against the predictions of the fitted one."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.export.export_onnx import MATRIX
from training.export.graph_parts import cut_before
from training.families.model_family import Estimator, ParityClass, Trees
from zeroskew.contract.errors.project import TrainingError
from zeroskew.features.onnx_graph import open_session
from zeroskew.features.request_function import RequestFunction
from zeroskew.features.trace_request_time import verification_rows

__all__ = ["ParityError", "ParityReport", "check_parity"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

N_ADVERSARIAL_ROWS: Final = 40_000
_CHUNK_ROWS: Final = 4096
_N_EXAMPLES: Final = 3


@dataclass(frozen=True)
class ParityReport:
    """What was compared and how far it differs.

    Attributes
    ----------
    n_rows, n_adversarial_rows : int
        Rows compared: given ones, and those that the estimator made.
    n_trees : int
        Trees whose leaves were compared on each of these rows; 0 of a model of another kind.
    n_rows_in_different_leaf : int
        Rows that reach another leaf than in the reference in at least one tree.
    max_relative_difference : float
        Largest ``|s - r| / max(|r|, small_value_floor)`` over all scores ``s`` and the
        reference's ``r``; 0 where both are the same infinity or NaN, infinite where only one is
        NaN or infinite.
    tolerance, small_value_floor : float
        Those of the estimator's `ParityClass`.
    seed : int
        Seed of the adversarial rows.
    """

    n_rows: int
    n_adversarial_rows: int
    n_trees: int
    n_rows_in_different_leaf: int
    max_relative_difference: float
    tolerance: float
    small_value_floor: float
    seed: int

    @property
    def passed(self) -> bool:
        """Whether all leaves agree and all scores are within the tolerance."""
        return self.n_rows_in_different_leaf == 0 and self.max_relative_difference <= self.tolerance

    def as_dict(self) -> dict[str, int | float | bool]:
        """Return the report as scalars, with ``passed``, for the manifest."""
        return {**asdict(self), "passed": self.passed}


class ParityError(TrainingError):
    """An exported model does not predict what the fitted one predicts.

    Attributes
    ----------
    report : ParityReport
        The comparison.
    examples : tuple of dict
        The first differing rows: ``row`` (the matrix row), ``expected`` and ``got`` scores and
        ``tree`` (number of the first tree with another leaf, or -1).
    """

    def __init__(self, report: ParityReport, examples: Sequence[dict[str, Any]]) -> None:
        super().__init__(
            f"Got {report.n_rows_in_different_leaf} rows in a different leaf and a relative "
            f"difference of {report.max_relative_difference:.3g} over "
            f"{report.n_rows + report.n_adversarial_rows} rows, "
            f"but expected none and at most {report.tolerance:.3g}. First rows: {list(examples)}"
        )
        self.report = report
        self.examples = tuple(examples)


@dataclass(frozen=True)
class _Entered:
    """What enters a graph, and the ``matrix`` of the same rows that the estimator scores."""

    inputs: list[npt.NDArray[Any]]
    matrix: Float32Array


@dataclass(frozen=True)
class _Comparison:
    """Row by row: scores ``(n,)`` or ``(n, n_classes)``, and ``other_leaf_in``, -1 for none."""

    matrix: Float32Array
    expected: FloatArray
    got: FloatArray
    difference: FloatArray
    other_leaf_in: IntArray

    @property
    def n_in_different_leaf(self) -> int:
        return int(np.count_nonzero(self.other_leaf_in >= 0))

    @property
    def max_difference(self) -> float:
        return float(self.difference.max(initial=0.0))

    def examples(self, tolerance: float) -> list[dict[str, Any]]:
        differs = (self.other_leaf_in >= 0) | (self.difference > tolerance)
        return [
            {
                "row": self.matrix[row].tolist(),
                "expected": self.expected[row].tolist(),
                "got": self.got[row].tolist(),
                "tree": int(self.other_leaf_in[row]),
            }
            for row in np.flatnonzero(differs)[:_N_EXAMPLES]
        ]


def check_parity(
    estimator: Estimator,
    model: bytes,
    rows: Float32Array,
    *,
    request: FloatArray | None = None,
    request_inputs: Sequence[str] = (),
    request_functions: Sequence[RequestFunction] = (),
    n_adversarial_rows: int = N_ADVERSARIAL_ROWS,
    seed: int = 0,
) -> ParityReport:
    """Compare an exported model with the fitted one, score by score, and trees leaf by leaf.

    Adversarial rows enter behind the request-time functions; where there are some, a quarter as
    many rows also enter the whole graph with the values on which traces are verified as request.

    Parameters
    ----------
    model : bytes
        The exported model, as it will be shipped.
    rows : numpy.ndarray
        Rows of the ``features`` input, float32 ``(n, n_columns)``; of any values and number.
    request : numpy.ndarray, optional
        The same rows' ``request`` input, float64 ``(n, len(request_inputs))``.
    request_inputs, request_functions
        As they were given to `export_onnx`.
    n_adversarial_rows, seed : int, optional
        How many adversarial rows are drawn, and by which seed.

    Raises
    ------
    ParityError
        If a row reaches another leaf or a score differs by more than the estimator's tolerance.
    ValueError
        If the shapes or types of the rows are not those of the model's inputs.
    """
    _check_rows(rows, request, request_inputs)
    enter = functools.partial(_enter, names=request_inputs, functions=request_functions)
    given = enter(rows, request if request_inputs else None)
    hostile = estimator.make_adversarial_rows(given.matrix, n_rows=n_adversarial_rows, seed=seed)
    comparisons = [
        _compare(estimator, model, given),
        _compare(estimator, cut_before(model, MATRIX), _Entered([hostile], hostile)),
    ]
    if request_functions:
        features = hostile[: n_adversarial_rows // 4, : rows.shape[1]]
        wild = enter(features, _wild_request(len(features), len(request_inputs), seed))
        comparisons.append(_compare(estimator, model, wild))
    return _report(estimator, comparisons, seed)


def _report(estimator: Estimator, comparisons: Sequence[_Comparison], seed: int) -> ParityReport:
    """Sum the comparisons up, the first of which is of the given rows; raise if they differ."""
    given, *adversarial = comparisons
    parity, trees = estimator.parity, estimator.trees
    report = ParityReport(
        n_rows=len(given.matrix),
        n_adversarial_rows=sum(len(part.matrix) for part in adversarial),
        n_trees=trees.n_trees if trees else 0,
        n_rows_in_different_leaf=sum(part.n_in_different_leaf for part in comparisons),
        max_relative_difference=max(part.max_difference for part in comparisons),
        tolerance=parity.tolerance,
        small_value_floor=parity.small_value_floor,
        seed=seed,
    )
    if not report.passed:
        examples = [one for part in comparisons for one in part.examples(parity.tolerance)]
        raise ParityError(report, examples[:_N_EXAMPLES])
    return report


def _check_rows(
    rows: Float32Array, request: FloatArray | None, request_inputs: Sequence[str]
) -> None:
    if rows.dtype != np.float32 or rows.ndim != 2:
        raise ValueError(
            f"Got rows {rows.dtype} of shape {rows.shape}, but expected float32 (n, n_columns)."
        )
    shape = (len(rows), len(request_inputs))
    if request is None and not request_inputs:
        return
    if request is None or request.dtype != np.float64 or request.shape != shape:
        got = "none" if request is None else f"{request.dtype} of shape {request.shape}"
        raise ValueError(f"Got request {got}, but expected float64 of shape {shape}.")


def _enter(
    rows: Float32Array,
    request: FloatArray | None,
    names: Sequence[str],
    functions: Sequence[RequestFunction],
) -> _Entered:
    """Put numpy's request-time columns behind the rows for the estimator, as the graph does."""
    if request is None:
        return _Entered([rows], rows)
    named = dict(zip(names, np.ascontiguousarray(request.T), strict=True))
    computed = [column for function in functions for column in function.evaluate(named).values()]
    with np.errstate(over="ignore"):
        columns = [column.astype(np.float32) for column in computed]
    return _Entered([rows, request], np.column_stack([rows, *columns]))


def _wild_request(n_rows: int, n_inputs: int, seed: int) -> FloatArray:
    rows = verification_rows(n_inputs)
    return rows[np.random.default_rng(seed).integers(0, len(rows), n_rows)]


def _compare(estimator: Estimator, model: bytes, entered: _Entered) -> _Comparison:
    scores = open_session(model)
    trees, parity = estimator.trees, estimator.parity
    leaves = open_session(trees.make_leaf_graph(model)) if trees else None
    names = [one.name for one in scores.get_inputs()]
    parts = []
    for start in range(0, max(len(entered.matrix), 1), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        feeds = {name: values[chunk] for name, values in zip(names, entered.inputs, strict=True)}
        matrix = entered.matrix[chunk]
        expected = _predict(estimator, matrix)
        (got,) = scores.run(["scores"], feeds)
        other_leaf_in = np.full(len(matrix), -1)
        if trees and leaves:
            (got_leaves,) = leaves.run(None, feeds)
            other_leaf_in = _find_other_leaf(got_leaves, trees, matrix)
        parts.append((expected, got, _relative_difference(got, expected, parity), other_leaf_in))
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Comparison(entered.matrix, *columns)


def _predict(estimator: Estimator, matrix: Float32Array) -> FloatArray:
    """Return the reference's scores, also of no row."""
    some = matrix if len(matrix) else np.zeros((1, matrix.shape[1]), np.float32)
    return estimator.predict(some)[: len(matrix)]


def _find_other_leaf(got: FloatArray, trees: Trees, matrix: Float32Array) -> IntArray:
    """Return for each row the first tree in which it reaches another leaf, or -1, ``(n,)``."""
    if not len(matrix):
        return np.empty(0, np.int64)
    other = got != trees.find_leaves(matrix)
    return np.where(other.any(axis=1), other.argmax(axis=1), -1)


def _relative_difference(got: FloatArray, expected: FloatArray, parity: ParityClass) -> FloatArray:
    """Return each row's largest difference, relative as a `ParityReport` has it, ``(n,)``."""
    if got.shape != expected.shape:
        raise ValueError(f"Got scores of shape {got.shape}, but expected {expected.shape}.")
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(got - expected) / np.maximum(np.abs(expected), parity.small_value_floor)
    difference = np.where(same, 0.0, np.where(np.isfinite(difference), difference, np.inf))
    by_row: FloatArray = difference.reshape(len(got), math.prod(got.shape[1:])).max(axis=1)
    return by_row
