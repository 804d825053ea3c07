"""Which catalog is in force: none yet, a newer one, one of several, one that is damaged."""

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from feast import FeatureStore

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_service import make_flights_store, publish_catalog, settings_of
from tests.support.online_stores import EVENT_TIME
from tests.support.waiting import wait_until
from zeroskew.contract.feature_catalog import (
    FeatureCatalog,
    OnDemandFeature,
    OnDemandInput,
    OnDemandView,
)
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

ASKED = {"features": ["gate:walk"], "entities": {"gate_number": [1]}}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    online = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    return make_flights_store(tmp_path, online)


@pytest.fixture
def client(tmp_path: Path, store: FeatureStore) -> Iterator[AppClient]:
    """A service that tries again at once after a failure."""
    with open_client(tmp_path) as running:
        yield running


def open_client(folder: Path, **changes: object) -> AppClient:
    url = changes.pop("online_store", f"sqlite:///{folder}/online.db")
    return AppClient(create_app(settings_of(folder, str(url), feast_refresh_sec=1e-3, **changes)))


def ask(client: AppClient, asked: dict[str, Any] = ASKED) -> httpx.Response:
    return client.post("/feast/get-online-features", json=asked)


def register(folder: Path, content: bytes, project: str = "trial") -> str:
    """Publish anything as a catalog, and return its address."""
    sha256 = ArtifactStore(folder / "artifacts").put(content)
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    registry.add_feature_catalog(project=project, sha256=sha256)
    registry.close()
    return sha256


def test_without_a_catalog_the_answer_says_what_to_run(client: AppClient) -> None:
    answer = ask(client)
    assert (answer.status_code, answer.json()["code"]) == (404, "feature_catalog_missing")
    assert "`zeroskew apply`" in answer.json()["detail"]
    assert client.post("/feast/push", json={"push_source_name": "x", "df": {}}).status_code == 404
    # A probe is told that the service is not ready, not that it asks in the wrong place.
    assert client.get("/feast/health").status_code == 503


def test_a_catalog_is_followed_as_it_is_published(
    tmp_path: Path, store: FeatureStore, client: AppClient
) -> None:
    assert ask(client).status_code == 404
    catalog = publish_catalog(tmp_path, store)
    assert ask(client).status_code == 200
    assert client.get("/feast/health").status_code == 200
    views = tuple(view for view in catalog.views if view.name == "route")
    fewer = catalog.model_copy(update={"views": views, "services": (), "push_sources": ()})
    # The first answer after each is from the new one.
    for published, status in ((fewer, 404), (catalog, 200), (fewer, 404)):
        register(tmp_path, published.model_dump_json().encode())
        assert ask(client).status_code == status
    assert ask(client).json()["code"] == "unknown_feature_view"


def test_a_damaged_catalog_does_not_replace_one_that_works(
    tmp_path: Path, store: FeatureStore, client: AppClient
) -> None:
    publish_catalog(tmp_path, store)
    assert ask(client).status_code == 200
    register(tmp_path, b"{}")
    for _ in range(20):
        assert ask(client).status_code == 200


def test_a_database_that_hangs_is_a_503_by_the_deadline(
    tmp_path: Path, store: FeatureStore
) -> None:
    publish_catalog(tmp_path, store)
    settings = {"registry_timeout_sec": 10, "request_timeout_sec": 0.2}
    with (
        open_client(tmp_path, **settings) as client,
        closing(sqlite3.connect(tmp_path / "zeroskew.db")) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        answer = ask(client)
        other.rollback()
        assert (answer.status_code, answer.json()["code"]) == (503, "registry_unavailable")
        assert "Got no feature catalog within 0.2 s" in answer.json()["detail"]
        wait_until(lambda: ask(client).status_code == 200, what="a catalog after the lock")


def without_keys(catalog: FeatureCatalog) -> FeatureCatalog:
    view = catalog.views[0].model_copy(update={"join_keys": ()})
    return catalog.model_copy(update={"views": (view,), "services": (), "push_sources": ()})


def with_another_prefix(catalog: FeatureCatalog) -> FeatureCatalog:
    view = catalog.views[0].model_copy(update={"key_prefix": "00"})
    return catalog.model_copy(update={"views": (view,), "services": (), "push_sources": ()})


def without_fed_views(catalog: FeatureCatalog) -> FeatureCatalog:
    return catalog.model_copy(update={"views": (), "services": ()})


def with_graph(catalog: FeatureCatalog, model: bytes, **changes: Any) -> FeatureCatalog:
    """Add an on-demand view of one request field whose graph is anything."""
    graph = OnDemandView(
        name="computed",
        inputs=(OnDemandInput(name="x", type="DOUBLE", **changes),),
        features=(OnDemandFeature(name="out", type="DOUBLE", output="y"),),
        graph=base64.b64encode(model).decode(),
    )
    return catalog.model_copy(update={"on_demand": (graph,)})


def with_a_graph_of_no_view(catalog: FeatureCatalog) -> FeatureCatalog:
    return with_graph(catalog, make_graph("Identity"), view="nope")


def with_an_unknown_operator(catalog: FeatureCatalog) -> FeatureCatalog:
    return with_graph(catalog, make_graph("RandomNormalLike"))


def with_another_input(catalog: FeatureCatalog) -> FeatureCatalog:
    return with_graph(catalog, make_graph("Identity", name="z"))


def with_a_graph_of_floats(catalog: FeatureCatalog) -> FeatureCatalog:
    return with_graph(catalog, make_graph("Identity", kind=onnx.TensorProto.FLOAT))


def with_a_damaged_graph(catalog: FeatureCatalog) -> FeatureCatalog:
    return with_graph(catalog, make_graph("Identity")[:-9])


def make_graph(operator: str, name: str = "x", kind: int = onnx.TensorProto.DOUBLE) -> bytes:
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node(operator, [name], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, kind, ["n"])],
        [helper.make_tensor_value_info("y", kind, ["n"])],
    )
    opset = [helper.make_opsetid("", 21)]
    content: bytes = helper.make_model(
        graph, opset_imports=opset, ir_version=10
    ).SerializeToString()
    return content


