"""LightGBM as a family: rounds until validation stops it, then all rows before the test."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from training.dataset.build_dataset import Dataset
from training.families.lightgbm.boosting.exchange import BoostingInput
from training.families.lightgbm.boosting.process import boost_in_process
from training.families.lightgbm.boosting.rounds import Boosted, FitRefusedError, NoSplitError, Rows
from training.families.lightgbm.estimator import LightgbmEstimator
from training.families.model_family import Fit, ModelFamily, NothingLearntError
from training.families.progress import Progress
from zeroskew.contract.errors.project import SpecError
from zeroskew.declarations.lightgbm import check_columns, complete_parameters
from zeroskew.declarations.model_spec import ModelSpec

__all__ = ["FAMILY", "LightgbmFamily"]


class LightgbmFamily:
    """Gradient boosted trees, and forests."""

    step_file = "booster.txt"
    libraries = ("lightgbm",)
    weighed_by = "gain"

    def fit(self, spec: ModelSpec, dataset: Dataset, progress: Progress | None) -> Fit:
        """Fit the train span until the validation span stops it, then both with as many rounds.

        ``metrics`` are LightGBM's on the validation span, of the model that validation chose;
        the first chose the rounds. What LightGBM had to say comes after them.

        Raises
        ------
        SpecError
            If the parameters do not fit the columns, or LightGBM refuses them or the rows.
        NothingLearntError
            If there is no column, or a random forest's tree finds no split.
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
        except FitRefusedError as refusal:
            raise SpecError(str(refusal)) from refusal
        estimator = LightgbmEstimator(boosted.text)
        return Fit(
            estimator=estimator,
            validation_scores=boosted.validation_scores,
            metrics=boosted.metrics,
            said=_describe_fit(estimator, boosted),
        )

    def read(self, content: bytes) -> LightgbmEstimator:
        """Return the estimator of a model text."""
        return LightgbmEstimator(content.decode())


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


def _count_classes(spec: ModelSpec) -> dict[str, Any]:
    n_classes = len(spec.objective.classes)
    return {"num_class": n_classes} if n_classes else {}


def _describe_fit(estimator: LightgbmEstimator, boosted: Boosted) -> tuple[str, ...]:
    """Say what was fitted, which metric chose the rounds, and what LightGBM had to say."""
    (chosen_by, value), *others = boosted.metrics.items()
    beside = "".join(f", {name} {other:.6g}" for name, other in others)
    return (
        f"{estimator.n_trees} trees; validation {chosen_by} {value:.6g} chose the rounds{beside}",
        *(f"LightGBM: {warning}" for warning in boosted.warnings),
    )


FAMILY: Final[ModelFamily] = LightgbmFamily()
