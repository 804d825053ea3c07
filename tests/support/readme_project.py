"""The README's own project of a shop, with tables made up for it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

__all__ = [
    "CLOCK",
    "ROOT",
    "readme_code",
    "request_time_code",
    "write_definitions",
    "write_second_model",
    "write_tables",
]

ROOT = Path(__file__).parents[2]
CLOCK = "2024-06-15T00:00:00Z"
N_CUSTOMERS = 200


def readme_code() -> dict[str, str]:
    """Return the code blocks of "Bring your own tables" by the file the text names."""
    section = (
        (ROOT / "README.md").read_text().split("## Bring your own tables")[1].split("\n## ")[0]
    )
    return dict(re.findall(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", section, re.DOTALL))


def write_tables(lake: Path) -> None:
    """Write the tables of customers' orders and of orders, the latter with labels."""
    random = np.random.default_rng(3)
    days = pl.datetime_range(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 30, tzinfo=UTC), "1d", eager=True
    )
    events = pl.DataFrame({"customer_id": range(N_CUSTOMERS)}).join(
        pl.DataFrame({"event_timestamp": days[::5]}), how="cross"
    )
    history = events.with_columns(
        created=pl.col("event_timestamp") + pl.duration(minutes=5),
        orders_30d=pl.Series(random.integers(0, 20, events.height)),
        spent_30d=pl.Series(random.gamma(2.0, 50.0, events.height), dtype=pl.Float32),
    ).with_columns(
        # Draws nothing, so that the other columns stay as they were before it came.
        last_ordered_at=pl.col("event_timestamp")
        - pl.duration(microseconds=(pl.col("customer_id") * 7_919_000_003) % 20_000_000_000)
    )
    n_orders = 6_000
    orders = pl.DataFrame(
        {
            "customer_id": random.integers(0, N_CUSTOMERS, n_orders),
            "amount": random.gamma(2.0, 30.0, n_orders).round(2),
            "event_timestamp": pl.Series(random.choice(days.to_numpy(), n_orders))
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC")
            .dt.offset_by("1h"),
        }
    ).sort("event_timestamp")
    known = orders.join_asof(
        history.sort("event_timestamp"), on="event_timestamp", by="customer_id"
    )
    chance = 1 / (1 + np.exp(-(known["orders_30d"].fill_null(5).to_numpy() - 10) / 3))
    orders = orders.with_columns(
        returned=pl.Series(random.random(n_orders) < chance),
        decided_at=pl.col("event_timestamp") + pl.duration(days=3),
    )
    for name, table in {"customer_orders": history, "orders": orders}.items():
        (lake / name).mkdir(parents=True)
        table.write_parquet(lake / name / "part-0.parquet")


def request_time_code() -> str:
    """Return the request-time feature of `docs/own_features.md`."""
    text = (ROOT / "docs" / "own_features.md").read_text()
    (code,) = re.findall(r"`feature_repo/order_age.py`:\n\n```python\n(.*?)```", text, re.DOTALL)
    return str(code)


def write_second_model(folder: Path) -> None:
    """Add that feature, and a model that reads it."""
    (folder / "feature_repo" / "order_age.py").write_text(request_time_code())
    models = folder / "models"
    text = (models / "will_return.py").read_text()
    for old, new in (('"will_return"', '"will_return_by_age"'), ("returns_v1", "returns_v2")):
        assert old in text
        text = text.replace(old, new)
    (models / "will_return_by_age.py").write_text(text)


def write_definitions(folder: Path) -> None:
    """Write the README's two files, and the settings of Feast that they come with."""
    for name, code in readme_code().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    store = (ROOT / "feature_repo" / "feature_store.yaml").read_text()
    (folder / "feature_repo" / "feature_store.yaml").write_text(
        store.replace("project: flights", "project: returns")
    )