def test_a_graph_that_only_calculates_is_run(
    tmp_path: Path, store: FeatureStore, client: AppClient
) -> None:
    catalog = with_graph(publish_catalog(tmp_path, store), make_graph("Neg"))
    register(tmp_path, catalog.model_dump_json().encode())
    answer = ask(client, {"features": ["computed:out"], "entities": {"x": [1.5, None]}})
    assert answer.json()["results"][0]["values"] == [-1.5, None]


@pytest.mark.parametrize(
    "change",
    [
        without_keys,
        with_another_prefix,
        without_fed_views,
        with_a_graph_of_no_view,
        with_an_unknown_operator,
        with_another_input,
        with_a_graph_of_floats,
        with_a_damaged_graph,
    ],
)
def test_a_catalog_that_contradicts_itself_is_refused(
    tmp_path: Path, store: FeatureStore, client: AppClient, change: Any
) -> None:
    catalog = publish_catalog(tmp_path, store)
    register(tmp_path, change(catalog).model_dump_json().encode())
    answer = ask(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "feature_catalog_refused")
    assert "zeroskew apply" in answer.json()["detail"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"format": "other/2"}'])
def test_what_is_no_catalog_is_refused(tmp_path: Path, client: AppClient, content: bytes) -> None:
    register(tmp_path, content)
    answer = ask(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "feature_catalog_refused")


def test_a_catalog_whose_file_is_gone_is_refused(
    tmp_path: Path, store: FeatureStore, client: AppClient
) -> None:
    publish_catalog(tmp_path, store)
    for path in (tmp_path / "artifacts").rglob("*"):
        if path.is_file():
            path.unlink()
    answer = ask(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "feature_catalog_refused")
    assert str(tmp_path) not in answer.text


def test_of_several_projects_the_settings_choose(tmp_path: Path, store: FeatureStore) -> None:
    catalog = publish_catalog(tmp_path, store)
    register(
        tmp_path, catalog.model_copy(update={"project": "shop"}).model_dump_json().encode(), "shop"
    )
    with open_client(tmp_path) as client:
        answer = ask(client)
        assert (answer.status_code, answer.json()["code"]) == (404, "feature_catalog_missing")
        assert "shop, trial" in answer.json()["detail"]
        assert "ZEROSKEW_FEAST_PROJECT" in answer.json()["detail"]
    with open_client(tmp_path, feast_project="trial") as client:
        assert ask(client).status_code == 200
    with open_client(tmp_path, feast_project="nope") as client:
        assert "'nope'" in ask(client).json()["detail"]


def test_a_store_that_the_service_does_not_write_says_so(
    tmp_path: Path, store: FeatureStore
) -> None:
    publish_catalog(tmp_path, store)
    config = tmp_path / "feature_store.yaml"
    online = f"{{type: sqlite, path: {tmp_path}/online.db}}"
    config.write_text(
        f"project: trial\nprovider: local\nregistry: none.db\nonline_store: {online}\n"
        "entity_key_serialization_version: 3\n"
    )
    df = {"gate_number": [1], "walk": [1], "wait": [1], "known_at": [EVENT_TIME.isoformat()]}
    with open_client(tmp_path, online_store=f"feast:///{config}") as client:
        assert ask(client).status_code == 200
        answer = client.post("/feast/push", json={"push_source_name": "gate_push", "df": df})
    # A status that Feast's client does not send again.
    assert (answer.status_code, answer.json()["code"]) == (501, "not_supported")
    assert "Redis and SQLite" in answer.text


def test_a_store_that_is_gone_is_a_503_for_reads_and_writes(
    tmp_path: Path, store: FeatureStore, client: AppClient
) -> None:
    publish_catalog(tmp_path, store)
    (tmp_path / "online.db").unlink()
    df = {"gate_number": [1], "walk": [1], "wait": [1], "known_at": [EVENT_TIME.isoformat()]}
    push = client.post("/feast/push", json={"push_source_name": "gate_push", "df": df})
    for answer in (ask(client), push):
        assert (answer.status_code, answer.json()["code"]) == (503, "online_store_unavailable")
    assert not (tmp_path / "online.db").exists()


def test_a_look_up_has_so_many_cells_at_most(tmp_path: Path, store: FeatureStore) -> None:
    publish_catalog(tmp_path, store)
    asked = {
        "features": ["gate:walk", "gate_wait:wait"],
        "entities": {"gate_number": [1, 2, 3]},
    }
    with open_client(tmp_path, feast_max_cells=5) as client:
        answer = ask(client, asked)
        assert answer.status_code == 422
        assert "3 rows of 2 values" in answer.json()["detail"]
    with open_client(tmp_path, feast_max_cells=6) as client:
        assert ask(client, asked).status_code == 200
