"""A service in this process over a project's catalog and an online store that Feast wrote."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from feast import FeatureStore

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_service import (
    make_flights_store,
    make_odd_store,
    publish_catalog,
    settings_of,
)
from tests.support.online_stores import open_online


@dataclass(frozen=True)
class FeastService:
    """A running application, and the store that Feast's own SDK opens on the same rows."""

    client: AppClient
    store: FeatureStore
    online_url: str

    def post(self, path: str, body: Any) -> httpx.Response:
        """Post a JSON body to an address under ``/feast``."""
        return self.client.post(f"/feast/{path}", json=body)

    def push(self, source: str, **df: list[Any]) -> dict[str, Any]:
        """Push rows and return what became of them in each view."""
        answer = self.post("push", {"push_source_name": source, "df": df})
        assert answer.status_code == 200, answer.text
        views: dict[str, Any] = answer.json()["views"]
        return views

    def read(self, features: list[str], **entities: list[Any]) -> dict[str, list[Any]]:
        """Return the values by name."""
        return {name: one["values"] for name, one in self.results(features, **entities).items()}

    def results(self, features: list[str], **entities: list[Any]) -> dict[str, Any]:
        """Return the results by name."""
        answer = self.post("get-online-features", {"features": features, "entities": entities})
        assert answer.status_code == 200, answer.text
        names = answer.json()["metadata"]["feature_names"]
        return dict(zip(names, answer.json()["results"], strict=True))


@contextmanager
def open_service(
    kind: str, folder: Path, make_store: Callable[..., FeatureStore], **changes: object
) -> Iterator[FeastService]:
    """Run a service on a new project, ``sqlite`` or a ``redis`` server of its own."""
    with open_online(kind, folder / "online") as online:
        store = make_store(folder, online.config)
        publish_catalog(folder, store)
        with AppClient(create_app(settings_of(folder, online.url, **changes))) as client:
            yield FeastService(client, store, online.url)


@pytest.fixture(scope="package", params=["sqlite", "redis"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FeastService]:
    """The flights project on each store; each test has entities of its own."""
    folder = tmp_path_factory.mktemp("flights")
    with open_service(request.param, folder, make_flights_store) as opened:
        yield opened


@pytest.fixture(scope="package", params=["sqlite", "redis"])
def odd_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FeastService]:
    """A project of what is seldom, on each store."""
    folder = tmp_path_factory.mktemp("odd")
    with open_service(request.param, folder, make_odd_store) as opened:
        yield opened
