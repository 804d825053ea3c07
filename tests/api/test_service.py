"""The service around predictions: health, models, documentation, publishing, start-up."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.feast.feast_interface import FeastInterface
from api.main import create_app
from api.models.loaded_models import LoadedModels
from api.predict.answering import Answering
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.settings import make_settings
from zeroskew.contract.errors.service import ModelRefusedError, RegistrySchemaError
from zeroskew.records.registry.model_registry import ModelRegistry

GRAPH = sum_graph(6, 2)
INSTANCES = {"instances": [EXAMPLE]}


def test_the_service_is_alive_and_ready(client: AppClient) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}


def test_what_is_published_later_is_served_without_a_restart(
    tmp_path: Path, online_store: Path
) -> None:
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "unavailable")
        assert client.post("/v1/models/arrival_delay:predict", json=INSTANCES).status_code == 404
        publish(tmp_path, make_manifest(GRAPH), GRAPH)
        answer = client.post("/v1/models/arrival_delay:predict", json=INSTANCES)
        assert (answer.status_code, answer.json()["version"]) == (200, 1)
        assert client.get("/readyz").status_code == 200
        assert "/v1/models/arrival_delay:predict" in client.get("/openapi.json").json()["paths"]


def test_versions_beyond_the_cache_are_loaded_again(tmp_path: Path, online_store: Path) -> None:
    for number in range(3):
        manifest = make_manifest(GRAPH, description=f"Number {number}.")
        publish(tmp_path, manifest, GRAPH, alias=None)
    settings = make_settings(tmp_path, online_store, max_model_memory_bytes=1)
    with AppClient(create_app(settings)) as client:
        for version in (1, 2, 3, 1):
            path = f"/v1/models/arrival_delay/versions/{version}:predict"
            assert client.post(path, json=INSTANCES).json()["version"] == version
            loaded = client.part(LoadedModels).list_loaded()
            assert [model.version for model in loaded] == [version]


def test_a_missing_online_store_is_unavailable_and_not_ready(
    tmp_path: Path, published: Path
) -> None:
    with AppClient(create_app(make_settings(published, tmp_path / "none.db"))) as client:
        for response in (
            client.get("/readyz"),
            client.post("/v1/models/arrival_delay:predict", json=INSTANCES),
        ):
            assert (response.status_code, response.json()["code"]) == (
                503,
                "online_store_unavailable",
            )
            assert str(tmp_path) not in response.text
        assert client.get("/livez").status_code == 200


def test_a_damaged_model_with_an_alias_keeps_the_service_from_starting(
    tmp_path: Path, online_store: Path
) -> None:
    manifest = make_manifest(GRAPH)
    publish(tmp_path, manifest, GRAPH)
    next((tmp_path / "artifacts").rglob(manifest.model_file.sha256)).write_bytes(b"damaged")
    app = create_app(make_settings(tmp_path, online_store))
    with pytest.raises(ModelRefusedError), AppClient(app):
        pass


def test_a_damaged_model_without_an_alias_is_unavailable(
    tmp_path: Path, online_store: Path
) -> None:
    manifest = make_manifest(GRAPH)
    publish(tmp_path, manifest, GRAPH, alias=None)
    next((tmp_path / "artifacts").rglob(manifest.model_file.sha256)).write_bytes(b"damaged")
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        response = client.post("/v1/models/arrival_delay/versions/1:predict", json=INSTANCES)
        assert (response.status_code, response.json()["code"]) == (503, "model_refused")


def test_a_registry_of_another_release_keeps_the_service_from_starting(
    tmp_path: Path, online_store: Path
) -> None:
    settings = make_settings(tmp_path, online_store)
    ModelRegistry.open(settings.database_url).close()
    with sqlite3.connect(tmp_path / "zeroskew.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
    connection.close()
    with pytest.raises(RegistrySchemaError), AppClient(create_app(settings)):
        pass


def test_a_registry_that_fails_later_is_unavailable_without_its_text(
    tmp_path: Path, online_store: Path
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        (tmp_path / "zeroskew.db").write_bytes(b"not a database" * 1000)
        response = client.get("/v1/models")
        assert (response.status_code, response.json()["code"]) == (503, "registry_unavailable")
        assert "database" not in response.text
        assert client.post("/v1/models/arrival_delay:predict", json=INSTANCES).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "agent", "read_error"),
    [
        (
            "/v1/models/arrival_delay:predict",
            INSTANCES,
            "kserve",
            lambda answer: answer["error"],
        ),
        (
            "/feast/get-online-features",
            {"entities": {}},
            "python-requests/2",
            lambda answer: json.loads(answer)["message"],
        ),
    ],
)
def test_a_crash_is_told_in_the_style_that_its_client_reads(
    published: Path,
    online_store: Path,
    path: str,
    body: dict[str, Any],
    agent: str,
    read_error: Callable[[Any], str],
) -> None:
    with AppClient(create_app(make_settings(published, online_store))) as client:
        client.app.parts |= {Answering: None, FeastInterface: None}
        headers = {"user-agent": agent, "accept": "*/*", "x-request-id": "r1"}
        answer = client.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert answer.headers["x-request-id"] == "r1"
    assert read_error(answer.json()).startswith("The service failed")
