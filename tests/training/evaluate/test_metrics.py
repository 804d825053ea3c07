from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from training.evaluate.metrics import (
    best_constant,
    best_f1_threshold,
    classification_metrics,
    compare_losses,
    measure_scores,
    multiclass_metrics,
    regression_metrics,
    row_losses,
    weighted_auc,
)
from zeroskew.contract.manifest import Output, Scalar
from zeroskew.declarations.objectives import read_objective

probabilities = st.integers(0, 20).map(lambda n: n / 20)
rows = st.lists(st.tuples(st.booleans(), probabilities, st.integers(0, 5)), min_size=2, max_size=60)


def seeded_rows(n_rows: int = 2_000, n_days: int = 40) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(7)
    days = random.integers(0, n_days, n_rows)
    # Each day shifts all of its rows, as a storm does.
    logits = random.normal(size=n_rows) + random.normal(size=n_days)[days]
    labels = (random.random(n_rows) < 1 / (1 + np.exp(-logits))).astype(float)
    return labels, 1 / (1 + np.exp(-logits)), days


@given(rows)
def test_weighted_auc_equals_scikit_learn(rows: list[tuple[bool, float, int]]) -> None:
    labels = np.array([float(label) for label, _, _ in rows])
    scores = np.array([score for _, score, _ in rows])
    weights = np.array([float(weight) for _, _, weight in rows])
    if (weights @ labels) * (weights @ (1 - labels)) == 0:
        assert np.isnan(weighted_auc(labels, scores, weights))
        return
    expected = oracle.roc_auc_score(labels, scores, sample_weight=weights)
    assert weighted_auc(labels, scores, weights) == pytest.approx(expected, rel=1e-12)


def test_classification_metrics_equal_scikit_learn() -> None:
    labels, scores, days = seeded_rows()
    measured = classification_metrics(labels, scores, days, threshold=0.4)
    predicted = scores >= 0.4
    assert {name: metric.value for name, metric in measured.items()} == pytest.approx(
        {
            "auc": oracle.roc_auc_score(labels, scores),
            "log_loss": oracle.log_loss(labels, scores),
            "brier": oracle.brier_score_loss(labels, scores),
            "accuracy": oracle.accuracy_score(labels, predicted),
            "precision": oracle.precision_score(labels, predicted),
            "recall": oracle.recall_score(labels, predicted),
            "f1": oracle.f1_score(labels, predicted),
        },
        rel=1e-12,
    )


def test_a_share_counts_as_that_many_positive_rows() -> None:
    shares = np.array([0.25, 1.0, 0.5])
    scores = np.array([0.2, 0.9, 0.6])
    measured = classification_metrics(shares, scores, np.arange(3), threshold=0.5)
    # Four rows for each share, as many of them positive.
    labels = np.array([1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0], dtype=float)
    rows = classification_metrics(labels, np.repeat(scores, 4), np.arange(12), threshold=0.5)
    for name in ("auc", "log_loss", "accuracy", "precision", "recall", "f1"):
        assert measured[name].value == pytest.approx(rows[name].value, rel=1e-12), name


def test_what_rows_do_not_define_is_left_out() -> None:
    labels, days = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1, 1, 2, 2])
    scores = np.array([0.1, 0.4, 0.3, 0.6])
    nothing_called = classification_metrics(labels, scores, days, threshold=0.9)
    assert set(nothing_called) == {"auc", "log_loss", "brier", "accuracy", "recall", "f1"}
    one_class = classification_metrics(labels[:2], scores[:2], days[:2], threshold=0.2)
    assert set(one_class) == {"log_loss", "brier", "accuracy", "precision", "f1"}
    # Half of the draws have a day twice, and with it one class: they say nothing of the AUC.
    assert nothing_called["auc"].low == nothing_called["auc"].value == 0.75


def test_multiclass_metrics_equal_scikit_learn() -> None:
    random = np.random.default_rng(5)
    labels = random.integers(0, 4, 1_500).astype(float)
    raw = random.normal(size=(1_500, 4)) + 1.5 * np.eye(4)[labels.astype(int)]
    scores = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    measured = multiclass_metrics(labels, scores, random.integers(0, 30, 1_500))
    predicted = scores.argmax(axis=1)
    assert {name: metric.value for name, metric in measured.items()} == pytest.approx(
        {
            "log_loss": oracle.log_loss(labels, scores),
            "brier": ((np.eye(4)[labels.astype(int)] - scores) ** 2).sum(axis=1).mean(),
            "accuracy": oracle.accuracy_score(labels, predicted),
            "macro_f1": oracle.f1_score(labels, predicted, average="macro"),
            "macro_auc": oracle.roc_auc_score(labels, scores, multi_class="ovr"),
        },
        rel=1e-12,
    )
    assert all(metric.low < metric.value < metric.high for metric in measured.values())


