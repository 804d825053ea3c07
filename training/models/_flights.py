"""What the two flight models share: the request, the label table and the split."""

from datetime import timedelta

import polars as pl

from zeroskew import FieldType, LabelTable, RequestField, TimeSplit

REQUEST = (
    RequestField(
        name="carrier",
        type=FieldType.STRING,
        description="Two-character code of the carrier.",
        example="UA",
    ),
    RequestField(
        name="origin",
        type=FieldType.STRING,
        description="Airport of departure. The models know New York's three.",
        example="EWR",
        choices=("EWR", "JFK", "LGA"),
    ),
    RequestField(
        name="dest",
        type=FieldType.STRING,
        description="Three-letter code of the airport of arrival.",
        example="IAH",
    ),
    RequestField(
        name="tailnum",
        type=FieldType.STRING,
        description="Tail number of the plane, or null where none is assigned yet.",
        example="N14228",
        nullable=True,
    ),
    RequestField(
        name="scheduled_departure",
        type=FieldType.TIMESTAMP,
        description="Scheduled departure, with its UTC offset.",
        example="2013-10-01T10:17:00-04:00",
    ),
)

# Train on January to August, stop early on September, judge on October to December.
SPLIT = TimeSplit.from_dates("2013-01-01", "2013-09-01", "2013-10-01", "2014-01-02")

# Both models are fitted alike; only the objective differs.
PARAMETERS = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
}


def label_table(label: pl.Expr) -> LabelTable:
    """Return the flights' label table with ``label`` as the target."""
    return LabelTable(
        table="arrival_labels",
        label=label,
        known_at="label_known_at",
        # Two hours to the departure, the longest flight, and a delay that seldom is a day.
        matures_after=timedelta(hours=36),
    )
