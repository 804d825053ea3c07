"""A service over a real registry, real files and an online store that Feast wrote."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from api.contract.manifest import Output
from api.main import create_app
from api.settings import Settings
from tests.support.app_client import AppClient
from tests.support.manifests import make_manifest, publish, sum_graph
from tests.support.online_stores import EVENT_TIME, ViewSpec, make_store, write_rows

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


@pytest.fixture(scope="session")
def online_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An online store with one carrier and one route, known at `EVENT_TIME`."""
    folder = tmp_path_factory.mktemp("online")
    store = make_store(folder, VIEWS)
    write_rows(store, "carrier_stats", [{"carrier": "UA", "mean_delay": 2.5, "size": "big"}])
    write_rows(
        store, "route_stats", [{"origin": "EWR", "dest": "IAH", "flights": 3, "share": 0.125}]
    )
    return folder / "online.db"


def make_settings(folder: Path, online_store: Path, **changes: object) -> Settings:
    """Return settings for a service on files in `folder` that lives at `EVENT_TIME`."""
    values: dict[str, object] = {
        "database_url": f"sqlite:///{folder}/zeroskew.db",
        "artifacts_dir": folder / "artifacts",
        "online_store": f"sqlite:///{online_store}",
        "clock": EVENT_TIME,
        "port": 0,
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]  # pydantic checks them


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions of ``arrival_delay`` and one model of each other kind."""
    folder = tmp_path_factory.mktemp("registry")
    graph = sum_graph(6, 2)
    publish(folder, make_manifest(graph), graph)
    publish(folder, make_manifest(graph, description="Another."), graph, alias="challenger")
    graph = sum_graph(6, 2, output="probability")
    late = Output(kind="probability", description="P(late).", threshold=0.5)
    publish(folder, make_manifest(graph, model="is_late", output=late), graph)
    graph = sum_graph(6, 2, output="probabilities")
    kinds = Output(kind="probabilities", description="P(class).", classes=("early", "late"))
    publish(folder, make_manifest(graph, model="delay_class", output=kinds), graph)
    return folder


@pytest.fixture(scope="session")
def client(published: Path, online_store: Path) -> Iterator[AppClient]:
    """A client of the running application."""
    app = create_app(make_settings(published, online_store))
    with AppClient(app) as running:
        yield running
