"""The gate before the registry: an exported model against LightGBM's own predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from training.export.export_onnx import MATRIX, read_model
from training.families.lightgbm.adversarial_rows import adversarial_rows
from training.families.lightgbm.leaf_index_model import cut_before_trees, leaf_index_model
from training.families.lightgbm.model_text import TextModel
from training.families.lightgbm.transforms import find_objective
from zeroskew.contract.errors.project import TrainingError
from zeroskew.declarations.objective_table import Transform
from zeroskew.features.onnx_graph import open_session
from zeroskew.features.request_function import RequestFunction
from zeroskew.features.trace_request_time import verification_rows

__all__ = ["ParityError", "ParityReport", "check_parity"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

MAX_RELATIVE_DIFFERENCE: Final = 1e-9
N_ADVERSARIAL_ROWS: Final = 40_000
_CHUNK_ROWS: Final = 4096
_N_EXAMPLES: Final = 3
_SUM_FLOOR: Final = 1e-4
_SMALLEST_SCORE: Final = 1e-290


@dataclass(frozen=True)
class ParityReport:
    """What was compared and how far it differs.

    Attributes
    ----------
    n_rows, n_adversarial_rows : int
        Rows compared: given ones, and those that `adversarial_rows` made.
    n_trees : int
        Trees whose leaves were compared on each of these rows.
    n_rows_in_different_leaf : int
        Rows that reach another leaf than in LightGBM in at least one tree.
    max_relative_difference : float
        Largest ``|s - r| / max(|r|, small_value_floor)`` over all scores ``s`` and LightGBM's
        ``r``; 0 where both are the same infinity or NaN, infinite where only one is NaN or
        infinite.
    tolerance : float
        The largest such difference that passes.
    small_value_floor : float
        Where scores are sums of leaves that may cancel, 1e-4 times the largest possible sum
        of leaf sizes (squared for ``reg_sqrt``), because rounding is relative to the terms of
        a sum and not to the sum. Otherwise 1e-290.
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
    """An exported model does not predict what LightGBM predicts.

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
class _Comparison:
    """Row by row: scores ``(n,)`` or ``(n, n_classes)``, and ``other_leaf_in``, -1 for none."""

    matrix: Float32Array
    expected: FloatArray
    got: FloatArray
    difference: FloatArray
    other_leaf_in: IntArray

    def examples(self) -> list[dict[str, Any]]:
        differs = (self.other_leaf_in >= 0) | (self.difference > MAX_RELATIVE_DIFFERENCE)
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
    booster: lgb.Booster,
    model: bytes,
    rows: Float32Array,
    *,
    request: FloatArray | None = None,
    request_inputs: Sequence[str] = (),
    request_functions: Sequence[RequestFunction] = (),
    n_adversarial_rows: int = N_ADVERSARIAL_ROWS,
    seed: int = 0,
) -> ParityReport:
    """Compare an exported model with LightGBM, leaf by leaf and score by score.

    Leaves are compared by running the exported node arrays themselves: in a copy of `model`
    each leaf's weight is replaced by its number and each tree gets an output of its own.
    Adversarial rows enter the trees directly; with request-time functions, a quarter as many
    rows also enter the whole graph with the values on which traces are verified as request.

    Parameters
    ----------
    booster : lightgbm.Booster
        The reference. Of an early-stopped booster, its best iteration.
    model : bytes
        The exported model, as it will be shipped.
    rows : numpy.ndarray
        Training or held-out rows of the ``features`` input, float32 ``(n, n_columns)``; of
        any values and number.
    request : numpy.ndarray, optional
        The same rows' ``request`` input, float64 ``(n, len(request_inputs))``.
    request_inputs, request_functions
        As they were given to `export_onnx`.
    n_adversarial_rows : int, optional
        Number of adversarial rows.
    seed : int, optional
        Seed of the adversarial rows.

    Returns
    -------
    ParityReport
        A report that passed.

    Raises
    ------
    ParityError
        If a row reaches another leaf or a score differs by more than 1e-9.
    ValueError
        If the shapes or types of the rows are not those of the model's inputs.
    """
    _check_rows(rows, request, request_inputs)
    request = request if request_inputs else None
    reference = read_model(booster)
    floor = _small_value_floor(reference)
    matrix = _matrix(rows, request, request_inputs, request_functions)
    hostile = adversarial_rows(reference, matrix, n_rows=n_adversarial_rows, seed=seed)
    trees_only = cut_before_trees(model, MATRIX)
    given = _inputs(rows, request)
    comparisons = [
        _compare(booster, model, given, matrix, floor),
        _compare(booster, trees_only, [hostile], hostile, floor),
    ]
    if request_functions:
        features = hostile[: n_adversarial_rows // 4, : rows.shape[1]]
        wild = _wild_request(len(features), len(request_inputs), seed)
        matrix = _matrix(features, wild, request_inputs, request_functions)
        comparisons.append(_compare(booster, model, [features, wild], matrix, floor))
    report = ParityReport(
        n_rows=len(rows),
        n_adversarial_rows=sum(len(part.matrix) for part in comparisons[1:]),
        n_trees=len(reference.trees),
        n_rows_in_different_leaf=sum(
            int(np.count_nonzero(part.other_leaf_in >= 0)) for part in comparisons
        ),
        max_relative_difference=max(
            float(part.difference.max(initial=0.0)) for part in comparisons
        ),
        tolerance=MAX_RELATIVE_DIFFERENCE,
        small_value_floor=floor,
        seed=seed,
    )
    if not report.passed:
        examples = [example for part in comparisons for example in part.examples()]
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


def _matrix(
    rows: Float32Array,
    request: FloatArray | None,
    request_inputs: Sequence[str],
    request_functions: Sequence[RequestFunction],
) -> Float32Array:
    """Return what LightGBM sees: `rows`, and numpy's request-time columns behind them."""
    if request is None:
        return rows
    named = dict(zip(request_inputs, np.ascontiguousarray(request.T), strict=True))
    computed = [
        column for function in request_functions for column in function.evaluate(named).values()
    ]
    with np.errstate(over="ignore"):
        return np.column_stack([rows, *(column.astype(np.float32) for column in computed)])


