"""A user's column is never the trainer's own, and LightGBM sees none of the user's names."""

from __future__ import annotations

import numpy as np
import polars as pl

from tests.support.boosters import booster_of
from tests.support.model_specs import tiny_spec
from training.dataset.build_dataset import Dataset, encode_columns
from training.fit.fit_model import fit_model, request_only_dataset
from zeroskew.contract.manifest import Column, FeaturePlan, FieldType, Output, RequestField

NAMES = [
    *("span", "label", "label_known_at", "row", "Column_0", "known_at"),
    *("a b", "a_b", "größe", "a.b", "x" * 200, "features", "self", "class", "$y_1$"),
    *("a[0]", 'say "no"', "a,b", "a:b", "{a}", "a'b", "100 %"),
]


def test_any_name_is_fitted_and_none_is_mixed_up() -> None:
    """Each column alone decides the label of the rows that carry its number."""
    rng = np.random.default_rng(5)
    n_rows = 6_000
    values = {name: rng.random(n_rows) for name in NAMES}
    deciding = values["label"] + 10 * values["span"]
    rows = pl.DataFrame(values)
    span = np.repeat(["train", "validation", "test"], n_rows // 3)
    plan = FeaturePlan(
        project="p",
        feature_service="s",
        views=(),
        columns=tuple(Column(name=name, field=name) for name in NAMES),
    )
    plan, features = encode_columns(rows, plan, train=pl.Series(span == "train"))
    dataset = Dataset(
        rows=rows,
        labels=pl.DataFrame({"label": deciding, "span": span}),
        features=features,
        plan=plan,
    )
    request = tuple(
        RequestField(name=name, type=FieldType.NUMBER, description="", example=1.0)
        for name in NAMES
    )
    spec = tiny_spec(
        request=request,
        columns=tuple(NAMES),
        parameters={"objective": "regression"},
        n_rounds=60,
        output=Output(kind="value", description=""),
    )
    model = fit_model(spec, dataset)
    gains = dict(zip(NAMES, booster_of(model).feature_importance("gain"), strict=True))
    assert sorted(gains, key=gains.__getitem__)[-2:] == ["label", "span"]
    held_out, truth = dataset.matrix("test")
    assert np.abs(model.estimator.predict(held_out) - truth).mean() < 0.5
    assert not set(NAMES) - {"Column_0"} & set(booster_of(model).feature_name())
    assert request_only_dataset(spec, dataset).matrix("test")[1].tolist() == truth.tolist()
