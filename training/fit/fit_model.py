"""Fit LightGBM: stop early on the validation span, then refit on all rows before the test."""

from __future__ import annotations

from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl

from training.dataset.build_dataset import Dataset, encode_columns
from training.evaluate.metrics import best_f1_threshold
from training.families.lightgbm.boosting.exchange import BoostingInput
from training.families.lightgbm.boosting.process import boost_in_process
from training.families.lightgbm.boosting.rounds import (
    Boosted,
    NoSplitError,
    Progress,
    RefusedError,
    Rows,
)
from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.manifest import Column, FieldType
from zeroskew.declarations.lightgbm import check_columns, complete_parameters
from zeroskew.declarations.model_spec import ModelSpec

__all__ = ["FittedModel", "NothingLearntError", "Progress", "fit_model", "request_only_dataset"]


class NothingLearntError(SpecError):
    """There is nothing that a model could learn from."""


@dataclass(frozen=True)
class FittedModel:
    """A booster, and the threshold of its label where its score is a probability.

    ``metrics`` are LightGBM's on the validation span, of the model that validation chose; the
    first chose the rounds. ``warnings`` is what LightGBM had to say.
    """

    booster: lgb.Booster
    threshold: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return scores of float32 ``(n_rows, n_columns)``.

        They are float64 ``(n_rows,)``, or ``(n_rows, n_classes)`` of a multiclass model.
        """
        return np.asarray(self.booster.predict(features), dtype=np.float64)


def fit_model(spec: ModelSpec, dataset: Dataset, progress: Progress | None = None) -> FittedModel:
    """Fit ``spec``, its number of rounds and its threshold.

    LightGBM fits the train span until the validation span stops it and shows the best
    threshold, then both spans with that many rounds.

    Parameters
    ----------
    progress
        Called after each round with the rounds done and the most there can be.

    Raises
    ------
    SpecError
        If the parameters do not fit the columns, or LightGBM refuses them or the rows.
    NothingLearntError
        If a random forest's tree finds no split.
    FitError
        If LightGBM's process does not end of its own.
    """
    texts = [dataset.columns[place] for place in dataset.categorical]
    check_columns(spec.parameters, dataset.columns, texts)
    given = BoostingInput(
        parameters=complete_parameters(spec.parameters, dataset.columns) | _count_classes(spec),
        rows=_learnt_rows(dataset),
        n_rounds=spec.n_rounds,
        early_stopping_rounds=spec.early_stopping_rounds,
    )
    try:
        boosted = boost_in_process(given, model=spec.name, progress=progress)
    except NoSplitError as refusal:
        raise NothingLearntError(str(refusal)) from refusal
    except RefusedError as refusal:
        raise SpecError(str(refusal)) from refusal
    return FittedModel(
        booster=lgb.Booster(model_str=boosted.text),
        threshold=_choose_threshold(spec, dataset, boosted),
        metrics=boosted.metrics,
        warnings=boosted.warnings,
    )


def _learnt_rows(dataset: Dataset) -> Rows:
    """Return the rows of train, then those of validation."""
    train, train_labels = dataset.matrix("train")
    validation, validation_labels = dataset.matrix("validation")
    return Rows(
        features=np.concatenate([train, validation]),
        labels=np.concatenate([train_labels, validation_labels]),
        n_train=len(train),
        categorical=tuple(dataset.categorical),
    )


def _choose_threshold(spec: ModelSpec, dataset: Dataset, boosted: Boosted) -> float | None:
    if not spec.is_classifier:
        return None
    if spec.output.threshold is not None:
        return spec.output.threshold
    return best_f1_threshold(dataset.matrix("validation")[1], boosted.validation_scores)


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
    return Dataset(rows=dataset.rows, labels=dataset.labels, features=features, plan=plan)
