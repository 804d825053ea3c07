"""Will this flight arrive 15 minutes late or more? Asked two hours before departure."""

import polars as pl

from api.contract.manifest import Output
from training.model_spec import Gate, ModelSpec
from training.models._flights import REQUEST, SPLIT, label_table

MODEL = ModelSpec(
    name="arrival_delay_15",
    description="Probability that a flight arrives 15 minutes late or more.",
    feature_service="arrival_delay_v1",
    request=REQUEST,
    columns=("carrier", "origin"),
    labels=label_table(pl.col("arrival_delay_minutes") >= 15),
    split=SPLIT,
    parameters={
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 200,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
    },
    n_rounds=600,
    output=Output(kind="probability", description="Probability of arriving >= 15 minutes late."),
    gates=(Gate(metric="auc", at_least=0.70, beats=("base_rate", "request_only")),),
)
