"""How many minutes late will this flight arrive? Asked two hours before departure."""

import polars as pl

from training.models._flights import PARAMETERS, REQUEST, SPLIT, label_table
from zeroskew import Gate, ModelSpec, Output

MODEL = ModelSpec(
    name="arrival_delay_minutes",
    description="Expected arrival delay in minutes; early arrivals are negative.",
    feature_service="arrival_delay_v1",
    request=REQUEST,
    columns=("carrier", "origin"),
    labels=label_table(pl.col("arrival_delay_minutes")),
    split=SPLIT,
    parameters=PARAMETERS | {"objective": "regression"},
    n_rounds=600,
    output=Output(kind="value", description="Expected arrival delay.", unit="minutes"),
    gates=(Gate(metric="rmse", at_most=36.0), Gate(metric="mae", at_most=21.5)),
)
