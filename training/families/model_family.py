"""What a family of models is: how one is fitted, kept, exported and held to what it was.

A family is a folder here, rules for its parameters in `zeroskew.declarations`, and a line in
`zeroskew.declarations.families` that names both.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from training.dataset.build_dataset import Dataset
from training.families.progress import Progress
from zeroskew.contract.errors.project import SpecError, TrainingError
from zeroskew.declarations.families import FAMILIES
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.onnx_graph import GraphBuilder

__all__ = [
    "Estimator",
    "ExportError",
    "Fit",
    "ModelFamily",
    "NothingLearntError",
    "ParityClass",
    "Trees",
    "load_family",
]

Float32Array: TypeAlias = npt.NDArray[np.float32]
FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]


class NothingLearntError(SpecError):
    """There is nothing that a model could learn from."""


class ExportError(TrainingError):
    """A model cannot be exported."""


@dataclass(frozen=True)
class ParityClass:
    """How exactly a graph must score as its reference does.

    Attributes
    ----------
    tolerance
        The largest ``|s - r| / max(|r|, small_value_floor)`` that passes, of a score ``s`` and
        the reference's ``r``.
    small_value_floor
        Scores below it are compared as if they were as large as it.
    """

    tolerance: float
    small_value_floor: float


class Trees(Protocol):
    """The trees of an estimator that is made of them: parity is asked of every leaf as well."""

    @property
    def n_trees(self) -> int:
        """Number of trees."""

    def find_leaves(self, features: Float32Array) -> IntArray:
        """Return the number of the leaf that the reference reaches, ``(n_rows, n_trees)``.

        There is at least one row.
        """

    def make_leaf_graph(self, model: bytes) -> bytes:
        """Return a graph with the inputs of ``model``, whose trees it runs.

        Its only output is the number of the leaf, ``(n_rows, n_trees)``.
        """


class Estimator(Protocol):
    """A fitted model: the reference for its own export."""

    @property
    def n_features(self) -> int:
        """Width of the matrix that it scores."""

    @property
    def n_outputs(self) -> int:
        """The number of classes, or 1."""

    @property
    def parity(self) -> ParityClass:
        """How exactly its export must score as it does."""

    @property
    def trees(self) -> Trees | None:
        """Its trees, where it is made of them."""

    def to_bytes(self) -> bytes:
        """Return the content of the step file, which its family reads."""

    def predict(self, features: Float32Array) -> FloatArray:
        """Return scores ``(n_rows,)``, or ``(n_rows, n_classes)``, of at least one row.

        Every float32 is a valid feature; NaN is a missing value.
        """

    def weigh_columns(self) -> FloatArray:
        """Return how much it owes to each column, ``(n_features,)``, none of them below 0."""

    def add_scores(self, graph: GraphBuilder, matrix: str) -> str:
        """Append what scores a matrix and return the name of the scores.

        Parameters
        ----------
        matrix
            Name of a float64 value ``(n_rows, n_features)``; the scores are float64
            ``(n_rows, n_outputs)``. A row's must be the same to the bit in any batch.

        Raises
        ------
        ExportError
            If there is no such graph.
        """

    def make_adversarial_rows(self, rows: Float32Array, *, n_rows: int, seed: int) -> Float32Array:
        """Return rows ``(n_rows, n_features)`` on which a wrong export would show.

        Equal seeds give equal rows; ``rows``, which may be none, are ordinary ones.
        """


@dataclass(frozen=True)
class Fit:
    """What a fit gave.

    Attributes
    ----------
    estimator
        The model of the train and validation spans.
    validation_scores
        What a model of the train span alone answers on the validation span: float64 ``(n,)``,
        or ``(n, n_classes)``.
    metrics
        What was measured there, the first of it what the fit went by.
    said
        What to tell of the fit, a line each.
    """

    estimator: Estimator
    validation_scores: FloatArray
    metrics: Mapping[str, float] = field(default_factory=dict)
    said: tuple[str, ...] = ()


class ModelFamily(Protocol):
    """A family of models."""

    @property
    def step_file(self) -> str:
        """Name of the file that the fit step leaves."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Packages whose versions a manifest is to tell, beside those of all models."""

    @property
    def weighed_by(self) -> str:
        """What the weights of columns are shares of, such as ``gain``."""

    def fit(self, spec: ModelSpec, dataset: Dataset, progress: Progress | None) -> Fit:
        """Fit what is declared.

        Raises
        ------
        SpecError
            If the parameters do not fit the columns, or the rows cannot be learned from.
        NothingLearntError
            If there is nothing in them to learn from.
        FitError
            If the fit does not end of its own.
        """

    def read(self, content: bytes) -> Estimator:
        """Return the estimator of a step file, whose hash was found right."""


def load_family(name: str) -> ModelFamily:
    """Return a family of the table in `zeroskew.declarations.families`."""
    return cast(ModelFamily, importlib.import_module(FAMILIES[name].training).FAMILY)
