"""A service that has something behind every operation of its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from feast import FeatureStore

from tests.support.feast_service import make_flights_store, publish_catalog, run_service
from tests.support.manifests import make_manifest, publish, sum_graph
from tests.support.online_stores import NEWEST_STORES, ViewSpec, make_store, write_rows
from zeroskew.contract.manifest import Output

__all__ = [
    "VIEWS",
    "fill_views",
    "publish_every_kind",
    "run_whole_service",
    "set_up_whole_service",
    "write_views",
]

VIEWS = (
    ViewSpec(
        "carrier_stats",
        {"carrier": "STRING"},
        {"mean_delay": "FLOAT", "size": "STRING"},
        ttl=timedelta(hours=1),
    ),
    ViewSpec(
        "route_stats",
        {"origin": "STRING", "dest": "STRING"},
        {"flights": "INT64", "share": "DOUBLE"},
    ),
)


def write_views(folder: Path, path: Path) -> None:
    """Write one carrier and one route, known at `EVENT_TIME`, to the SQLite store at `path`."""
    fill_views(make_store(folder, VIEWS, {"type": NEWEST_STORES["sqlite"], "path": str(path)}))


def fill_views(store: FeatureStore) -> None:
    """Write one carrier and one route, known at `EVENT_TIME`, to a store with `VIEWS`."""
    write_rows(store, "carrier_stats", [{"carrier": "UA", "mean_delay": 2.5, "size": "big"}])
    write_rows(
        store, "route_stats", [{"origin": "EWR", "dest": "IAH", "flights": 3, "share": 0.125}]
    )


def publish_every_kind(folder: Path, database_url: str | None = None) -> None:
    """Publish two versions of ``arrival_delay`` and one model of each other kind."""
    add = partial(publish, folder, database_url=database_url)
    graph = sum_graph(6, 2)
    add(make_manifest(graph), graph)
    add(make_manifest(graph, description="Another."), graph, alias="challenger")
    graph = sum_graph(6, 2, output="probability")
    late = Output(kind="probability", description="P(late).", threshold=0.5)
    add(make_manifest(graph, model="is_late", output=late), graph)
    graph = sum_graph(6, 2, output="probabilities")
    kinds = Output(kind="probabilities", description="P(class).", classes=("early", "late"))
    add(make_manifest(graph, model="delay_class", output=kinds), graph)


def set_up_whole_service(folder: Path) -> Path:
    """Publish models of every kind and a feature catalog; return the online store of both."""
    online = folder / "online.db"
    write_views(folder / "model_repo", online)
    publish_every_kind(folder)
    config = {"type": NEWEST_STORES["sqlite"], "path": str(online)}
    publish_catalog(folder, make_flights_store(folder / "feast_repo", config))
    return online


@contextmanager
def run_whole_service(folder: Path) -> Iterator[str]:
    """Run a service with models of every kind and a feature catalog; yield its address."""
    with run_service(folder, f"sqlite:///{set_up_whole_service(folder)}") as url:
        yield url
