"""Will this flight arrive 15 minutes late or more? Asked two hours before departure."""

import polars as pl

from training.models._flights import PARAMETERS, REQUEST, SPLIT, label_table
from zeroskew import Gate, ModelSpec, Output

MODEL = ModelSpec(
    name="arrival_delay_15",
    description="Probability that a flight arrives 15 minutes late or more.",
    feature_service="arrival_delay_v1",
    request=REQUEST,
    columns=("carrier", "origin"),
    labels=label_table(pl.col("arrival_delay_minutes") >= 15),
    split=SPLIT,
    parameters=PARAMETERS | {"objective": "binary"},
    n_rounds=600,
    output=Output(kind="probability", description="Probability of arriving >= 15 minutes late."),
    gates=(Gate(metric="auc", at_least=0.70, beats=("base_rate", "request_only")),),
)
