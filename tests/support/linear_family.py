"""A second family of models, least squares by numpy: its parameters' rules and all the rest.

Its graph adds up the terms in the order of the columns, as `LinearEstimator.predict` does, so the
two agree to the bit; a matrix product would add them as the row count suits it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.dataset.build_dataset import Dataset
from training.families.model_family import Fit, ModelFamily, NothingLearntError, ParityClass
from training.families.progress import Progress
from zeroskew.declarations.families import FAMILIES, FamilyModules
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.onnx_graph import GraphBuilder

__all__ = ["FAMILY", "LinearEstimator", "registered"]

FITS_IN_ROUNDS: Final = False
_HOSTILE: Final = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4028235e38, -3.4028235e38)


@contextmanager
def registered() -> Iterator[None]:
    """Have the family for a while, by its line in the table."""
    FAMILIES["linear"] = FamilyModules(rules=__name__, training=__name__)
    try:
        yield
    finally:
        del FAMILIES["linear"]


def find_problems(parameters: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each parameter but the only objective there is."""
    known = {"objective": "regression"}
    return [
        f"Got {name}={value!r}, but expected objective='regression' alone"
        for name, value in parameters.items()
        if known.get(name) != value
    ]


def resolve_names(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters: they have no other names."""
    return dict(parameters)


def drop_columns(parameters: Mapping[str, Any], *, has_text: bool) -> dict[str, Any]:
    """Return the parameters: none is of single columns."""
    return dict(parameters)


@dataclass(frozen=True)
class LinearEstimator:
    """``intercept + sum(weights · x)``; a missing value counts as its column's mean."""

    intercept: float
    weights: tuple[float, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]

    n_outputs = 1
    parity = ParityClass(tolerance=0.0, small_value_floor=1e-290)
    trees = None

    @property
    def n_features(self) -> int:
        return len(self.weights)

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        values = np.where(np.isnan(features), self.means, features.astype(np.float64))
        with np.errstate(invalid="ignore"):  # An infinity less another is NaN, here and there.
            terms = (values * self.weights).T
            start = np.full(len(features), self.intercept)
            return functools.reduce(np.add, terms, start)

    def weigh_columns(self) -> npt.NDArray[np.float64]:
        return np.abs(np.multiply(self.weights, self.spreads))

    def add_scores(self, graph: GraphBuilder, matrix: str) -> str:
        means, weights = (graph.constant([row], np.float64) for row in (self.means, self.weights))
        values = graph.add("Where", graph.add("IsNaN", matrix), means, matrix)
        terms = graph.add("Mul", values, weights)
        columns = [
            graph.add("Gather", terms, graph.constant([place], np.int64), axis=1)
            for place in range(self.n_features)
        ]
        start = graph.constant([[self.intercept]], np.float64)
        return functools.reduce(lambda total, term: graph.add("Add", total, term), columns, start)

    def make_adversarial_rows(
        self, rows: npt.NDArray[np.float32], *, n_rows: int, seed: int
    ) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        result = rng.normal(scale=1e3, size=(n_rows, self.n_features)).astype(np.float32)
        if len(rows):
            result[::2] = rows[rng.integers(0, len(rows), len(result[::2]))]
        replaced = rng.random(result.shape) < 0.1
        result[replaced] = rng.choice(np.array(_HOSTILE, np.float32), int(replaced.sum()))
        return result


class LinearFamily:
    """Least squares on rows whose missing values are means."""

    step_file = "coefficients.json"
    libraries = ("numpy",)
    weighed_by = "spread of the answer"

    def fit(self, spec: ModelSpec, dataset: Dataset, progress: Progress | None) -> Fit:
        if not dataset.columns:
            raise NothingLearntError(f"Got no column of {spec.name}, but expected at least one")
        held_out, labels = dataset.matrix("validation")
        scores = _solve(*dataset.matrix("train")).predict(held_out)
        rmse = float(np.sqrt(np.mean((scores - labels) ** 2)))
        estimator = _solve(*dataset.matrix("train", "validation"))
        said = f"{estimator.n_features} coefficients; validation rmse {rmse:.6g}"
        if progress is not None:
            progress(1, 1)
        return Fit(estimator, scores, {"rmse": rmse}, (said,))

    def read(self, content: bytes) -> LinearEstimator:
        kept = json.loads(content)
        weights, means, spreads = (tuple(kept[name]) for name in ("weights", "means", "spreads"))
        return LinearEstimator(kept["intercept"], weights, means, spreads)


def _solve(features: npt.NDArray[np.float32], labels: npt.NDArray[np.float64]) -> LinearEstimator:
    wide = features.astype(np.float64)
    means = np.nanmean(wide, axis=0)
    known = np.where(np.isnan(wide), means, wide)
    design = np.column_stack([np.ones(len(known)), known])
    intercept, *weights = np.linalg.lstsq(design, labels, rcond=None)[0].tolist()
    spreads = known.std(axis=0).tolist()
    return LinearEstimator(intercept, tuple(weights), tuple(means.tolist()), tuple(spreads))


FAMILY: Final[ModelFamily] = LinearFamily()
