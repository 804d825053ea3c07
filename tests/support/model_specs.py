"""Builders of model declarations."""

from typing import Any

import polars as pl

from zeroskew.contract.manifest import FieldType, Output, RequestField
from zeroskew.declarations.model_spec import LabelTable, ModelSpec, TimeSplit

__all__ = ["tiny_spec"]


def tiny_spec(**changes: Any) -> ModelSpec:
    """Return a valid spec of one text key and one timestamp, with ``changes`` made to it."""
    declared: dict[str, Any] = {
        "name": "tiny",
        "description": "A tiny model.",
        "feature_service": "tiny_v1",
        "request": (
            RequestField(name="shop", type=FieldType.STRING, description="Shop.", example="a"),
            RequestField(
                name="at",
                type=FieldType.TIMESTAMP,
                description="When.",
                example="2024-01-01T00:00:00Z",
            ),
        ),
        "columns": ("shop",),
        "labels": LabelTable(table="labels", label=pl.col("sold"), known_at="known_at"),
        "split": TimeSplit.from_dates("2024-01-01", "2024-01-10", "2024-01-20", "2024-01-30"),
        "parameters": {"objective": "binary"},
        "output": Output(kind="probability", description="Chance of a sale."),
    }
    return ModelSpec(**(declared | changes))
