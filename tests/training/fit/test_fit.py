"""The fit step on a small data set: rounds, thresholds, boosting types."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest

from tests.support.boosters import booster_of
from tests.support.model_specs import tiny_spec
from training.dataset.build_dataset import Dataset
from training.evaluate.evaluate_model import evaluate_model
from training.evaluate.metrics import best_f1_threshold
from training.export.export_onnx import export_onnx, serialize_model
from training.fit.fit_model import fit_model
from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.manifest import Column, FeaturePlan, Output
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.onnx_graph import open_session

COLUMNS = ("cust__spent", "cust__visits", "shop")
BAGGED: dict[str, Any] = {"bagging_freq": 1, "bagging_fraction": 0.7}


def spec(kind: str = "value", **parameters: Any) -> ModelSpec:
    objective = "binary" if kind == "probability" else "regression"
    return tiny_spec(
        parameters={"objective": objective, "min_data_in_leaf": 5, "num_threads": 1} | parameters,
        output=Output(kind=kind, description="Sales."),
        n_rounds=40,
        early_stopping_rounds=5,
    )


def dataset(kind: str = "value", n_rows: int = 600) -> Dataset:
    """Return rows whose label follows the two numbers and not the shop."""
    random = np.random.default_rng(4)
    spent, visits = random.normal(size=(2, n_rows)).astype(np.float32)
    value = spent + np.sin(2.0 * visits) + random.normal(size=n_rows) * 0.5
    shop = random.integers(0, 4, n_rows)
    span = np.repeat(["train", "validation", "test"], n_rows // 3)
    return Dataset(
        rows=pl.DataFrame(
            {
                "shop": [f"shop {number}" for number in shop],
                "at": [datetime(2024, 1, 1, tzinfo=UTC)] * n_rows,
                "event_timestamp": pl.Series(
                    [datetime(2024, 1, 1 + number % 28, tzinfo=UTC) for number in range(n_rows)]
                ),
            }
        ),
        labels=pl.DataFrame(
            {
                "label": (value > 0.5).astype(np.float64) if kind == "probability" else value,
                "span": span,
            }
        ),
        features=pl.DataFrame(
            {"cust__spent": spent, "cust__visits": visits, "shop": shop.astype(np.float32)}
        ),
        plan=FeaturePlan(
            project="p",
            feature_service="s",
            views=(),
            columns=(
                Column(name="cust__spent", field="cust__spent"),
                Column(name="cust__visits", field="cust__visits"),
                Column(name="shop", field="shop", categories=tuple(f"shop {i}" for i in range(4))),
            ),
        ),
    )


def fit_by_hand(declared: ModelSpec, rows: Dataset, spans: list[str], n_rounds: int) -> lgb.Booster:
    features, labels = rows.matrix(*spans)
    parameters = declared.parameters | {
        "deterministic": True, "force_row_wise": True, "seed": 20130101, "verbosity": -1,
    }  # fmt: skip
    return lgb.train(parameters, lgb.Dataset(features, labels, categorical_feature=[2]), n_rounds)


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": 0.3},
        {"boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.2},
        {"boosting": "rf", **BAGGED},
        {"data_sample_strategy": "goss", "learning_rate": 0.3},
        {"metric": "l1", "learning_rate": 0.3},
    ],
)
def test_refit_has_the_rounds_of_the_best_validation_metric(parameters: dict[str, Any]) -> None:
    declared, rows = spec(**parameters), dataset()
    model = fit_model(declared, rows)
    features, labels = rows.matrix("validation")

    def loss(n_rounds: int) -> float:
        errors = fit_by_hand(declared, rows, ["train"], n_rounds).predict(features) - labels
        metric = np.abs if "metric" in parameters else np.square
        return float(metric(errors).mean())

    # Each number of rounds fitted alone, which is the only way that is right for dart.
    losses = [loss(n_rounds) for n_rounds in range(1, 41)]
    best = 1
    for n_rounds, value in enumerate(losses, start=1):
        if value < losses[best - 1]:
            best = n_rounds
        elif n_rounds - best >= 5:
            break
    by_hand = fit_by_hand(declared, rows, ["train", "validation"], best)
    assert booster_of(model).num_trees() == best < 40
    np.testing.assert_array_equal(
        model.estimator.predict(rows.matrix("test")[0]), by_hand.predict(rows.matrix("test")[0])
    )
    assert model.metrics["l1" if parameters.get("metric") else "l2"] == pytest.approx(
        losses[best - 1], rel=1e-5
    )


@pytest.mark.parametrize("boosting", ["gbdt", "dart"])
def test_threshold_is_of_the_model_that_validation_chose(boosting: str) -> None:
    declared, rows = spec("probability", boosting=boosting), dataset("probability")
    model = fit_model(declared, rows)
    chosen = fit_by_hand(declared, rows, ["train"], booster_of(model).num_trees())
    features, labels = rows.matrix("validation")
    assert model.threshold == best_f1_threshold(labels, np.asarray(chosen.predict(features)))


@pytest.mark.parametrize("boosting", ["dart", "rf"])
def test_boosting_type_is_exported_as_it_predicts(boosting: str) -> None:
    rows = dataset()
    model = fit_model(spec(boosting=boosting, **BAGGED), rows)
    features = rows.matrix("test")[0]
    session = open_session(serialize_model(export_onnx(model.estimator, n_columns=3)))
    (scores,) = session.run(None, {"features": features})
    np.testing.assert_allclose(scores, model.estimator.predict(features), rtol=1e-9)


def test_first_metric_chooses_and_the_others_are_told() -> None:
    model = fit_model(spec(metric=["mae", "rmse"]), dataset())
    assert list(model.metrics) == ["l1", "rmse"]


def test_forest_without_a_split_is_refused() -> None:
    # LightGBM 4.7 would answer about 0 for labels about 100.
    rows = dataset()
    rows = replace(rows, labels=rows.labels.with_columns(label=pl.col("label") + 100.0))
    with pytest.raises(SpecError, match="trees without a split from boosting='rf'"):
        fit_model(spec(boosting="rf", min_data_in_leaf=300, **BAGGED), rows)


def test_column_is_said_by_name_and_bound_by_it() -> None:
    rows = dataset()
    model = fit_model(spec(monotone_constraints={"cust__visits": 1}), rows)
    grid = np.zeros((50, 3), np.float32)
    grid[:, 1] = np.linspace(-3, 3, 50)
    assert (np.diff(model.estimator.predict(grid)) >= 0).all()
    with pytest.raises(
        SpecError, match="'visits', but expected one of the model's: 'cust__visits'"
    ):
        fit_model(spec(monotone_constraints={"visits": 1}), rows)


def test_baseline_without_a_column_is_the_base_rate() -> None:
    # Text of more than 256 values is left out of it, and there is nothing else.
    rows = dataset(n_rows=900)
    rows = replace(rows, rows=rows.rows.with_columns(shop=pl.int_range(900).cast(pl.String)))
    declared = spec(monotone_constraints=[1, 0, 0])
    evaluation, scored = evaluate_model(declared, rows, fit_model(declared, rows))
    np.testing.assert_array_equal(scored.scores["request_only"], scored.scores["base_rate"])
    assert evaluation.baselines["request_only"] == evaluation.baselines["base_rate"]
