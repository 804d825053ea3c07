"""Will the customer send this order back?"""

import polars as pl

from zeroskew import FieldType, LabelTable, ModelSpec, Output, RequestField, TimeSplit

MODEL = ModelSpec(
    name="will_return",
    description="Will the customer send this order back?",
    feature_service="returns_v1",
    request=(
        RequestField(name="customer_id", type=FieldType.INTEGER, description="Who.", example=7),
        RequestField(name="amount", type=FieldType.NUMBER, description="Euros.", example=59.9),
    ),
    columns=("amount",),
    labels=LabelTable(table="orders", label=pl.col("returned"), known_at="decided_at"),
    split=TimeSplit.from_dates("2024-01-01", "2024-05-01", "2024-06-01", "2024-07-01"),
    parameters={"objective": "binary", "num_leaves": 15},
    output=Output(kind="probability", description="Chance that the order comes back."),
)
