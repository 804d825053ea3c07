"""A project of some shops and their orders, on which models of any kind can be fitted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from feast import FeatureService
from feast.types import Float64

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_repos import entity, view, write_table
from training.pipeline import TRAINING_STEPS, materialize
from training.project.workspace import Workspace
from zeroskew.contract.manifest import FieldType, Output, RequestField
from zeroskew.contract.settings import Settings
from zeroskew.declarations.model_spec import LabelTable, ModelSpec, TimeSplit

__all__ = [
    "NOW",
    "SIZES",
    "OrdersService",
    "ignore_progress",
    "make_orders_project",
    "order_spec",
    "run_steps",
    "serve_orders",
]

NOW: Final = datetime(2024, 6, 15, tzinfo=UTC)
SIZES: Final = ("small", "middle", "large")
N_SHOPS, N_ORDERS = 40, 4_000
STORE: Final = """
project: kinds
provider: local
registry: {home}/registry.db
online_store: {{type: sqlite, path: {home}/online.db}}
offline_store: {{type: zeroskew.features.offline_store.polars_asof.PolarsAsofOfflineStore}}
entity_key_serialization_version: 3
materialization: {{pull_latest_features: true}}
"""


def order_spec(name: str, label: str, output: Output, **declared: Any) -> ModelSpec:
    """Return a model of the orders, from the amount and the mood of the shop."""
    defaults: dict[str, Any] = {
        "name": name,
        "description": "One of the kinds.",
        "feature_service": "kinds_v1",
        "request": (
            RequestField(name="shop", type=FieldType.STRING, description="Shop.", example="s1"),
            RequestField(name="amount", type=FieldType.NUMBER, description="Euros.", example=3.5),
        ),
        "columns": ("amount",),
        "labels": LabelTable(table="orders", label=pl.col(label), known_at="known_at"),
        "split": TimeSplit.from_dates("2024-01-01", "2024-04-15", "2024-05-15", "2024-06-15"),
        "output": output,
    }
    return ModelSpec(**(defaults | declared))


def make_orders_project(folder: Path) -> Workspace:
    """Return a project with tables, definitions and online values, and nothing fitted."""
    home = folder / "var"
    (folder / "repo").mkdir()
    (folder / "repo" / "feature_store.yaml").write_text(STORE.format(home=home))
    workspace = Workspace(feature_repo=folder / "repo", home=home)
    _write_tables(home / "lake")
    shop = entity("shop")
    shops = view("shops", home / "lake" / "shops", [shop], {"mood": Float64}, ttl=timedelta(30))
    store = workspace.open_feature_store()
    store.apply([shop, shops, FeatureService(name="kinds_v1", features=[shops])])
    materialize(workspace, NOW, ignore_progress)
    return workspace


def run_steps(workspace: Workspace, spec: ModelSpec) -> None:
    """Run all training steps of a model."""
    for step in TRAINING_STEPS:
        step.run(workspace, spec, ignore_progress)


def ignore_progress(done: int, total: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class OrdersService:
    """A service of all published models, in this process."""

    workspace: Workspace
    client: AppClient

    def predict(self, model: str, instances: list[dict[str, Any]]) -> dict[str, Any]:
        answer = self.client.post(f"/v1/models/{model}:predict", json={"instances": instances})
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document


@contextmanager
def serve_orders(workspace: Workspace) -> Iterator[OrdersService]:
    """Serve what is published there, from its online store."""
    settings = Settings(
        database_url=workspace.database_url,
        artifacts_dir=workspace.artifacts_dir,
        online_store=f"sqlite:///{workspace.home}/online.db",
        clock=NOW,
        log_mode="durable",
        log_spool_dir=workspace.home / "spool",
    )
    with AppClient(create_app(settings)) as client:
        yield OrdersService(workspace, client)


def _write_tables(lake: Path) -> None:
    random = np.random.default_rng(11)
    days = pl.datetime_range(datetime(2024, 1, 1, tzinfo=UTC), NOW, "5d", eager=True)
    shops = pl.DataFrame({"shop": [f"s{i}" for i in range(N_SHOPS)]})
    history = shops.join(pl.DataFrame({"event_timestamp": days}), how="cross").with_columns(
        created=pl.col("event_timestamp") + pl.duration(minutes=5)
    )
    history = history.with_columns(mood=pl.Series(random.normal(size=history.height)))
    write_table(lake / "shops" / "part-0.parquet", history)
    seconds = np.sort(random.integers(0, 166 * 86_400, N_ORDERS)) + np.arange(N_ORDERS) / 1e4
    orders = pl.DataFrame(
        {
            "shop": random.choice(shops["shop"].to_numpy(), N_ORDERS),
            "amount": random.gamma(2.0, 10.0, N_ORDERS).round(2),
            "event_timestamp": [
                datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=float(one)) for one in seconds
            ],
        }
    )
    joined = orders.sort("event_timestamp").join_asof(
        history.sort("event_timestamp"), on="event_timestamp", by="shop"
    )
    signal = joined["mood"].fill_null(0).to_numpy() + joined["amount"].to_numpy() / 20 - 1
    number = np.digitize(signal + random.normal(0, 0.5, N_ORDERS), [-0.5, 0.7])
    orders = orders.with_columns(
        size=pl.Series([SIZES[i] for i in number]),
        size_number=pl.Series(number),
        wait=pl.Series(10 + 3 * signal + random.gumbel(0, 2, N_ORDERS)),
        n_items=pl.Series(random.poisson(np.exp(0.5 * signal.clip(-3, 3)))),
        noise=pl.Series(random.choice(SIZES, N_ORDERS)),
        known_at=pl.col("event_timestamp") + pl.duration(hours=1),
    )
    write_table(lake / "orders" / "part-0.parquet", orders)
