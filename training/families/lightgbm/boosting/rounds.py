"""Fit LightGBM: validation chooses the rounds, then all rows are fitted with just as many.

Runs in a process of its own (`training.families.lightgbm.boosting.child`), so it imports numpy
and LightGBM alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from training.families.progress import Progress
from zeroskew.contract.errors.project import TrainingError

__all__ = ["Boosted", "FitRefusedError", "NoSplitError", "Rows", "boost"]

_MOST_WARNINGS: Final = 5
_MOST_WORDS: Final = 150
_SAME: Final = 1e-10
"""Relative difference up to which metrics count as equal: threads add them up in any order."""

_IGNORED: Final = ("Unknown parameter", "will be ignored", "is ignored", "are ignored")
"""What a warning says that tells of something given without effect."""


class FitRefusedError(TrainingError):
    """LightGBM does not take the parameters or the rows."""


class NoSplitError(FitRefusedError):
    """There is nothing to learn from: no column, or none that a tree could be split by."""


@dataclass(frozen=True)
class Rows:
    """What is learned from.

    Attributes
    ----------
    features
        Float32 ``(n_rows, n_columns)``, NaN for missing; the rows of train, then of validation.
    labels
        Float64 ``(n_rows,)``.
    n_train
        How many of the rows are train.
    categorical
        Numbers of the columns that hold category codes.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float64]
    n_train: int
    categorical: tuple[int, ...]

    def train(self) -> lgb.Dataset:
        """Return the rows before validation."""
        return self._dataset(slice(None, self.n_train))

    def validation(self, train: lgb.Dataset) -> lgb.Dataset:
        """Return the validation rows, binned as ``train``."""
        return train.create_valid(self.features[self.n_train :], self.labels[self.n_train :])

    def all(self) -> lgb.Dataset:
        """Return all rows."""
        return self._dataset(slice(None))

    def _dataset(self, rows: slice) -> lgb.Dataset:
        # Without names: columns have no other than their numbers here.
        return lgb.Dataset(
            self.features[rows], self.labels[rows], categorical_feature=list(self.categorical)
        )


@dataclass(frozen=True)
class Boosted:
    """A fitted model.

    Attributes
    ----------
    text
        The model of all rows, as LightGBM writes it.
    n_rounds
        How many rounds validation chose.
    validation_scores
        What the model that validation chose, fitted on train alone, answers on the validation
        rows: float64 ``(n,)``, or ``(n, n_classes)``.
    metrics
        Each metric of that model on the validation rows. The first chose the rounds.
    warnings
        What LightGBM had to say.
    """

    text: str
    n_rounds: int
    validation_scores: npt.NDArray[np.float64]
    metrics: dict[str, float]
    warnings: tuple[str, ...]


def boost(
    parameters: Mapping[str, Any],
    rows: Rows,
    *,
    n_rounds: int,
    early_stopping_rounds: int,
    progress: Progress | None = None,
) -> Boosted:
    """Fit on the train rows, choose the rounds on the validation rows, fit all rows with them.

    The rounds are those with the best first metric; the search ends when it has not become
    better for ``early_stopping_rounds``, with `dart` as well, whose later rounds change earlier
    trees. There the chosen model is therefore fitted once more, not cut off.

    Parameters
    ----------
    parameters
        Those that `zeroskew.declarations.lightgbm.complete_parameters` returns.
    n_rounds
        The most rounds there can be.
    progress
        Called after each round with the rounds done and the most there can be.

    Raises
    ------
    FitRefusedError
        If LightGBM does not take the parameters or rows, or ignores some of the parameters.
    NoSplitError
        If there is no column, or a tree of a random forest finds no split.
    """
    if not rows.features.shape[1]:
        raise NoSplitError("Got no column, but expected at least one to learn from")
    said = _Warnings()
    lgb.register_logger(said)
    try:
        boosted = _boost(dict(parameters), rows, n_rounds, early_stopping_rounds, progress)
    except lgb.basic.LightGBMError as error:
        raise FitRefusedError(f"Got what LightGBM refuses: {_without_place(str(error))}") from error
    said.check()
    return Boosted(*boosted, warnings=said.lines())


