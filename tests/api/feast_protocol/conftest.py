"""A service in this process over a project's catalog and an online store that Feast wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from feast import FeatureStore

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_service import make_flights_store, publish_catalog, settings_of
from tests.support.online_stores import open_online


@dataclass(frozen=True)
class FeastService:
    """A running application, and the store that Feast's own SDK opens on the same rows."""

    client: AppClient
    store: FeatureStore
    folder: Path

    def post(self, path: str, body: Any) -> httpx.Response:
        """Post a JSON body to an address under ``/feast``."""
        return self.client.post(f"/feast/{path}", json=body)

    def read(self, features: list[str], **entities: list[Any]) -> dict[str, list[Any]]:
        """Return the values by name."""
        return {name: one["values"] for name, one in self.results(features, **entities).items()}

    def results(self, features: list[str], **entities: list[Any]) -> dict[str, Any]:
        """Return the results by name."""
        answer = self.post("get-online-features", {"features": features, "entities": entities})
        assert answer.status_code == 200, answer.text
        names = answer.json()["metadata"]["feature_names"]
        return dict(zip(names, answer.json()["results"], strict=True))


@pytest.fixture(params=["sqlite", "redis"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FeastService]:
    """The flights project, empty, on each store."""
    with open_online(request.param, tmp_path / "online") as online:
        store = make_flights_store(tmp_path, online.config)
        publish_catalog(tmp_path, store)
        with AppClient(create_app(settings_of(tmp_path, online.url))) as client:
            yield FeastService(client, store, tmp_path)
