"""Fit a declared model of any family, and the threshold of its label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from training.dataset.build_dataset import Dataset, encode_columns
from training.evaluate.metrics import best_f1_threshold
from training.families.model_family import Estimator, load_family
from training.families.progress import Progress
from zeroskew.contract.manifest import Column, FieldType
from zeroskew.declarations.model_spec import ModelSpec

__all__ = ["FittedModel", "fit_model", "request_only_dataset"]


@dataclass(frozen=True)
class FittedModel:
    """An estimator, and the threshold of its label where its score is a probability.

    ``metrics`` and ``said`` are those of the `Fit` that it comes of.
    """

    estimator: Estimator
    threshold: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    said: tuple[str, ...] = ()


def fit_model(spec: ModelSpec, dataset: Dataset, progress: Progress | None = None) -> FittedModel:
    """Fit ``spec`` as its family does, and choose its threshold.

    It raises what `ModelFamily.fit` does.

    Parameters
    ----------
    progress
        Called with what is done and the most there can be.
    """
    fit = load_family(spec.family).fit(spec, dataset, progress)
    return FittedModel(
        estimator=fit.estimator,
        threshold=_choose_threshold(spec, dataset, fit.validation_scores),
        metrics=fit.metrics,
        said=fit.said,
    )


def _choose_threshold(
    spec: ModelSpec, dataset: Dataset, validation_scores: npt.NDArray[np.float64]
) -> float | None:
    if not spec.is_classifier:
        return None
    if spec.output.threshold is not None:
        return spec.output.threshold
    return best_f1_threshold(dataset.matrix("validation")[1], validation_scores)


def request_only_dataset(spec: ModelSpec, dataset: Dataset, most_categories: int = 256) -> Dataset:
    """Return the same rows with the request's own columns alone, as without a feature store.

    These are the request-time features and every request field but timestamps; text with more
    than ``most_categories`` values in the train span is left out, for models overfit it.
    """
    fields = [field.name for field in spec.request if field.type is not FieldType.TIMESTAMP]
    joined = dataset.rows.select(fields).with_columns(dataset.features.select(dataset.request_only))
    train = dataset.span("train")
    narrow = [
        name
        for name in fields
        if joined[name].dtype != pl.String
        or joined[name].filter(train).n_unique() <= most_categories
    ]
    plan = dataset.plan.model_copy(
        update={
            "views": (),
            "columns": tuple(Column(name=name, field=name) for name in narrow),
            "request_features": dataset.request_only,
        }
    )
    plan, features = encode_columns(joined, plan, train=train)
    return Dataset(rows=dataset.rows, labels=dataset.labels, features=features, plan=plan)