def _inputs(rows: Float32Array, request: FloatArray | None) -> list[npt.NDArray[Any]]:
    return [rows] if request is None else [rows, request]


def _wild_request(n_rows: int, n_inputs: int, seed: int) -> FloatArray:
    rows = verification_rows(n_inputs)
    return rows[np.random.default_rng(seed).integers(0, len(rows), n_rows)]


def _compare(
    booster: lgb.Booster,
    model: bytes,
    inputs: Sequence[npt.NDArray[Any]],
    matrix: Float32Array,
    floor: float,
) -> _Comparison:
    scores, leaves = open_session(model), open_session(leaf_index_model(model))
    names = [one.name for one in scores.get_inputs()]
    parts = []
    for start in range(0, max(len(matrix), 1), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        feeds = {name: values[chunk] for name, values in zip(names, inputs, strict=True)}
        expected, expected_leaves = _predict(booster, matrix[chunk])
        (got,) = scores.run(["scores"], feeds)
        (got_leaves,) = leaves.run(None, feeds)
        other = got_leaves != expected_leaves
        parts.append(
            (
                expected,
                got,
                _relative_difference(got, expected, floor),
                np.where(other.any(axis=1), other.argmax(axis=1), -1),
            )
        )
    return _Comparison(matrix, *(np.concatenate(column) for column in zip(*parts, strict=True)))


def _predict(booster: lgb.Booster, matrix: Float32Array) -> tuple[FloatArray, IntArray]:
    """Return LightGBM's scores and leaves ``(n, n_trees)``, on one thread."""
    if not len(matrix):
        matrix = np.zeros((1, matrix.shape[1]), np.float32)
        scores, leaves = _predict(booster, matrix)
        return scores[:0], leaves[:0]
    scores = np.asarray(booster.predict(matrix, num_threads=1))
    leaves = np.asarray(booster.predict(matrix, pred_leaf=True, num_threads=1))
    return scores, leaves.reshape(len(matrix), -1).astype(np.int64)


def _relative_difference(got: FloatArray, expected: FloatArray, floor: float) -> FloatArray:
    """Return each row's largest ``|got - expected| / max(|expected|, floor)``, ``(n,)``."""
    if got.shape != expected.shape:
        raise ValueError(f"Got scores of shape {got.shape}, but expected {expected.shape}.")
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(got - expected) / np.maximum(np.abs(expected), floor)
    difference = np.where(same, 0.0, np.where(np.isfinite(difference), difference, np.inf))
    by_row: FloatArray = difference.reshape(len(got), math.prod(got.shape[1:])).max(axis=1)
    return by_row


def _small_value_floor(model: TextModel) -> float:
    if find_objective(model).transform is not Transform.SUM:
        return _SMALLEST_SCORE
    size = math.fsum(float(np.abs(tree.leaf_value).max()) for tree in model.trees)
    if model.averages_trees:
        size /= model.n_iterations
    if "sqrt" in model.objective_options:
        size *= size
    return max(_SUM_FLOOR * size, _SMALLEST_SCORE)