def test_a_class_that_the_model_does_not_know_is_a_miss() -> None:
    scores, days = np.array([[0.9, 0.1], [0.2, 0.8]]), np.arange(2)
    known = multiclass_metrics(np.array([0.0, 1.0]), scores, days)
    unknown = multiclass_metrics(np.array([0.0, -1.0]), scores, days)
    assert (known["accuracy"].value, unknown["accuracy"].value) == (1.0, 0.5)
    assert unknown["log_loss"].value == pytest.approx(-(np.log(0.9) + np.log(1e-15)) / 2)
    # 0.1² + 0.1² of the first; 0.2² + 0.8² + 1² of the second.
    assert unknown["brier"].value == pytest.approx((0.02 + 1.68) / 2)


@pytest.mark.parametrize(
    ("parameters", "metric", "expected"),
    [
        ({"objective": "regression"}, "rmse", oracle.root_mean_squared_error),
        ({"objective": "mae"}, "mae", oracle.mean_absolute_error),
        ({"objective": "huber"}, "mae", oracle.mean_absolute_error),
        ({"objective": "mape"}, "mape", oracle.mean_absolute_percentage_error),
        ({"objective": "poisson"}, "poisson_deviance", oracle.mean_poisson_deviance),
        ({"objective": "gamma"}, "gamma_deviance", oracle.mean_gamma_deviance),
        (
            {"objective": "tweedie", "tweedie_variance_power": 1.3},
            "tweedie_deviance",
            partial(oracle.mean_tweedie_deviance, power=1.3),
        ),
        (
            {"objective": "tweedie", "tweedie_variance_power": 1},
            "tweedie_deviance",
            partial(oracle.mean_tweedie_deviance, power=1),
        ),
        (
            {"objective": "quantile", "alpha": 0.8},
            "pinball",
            partial(oracle.mean_pinball_loss, alpha=0.8),
        ),
    ],
)
def test_each_objective_is_judged_by_its_own_loss(
    parameters: dict[str, Scalar], metric: str, expected: Callable[..., float]
) -> None:
    objective = read_objective(parameters, Output(kind="value", description=""))
    random = np.random.default_rng(3)
    labels, days = random.gamma(2.0, 3.0, 800) + 1.0, random.integers(0, 20, 800)
    scores = labels * random.gamma(20.0, 0.05, 800)
    assert objective.metric == metric
    measured = measure_scores(objective, labels, scores, days)
    assert tuple(sorted(measured)) == tuple(sorted(objective.metrics))
    assert measured[metric].value == pytest.approx(expected(labels, scores), rel=1e-12)
    if metric == "pinball":
        assert measured["coverage"].value == np.mean(labels <= scores)
    # The base rate is the constant of which none other loses less.
    constant = best_constant(objective, labels)
    least = row_losses(objective, labels, np.full(800, constant)).mean()
    for other in np.linspace(labels.min(), labels.max(), 201):
        assert row_losses(objective, labels, np.full(800, other)).mean() >= least - 1e-12
    # The same days of both: the difference is far narrower than either.
    difference = compare_losses(objective, labels, scores, np.full(800, constant), days)
    assert difference.high < 0
    swapped = compare_losses(objective, labels, np.full(800, constant), scores, days)
    assert swapped.value == pytest.approx(-difference.value)


def test_a_label_outside_the_objective_defines_no_deviance() -> None:
    gamma = read_objective({"objective": "gamma"}, Output(kind="value", description=""))
    measured = measure_scores(gamma, np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.arange(2))
    assert set(measured) == {"mae", "rmse"}


def test_regression_metrics_equal_scikit_learn() -> None:
    labels, scores, days = seeded_rows()
    measured = regression_metrics(labels, scores, days)
    assert measured["mae"].value == pytest.approx(oracle.mean_absolute_error(labels, scores))
    assert measured["rmse"].value == pytest.approx(oracle.root_mean_squared_error(labels, scores))


def test_intervals_hold_the_value_and_repeat() -> None:
    labels, scores, days = seeded_rows()
    measured = classification_metrics(labels, scores, days, threshold=0.5)
    assert all(metric.low < metric.value < metric.high for metric in measured.values())
    assert measured == classification_metrics(labels, scores, days, threshold=0.5)


def test_days_of_unlike_rows_widen_the_interval() -> None:
    labels, scores, days = seeded_rows()
    by_day = regression_metrics(labels, scores * 0, days)["mae"]
    by_row = regression_metrics(labels, scores * 0, np.arange(len(days)))["mae"]
    assert by_day.high - by_day.low > 1.5 * (by_row.high - by_row.low)


@given(rows)
def test_best_f1_threshold_equals_trying_every_score(rows: list[tuple[bool, float, int]]) -> None:
    labels = np.array([float(label) for label, _, _ in rows])
    scores = np.array([score for _, score, _ in rows])

    def f1(threshold: float) -> float:
        predicted = scores >= threshold
        return float(2 * (predicted @ labels) / (predicted.sum() + labels.sum()))

    best = best_f1_threshold(labels, scores)
    assert best in scores
    assert f1(best) == max(f1(threshold) for threshold in scores)
