import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from training.metrics import (
    best_f1_threshold,
    classification_metrics,
    regression_metrics,
    weighted_auc,
)

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
        assert weighted_auc(labels, scores, weights) == 0.0
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
