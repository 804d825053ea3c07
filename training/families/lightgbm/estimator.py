"""A fitted LightGBM model: its booster is the reference, its text what is exported."""

from __future__ import annotations

import functools
import math
from typing import Final, Self

import lightgbm as lgb
import numpy as np

from training.families.lightgbm.adversarial_rows import adversarial_rows
from training.families.lightgbm.leaf_index_model import leaf_index_model
from training.families.lightgbm.model_text import TextModel, parse_model_text
from training.families.lightgbm.transforms import add_transform, find_objective
from training.families.lightgbm.tree_ensemble import add_tree_ensemble
from training.families.model_family import Float32Array, FloatArray, IntArray, ParityClass
from zeroskew.declarations.objective_table import Transform
from zeroskew.features.onnx_graph import GraphBuilder

__all__ = ["LightgbmEstimator"]

_TOLERANCE: Final = 1e-9
_SUM_FLOOR: Final = 1e-4
_SMALLEST_SCORE: Final = 1e-290
_ROWS_OF_ONE_THREAD: Final = 4096
"""LightGBM's threads wait for one another longer than so few rows take."""


class LightgbmEstimator:
    """A LightGBM model.

    The text is the model. It rounds the objective's ``sigmoid`` to six digits, and so does a
    booster that ``lightgbm.train`` returned, unless it was told to ``keep_training_booster``.

    Parameters
    ----------
    text
        What ``Booster.model_to_string`` returns. LightGBM aborts the process on one that is cut
        off, so nothing but `model` may be asked of a text that is not known to be whole.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def of(cls, booster: lgb.Booster) -> Self:
        """Return the estimator of a booster; of an early-stopped one, its best iteration."""
        estimator = cls(booster.model_to_string())
        estimator.booster = booster
        return estimator

    @functools.cached_property
    def booster(self) -> lgb.Booster:
        """LightGBM's own object."""
        return lgb.Booster(model_str=self._text)

    @functools.cached_property
    def model(self) -> TextModel:
        """The parsed text.

        Raises
        ------
        ModelTextError
            If it is incomplete or holds linear trees.
        """
        return parse_model_text(self._text)

    @property
    def n_features(self) -> int:
        """Width of the matrix that it scores."""
        return self.model.n_features

    @property
    def n_outputs(self) -> int:
        """The number of classes, or 1."""
        return self.model.n_outputs

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.model.trees)

    @property
    def trees(self) -> Self:
        """Itself: it is made of nothing else."""
        return self

    @property
    def parity(self) -> ParityClass:
        """Within 1e-9, relative to the terms of a sum.

        Where scores are sums of leaves that may cancel, the floor is 1e-4 times the largest
        possible sum of leaf sizes (squared for ``reg_sqrt``), because rounding is relative to
        the terms of a sum and not to the sum. Otherwise it is 1e-290.
        """
        if find_objective(self.model).transform is not Transform.SUM:
            return ParityClass(_TOLERANCE, _SMALLEST_SCORE)
        size = math.fsum(float(np.abs(tree.leaf_value).max()) for tree in self.model.trees)
        if self.model.averages_trees:
            size /= self.model.n_iterations
        if "sqrt" in self.model.objective_options:
            size *= size
        return ParityClass(_TOLERANCE, max(_SUM_FLOOR * size, _SMALLEST_SCORE))

    def to_bytes(self) -> bytes:
        """Return the text."""
        return self._text.encode()

    def predict(self, features: Float32Array) -> FloatArray:
        """Return LightGBM's scores ``(n_rows,)``, or ``(n_rows, n_classes)``."""
        return np.asarray(self._ask_booster(features), dtype=np.float64)

    def find_leaves(self, features: Float32Array) -> IntArray:
        """Return the number of the leaf that each row reaches, ``(n_rows, n_trees)``."""
        leaves = np.asarray(self._ask_booster(features, pred_leaf=True))
        return leaves.reshape(len(features), -1).astype(np.int64)

    def make_leaf_graph(self, model: bytes) -> bytes:
        """Return the graph that tells the leaf that a row reaches in each tree."""
        return leaf_index_model(model)

    def weigh_columns(self) -> FloatArray:
        """Return the gain of each column's splits, ``(n_features,)``."""
        return np.asarray(self.booster.feature_importance("gain"), dtype=np.float64)

    def add_scores(self, graph: GraphBuilder, matrix: str) -> str:
        """Append trees, division by the iterations of a forest, and the objective's transform.

        Raises
        ------
        ExportError
            If the objective is unknown or custom.
        """
        raw = add_tree_ensemble(graph, self.model, matrix)
        if self.model.averages_trees:
            raw = graph.add("Div", raw, graph.constant(self.model.n_iterations, np.float64))
        return add_transform(graph, self.model, raw)

    def make_adversarial_rows(self, rows: Float32Array, *, n_rows: int, seed: int) -> Float32Array:
        """Return rows at the edges of every split, and of float32 itself."""
        return adversarial_rows(self.model, rows, n_rows=n_rows, seed=seed)

    def _ask_booster(self, features: Float32Array, *, pred_leaf: bool = False) -> object:
        n_threads = 1 if len(features) <= _ROWS_OF_ONE_THREAD else 0
        return self.booster.predict(features, pred_leaf=pred_leaf, num_threads=n_threads)
