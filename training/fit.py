"""Fit LightGBM: stop early on the validation span, then refit on all rows before the test."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl

from api.contract.manifest import Column, FieldType
from training.dataset import Dataset, encode_columns
from training.errors import SpecError
from training.metrics import best_f1_threshold
from training.model_spec import ModelSpec

__all__ = ["FittedModel", "Progress", "fit_model", "request_only_dataset"]

Progress = Callable[[int, int], None]

# Same rows and parameters give the same model to the byte, whatever the number of threads.
# Half of the logical cores, because LightGBM's threads wait for each other at every split and
# one that has to share its core holds up all of them.
DEFAULTS = {
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": max(1, (os.cpu_count() or 1) // 2),
    "seed": 20130101,
    "verbosity": -1,
}


@dataclass(frozen=True)
class FittedModel:
    """A booster, and the threshold of its label where its score is a probability."""

    booster: lgb.Booster
    threshold: float | None

    def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return scores of float32 ``(n_rows, n_columns)``.

        They are float64 ``(n_rows,)``, or ``(n_rows, n_classes)`` of a multiclass model.
        """
        return np.asarray(self.booster.predict(features), dtype=np.float64)


def fit_model(spec: ModelSpec, dataset: Dataset, progress: Progress | None = None) -> FittedModel:
    """Fit ``spec``, its number of rounds and its threshold.

    The booster is fitted on the train span until the validation span stops it and shows the
    best threshold, then anew on both spans with that many rounds.

    Parameters
    ----------
    progress
        Called after each round with the rounds done and the most there can be.

    Raises
    ------
    SpecError
        If LightGBM refuses the parameters.
    """
    try:
        return _fit_model(spec, dataset, progress)
    except lgb.basic.LightGBMError as error:
        raise SpecError(f"Got parameters that LightGBM refuses: {error}") from error


def _fit_model(spec: ModelSpec, dataset: Dataset, progress: Progress | None) -> FittedModel:
    parameters = {**DEFAULTS, **spec.parameters, **_count_classes(spec)}
    validation = _as_lightgbm(dataset, "validation")
    stopped = lgb.train(
        parameters,
        _as_lightgbm(dataset, "train"),
        num_boost_round=spec.n_rounds,
        valid_sets=[validation],
        callbacks=[
            lgb.early_stopping(spec.early_stopping_rounds, verbose=False),
            *_report_to(progress, spec.n_rounds),
        ],
    )
    threshold = None
    if spec.is_classifier:
        features, labels = dataset.matrix("validation")
        threshold = spec.output.threshold
        if threshold is None:
            threshold = best_f1_threshold(labels, np.asarray(stopped.predict(features)))
    booster = lgb.train(
        parameters,
        _as_lightgbm(dataset, "train", "validation"),
        num_boost_round=stopped.best_iteration,
        callbacks=_report_to(progress, stopped.best_iteration),
    )
    return FittedModel(booster=booster, threshold=threshold)


def _count_classes(spec: ModelSpec) -> dict[str, int]:
    n_classes = len(spec.objective.classes)
    return {"num_class": n_classes} if n_classes else {}


def request_only_dataset(spec: ModelSpec, dataset: Dataset, most_categories: int = 256) -> Dataset:
    """Return the same rows with the request's own columns alone, as without a feature store.

    These are the request-time features and every request field but timestamps; text with more
    than ``most_categories`` values in the train span is left out, for LightGBM overfits it.
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
    return Dataset(rows=dataset.rows, features=features, plan=plan)


def _as_lightgbm(dataset: Dataset, *spans: str) -> lgb.Dataset:
    features, labels = dataset.matrix(*spans)
    return lgb.Dataset(
        features,
        labels,
        feature_name=dataset.columns,
        categorical_feature=dataset.categorical,
        free_raw_data=False,
    )


def _report_to(progress: Progress | None, n_rounds: int) -> list[Any]:
    if progress is None:
        return []
    return [lambda state: progress(state.iteration + 1, n_rounds)]
