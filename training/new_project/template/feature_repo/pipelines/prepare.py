"""From the shop's orders to the tables that features and labels are read from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

ORDERS = Path(__file__).parents[2] / "data" / "orders.csv"
MOMENT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class PrepareReport:
    """How many rows each table has."""

    rows: dict[str, int]


def prepare(lake: Path, *, progress: Callable[[str], None] | None = None) -> PrepareReport:
    """Write the tables, one folder of Parquet files each; `zeroskew prepare` calls this."""
    orders = pl.read_csv(ORDERS, schema_overrides={"ordered_at": MOMENT, "decided_at": MOMENT})
    tables = {"customer_orders": sum_up(orders), "orders": label(orders)}
    for name, table in tables.items():
        (lake / name).mkdir(parents=True, exist_ok=True)
        table.write_parquet(lake / name / "part-0.parquet")
        if progress is not None:
            progress(f"{name}: {table.height:,} rows")
    return PrepareReport({name: table.height for name, table in tables.items()})


def sum_up(orders: pl.DataFrame) -> pl.DataFrame:
    """Return what was known of a customer after each order: the 30 days up to it.

    `event_timestamp` is the moment a row is about, `created` the one at which it could be read. A
    prediction takes the latest row whose two moments had both passed, so the order that is to be
    judged is never in its own features.
    """
    return (
        orders.sort("ordered_at")
        .rolling("ordered_at", period="30d", group_by="customer_id")
        .agg(
            orders_30d=pl.len().cast(pl.Int64),
            spent_30d=pl.col("amount").sum().cast(pl.Float32),
        )
        .rename({"ordered_at": "event_timestamp"})
        .with_columns(created=pl.col("event_timestamp") + pl.duration(minutes=5))
    )


def label(orders: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each order: what a request tells, its moment, and what came of it when."""
    return orders.select(
        "customer_id",
        "amount",
        "returned",
        "decided_at",
        event_timestamp="ordered_at",
    )