def _boost(
    parameters: dict[str, Any],
    rows: Rows,
    n_rounds: int,
    early_stopping_rounds: int,
    progress: Progress | None,
) -> tuple[str, int, npt.NDArray[np.float64], dict[str, float]]:
    train = rows.train()
    stop = _BestRound(early_stopping_rounds)
    searched = lgb.train(
        parameters,
        train,
        num_boost_round=n_rounds,
        valid_sets=[rows.validation(train)],
        callbacks=[*_report_to(progress, n_rounds), stop],
    )
    if stop.best == 0:
        name, value = next(iter(stop.last.items()))
        raise FitRefusedError(f"Got {name}={value} on the validation span, but expected a number")
    if parameters.get("boosting") == "dart":
        searched = lgb.train(parameters, rows.train(), num_boost_round=stop.best)
    validation = rows.features[rows.n_train :]
    scores = np.asarray(searched.predict(validation, num_iteration=stop.best), dtype=np.float64)
    model = lgb.train(
        parameters,
        rows.all(),
        num_boost_round=stop.best,
        callbacks=_report_to(progress, stop.best),
    )
    text = model.model_to_string()
    _check_forest(parameters, text)
    return text, stop.best, scores, stop.metrics


def _check_forest(parameters: Mapping[str, Any], text: str) -> None:
    """Raise where a random forest has a tree without a split.

    LightGBM 4.7 adds the mean of the labels to each tree of a forest but to those, so that such
    a forest answers too little without a word.
    """
    if parameters.get("boosting") not in ("rf", "random_forest"):
        return
    if n_constant := text.count("\nnum_leaves=1\n"):
        raise NoSplitError(
            f"Got {n_constant} trees without a split from boosting='rf', but expected none, for "
            "LightGBM leaves the mean out of them; lower min_data_in_leaf or take gbdt"
        )


class _BestRound:
    """Remembers the round with the best first metric; ends the search some rounds after it."""

    def __init__(self, patience: int) -> None:
        self.best = 0
        self.metrics: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self._patience = patience
        self._best_value = math.nan

    def __call__(self, env: Any) -> None:
        results = env.evaluation_result_list
        _, _, value, higher_is_better = results[0][:4]
        done = env.iteration + 1
        self.last = {result[1]: float(result[2]) for result in results}
        gain = value - self._best_value if higher_is_better else self._best_value - value
        better = gain > _SAME * abs(self._best_value)
        if math.isfinite(value) and (better or not self.best):
            self.best, self._best_value, self.metrics = done, value, self.last
        elif done - self.best >= self._patience:
            raise lgb.callback.EarlyStopException(self.best - 1, results)


class _Warnings:
    """Where LightGBM writes: its warnings, each once with how often it came."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def info(self, message: str) -> None:
        """Take a line of LightGBM's library, which sends warnings this way too."""
        for line in message.splitlines():
            _, is_warning, text = line.partition("[Warning] ")
            if is_warning:
                self.warning(text)

    def warning(self, message: str) -> None:
        """Take a warning."""
        # The gain that was not enough is another every time.
        self._counts[message.strip().partition(", best gain:")[0]] += 1

    def check(self) -> None:
        """Raise if something given was ignored; a call from the library itself cannot raise."""
        for text in self._counts:
            if any(sign in text for sign in _IGNORED):
                raise FitRefusedError(
                    f"Got what LightGBM ignores: {text}, but expected only what has an effect"
                )

    def lines(self) -> tuple[str, ...]:
        """Return the warnings, the most frequent ones first."""
        shown = [
            text if count == 1 else f"{text} ({count:,} times)"
            for text, count in self._counts.most_common(_MOST_WARNINGS)
        ]
        if (rest := len(self._counts) - len(shown)) > 0:
            shown.append(f"and {rest:,} other warnings")
        return tuple(shown)


def _without_place(message: str) -> str:
    """Return a message of LightGBM's, cut, without the file of its own that it names."""
    said = message.partition(" at /")[0].strip().replace("\n", " ")
    return said if len(said) <= _MOST_WORDS else f"{said[: _MOST_WORDS - 1]}…"


def _report_to(progress: Progress | None, n_rounds: int) -> list[Any]:
    if progress is None:
        return []
    return [lambda env: progress(env.iteration + 1, n_rounds)]
