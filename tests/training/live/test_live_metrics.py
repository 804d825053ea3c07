"""Served predictions are measured by what their version learned."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from training.live.live_metrics import measure_live
from training.live.rollouts.guard import losses_of
from zeroskew.contract.manifest import Output, Scalar
from zeroskew.declarations.objective_table import Objective
from zeroskew.declarations.objectives import read_objective

TWO = ("a", "b")


def learned(
    objective: str, kind: Any = "value", classes: tuple[str, ...] | None = None, **more: Scalar
) -> Objective:
    output = Output(kind=kind, description="", classes=classes)
    return read_objective({"objective": objective} | more, output)


def outcomes(*rows: tuple[int, float, float], probabilities: Any = None) -> pl.DataFrame:
    """Return rows of version, score and label."""
    n_rows = len(rows)
    return pl.DataFrame(
        {
            "time": [datetime(2024, 1, 1 + number, tzinfo=UTC) for number in range(n_rows)],
            "version": [version for version, _, _ in rows],
            "arm": ["champion"] * n_rows,
            "score": [score for _, score, _ in rows],
            "probabilities": pl.Series(probabilities or [None] * n_rows, dtype=pl.List(pl.Float64)),
            "hit_threshold": [0.5] * n_rows,
            "label": [label for _, _, label in rows],
            "is_mature": [True] * n_rows,
        }
    )


def measure(rows: pl.DataFrame, *objectives: Objective) -> dict[str, float]:
    (measured,) = measure_live(rows, dict(enumerate(objectives, 1)), [])
    return {name: metric.value for name, metric in measured.metrics.items()}


def test_a_quantile_is_measured_by_pinball_loss_and_coverage() -> None:
    rows = outcomes((1, 10, 8), (1, 10, 12), (1, 10, 9), (1, 10, 10))
    # 0.25 * 2 above, 0.75 * (2 + 1 + 0) at or below is 0.25 a unit: alpha is 0.75.
    measured = measure(rows, learned("quantile", alpha=0.75))
    assert measured == pytest.approx(
        {"mae": 1.25, "rmse": 1.5, "pinball": (0.75 * 2 + 0.25 * 3) / 4, "coverage": 0.75}
    )


@pytest.mark.parametrize(
    ("objectives", "names"),
    [
        ((learned("quantile", alpha=0.5), learned("quantile", alpha=0.9)), {"mae", "rmse"}),
        ((learned("quantile", alpha=0.5), learned("regression")), {"mae", "rmse"}),
        ((learned("poisson"), learned("poisson")), {"mae", "rmse", "poisson_deviance"}),
        ((learned("regression"), learned("binary", "probability")), set()),
    ],
)
def test_versions_that_learned_several_things_share_what_means_the_same(
    objectives: tuple[Objective, ...], names: set[str]
) -> None:
    assert set(measure(outcomes((1, 0.5, 1), (2, 0.75, 0)), *objectives)) == names


def test_classes_are_measured_whole_where_versions_know_the_same() -> None:
    rows = outcomes(
        (1, 0, 0), (2, 1, 0), (2, 1, 1), probabilities=[[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]
    )
    same = learned("multiclass", "probabilities", TWO)
    measured = measure(rows, same, same)
    assert set(measured) == {"log_loss", "brier", "accuracy", "macro_f1", "macro_auc"}
    assert measured["log_loss"] == pytest.approx(-np.log([0.75, 0.25, 0.5]).mean())
    turned = learned("multiclass", "probabilities", ("b", "a"))
    assert measure(rows, same, turned) == {"accuracy": pytest.approx(2 / 3)}


def test_one_class_alone_gives_no_auc() -> None:
    measured = measure(outcomes((1, 0.75, 1), (1, 0.25, 1)), learned("binary", "probability"))
    assert set(measured) == {"log_loss", "brier", "accuracy", "precision", "recall", "f1"}


def test_a_rollout_of_classes_can_be_judged_by_log_loss() -> None:
    labels, likeliest = np.array([0.0, 1.0]), np.array([0.0, 0.0])
    given = np.array([0.75, 0.25])
    losses = losses_of("log_loss", labels, likeliest, None, given)
    np.testing.assert_allclose(losses, -np.log(given))
    np.testing.assert_array_equal(losses_of("error", labels, likeliest, None, given), [0.0, 1.0])


def test_a_share_is_an_error_as_far_as_it_is_on_the_other_side() -> None:
    errors = losses_of("error", np.array([0.25, 1.0]), np.array([0.9, 0.9]), np.full(2, 0.5))
    np.testing.assert_array_equal(errors, [0.75, 0.0])


def test_a_rollout_of_a_quantile_can_be_judged_by_pinball_loss() -> None:
    losses = losses_of("pinball", np.array([8.0, 12.0]), np.full(2, 10.0), None, level=0.75)
    np.testing.assert_array_equal(losses, [0.5, 1.5])
