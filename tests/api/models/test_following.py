"""The service follows the registry, and goes on with what it has when it cannot."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog

from api.main import create_app
from api.models.loaded_models import LoadedModels
from api.models.registry_follower import RegistryFollower
from tests.support.app_client import AppClient
from tests.support.databases import open_database_url
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.settings import make_settings
from tests.support.waiting import wait_until
from zeroskew.contract.rollout import Rollout
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

GRAPH = sum_graph(6, 2)
INSTANCES = {"instances": [EXAMPLE]}
PREDICT = "/v1/models/arrival_delay:predict"


def publish_version(folder: Path, number: int, **changes: Any) -> int:
    alias = changes.pop("alias", "champion")
    manifest = make_manifest(GRAPH, description=f"Number {number}.", **changes)
    return publish(folder, manifest, GRAPH, alias=alias)


def damage_manifest(folder: Path, version: int) -> None:
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    sha256 = registry.get_version("arrival_delay", version).manifest_sha256
    registry.close()
    (folder / "artifacts" / sha256[:2] / sha256).write_bytes(b"damaged")


def repair_manifest(folder: Path, version: int) -> None:
    """Put right what `damage_manifest` did, and tell the registry."""
    manifest = make_manifest(GRAPH, description=f"Number {version}.")
    ArtifactStore(folder / "artifacts").put(manifest.model_dump_json().encode())
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    registry.reactivate("arrival_delay", version)
    registry.close()


def set_alias(folder: Path, version: int) -> None:
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    registry.set_alias("arrival_delay", "champion", version)
    registry.close()


def ask(client: AppClient, path: str = PREDICT) -> int:
    """Return the version that answers, or the status of a refusal."""
    response = client.post(path, json=INSTANCES)
    return int(response.json()["version"]) if response.status_code == 200 else response.status_code


def list_states(shown: dict[str, Any]) -> dict[str, str]:
    """Return the state of each version that the document of a model tells."""
    return {one["version"]: one["state"] for one in shown["model_version_status"]}


def open_client(folder: Path, online_store: Path, **settings: object) -> AppClient:
    settings = {"registry_poll_sec": 0.02, **settings}
    return AppClient(create_app(make_settings(folder, online_store, **settings)))


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """The events that the service logs."""
    with structlog.testing.capture_logs() as logged:
        yield logged


def test_an_alias_that_moves_is_followed_with_all_documents(
    tmp_path: Path, online_store: Path
) -> None:
    publish_version(tmp_path, 1)
    with open_client(tmp_path, online_store) as client:
        assert ask(client) == 1
        etag = client.get("/openapi.json").headers["etag"]
        publish_version(tmp_path, 2)
        wait_until(lambda: ask(client) == 2)
        document = client.get("/openapi.json", headers={"If-None-Match": etag})
        assert document.status_code == 200
        assert document.headers["etag"] != etag
        champion = document.json()["paths"][PREDICT]["post"]
        assert champion["description"].startswith("Number 2.")
        # The earlier one is loaded still: a move back is a look-up.
        assert {model.version for model in client.part(LoadedModels).list_loaded()} == {1, 2}


def test_a_champion_that_is_refused_leaves_the_earlier_one_serving(
    tmp_path: Path, online_store: Path, events: list[Any]
) -> None:
    publish_version(tmp_path, 1)
    with open_client(tmp_path, online_store) as client:
        publish_version(tmp_path, 2, alias=None)
        damage_manifest(tmp_path, 2)
        set_alias(tmp_path, 2)
        wait_until(lambda: any(one["event"] == "alias_not_followed" for one in events))
        assert ask(client) == 1
        assert ask(client, "/v1/models/arrival_delay/versions/2:predict") == 503
        versions = client.get("/v1/models/arrival_delay").json()["versions"]
        reasons = {one["version"]: one["refused_reason"] for one in versions}
        assert "Got bytes with sha256" in reasons[2]
        assert reasons[1] is None
        shown = client.get("/v1/models/arrival_delay").json()
        assert (
            shown["ready"] is client.get("/v2/models/arrival_delay/ready").json()["ready"] is True
        )
        assert list_states(shown) == {"1": "AVAILABLE", "2": "END"}
        # It was tried once, although it was asked for again.
        assert [one["event"] for one in events].count("model_refused") == 1
        repair_manifest(tmp_path, 2)
        wait_until(lambda: ask(client) == 2)


def test_a_start_on_a_champion_that_is_refused_takes_the_one_before(
    tmp_path: Path, online_store: Path
) -> None:
    publish_version(tmp_path, 1)
    publish_version(tmp_path, 2)
    damage_manifest(tmp_path, 2)
    with open_client(tmp_path, online_store) as client:
        assert ask(client) == 1
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("what", ["manifest", "model", "folder", "store", "object"])
def test_what_is_not_there_yet_is_not_refused_and_serves_once_it_is(
    tmp_path: Path, online_store: Path, events: list[Any], what: str
) -> None:
    publish_version(tmp_path, 1)
    publish_version(tmp_path, 2, alias=None)
    registry = ModelRegistry.open(f"sqlite:///{tmp_path}/zeroskew.db")
    version = registry.get_version("arrival_delay", 2)
    sha256 = version.model_sha256 if what == "model" else version.manifest_sha256
    store, settings = tmp_path / "artifacts", {}
    if what == "object":
        settings = {"artifacts_dir": f"file://{store}", "artifacts_cache_dir": tmp_path / "cache"}
    gone = {"folder": store / sha256[:2], "store": store}.get(what, store / sha256[:2] / sha256)
    with open_client(tmp_path, online_store, **settings) as client:
        gone.rename(tmp_path / "away")
        set_alias(tmp_path, 2)
        wait_until(lambda: any(one["event"] == "alias_not_followed" for one in events))
        assert ask(client) == 1
        answer = client.post("/v1/models/arrival_delay/versions/2:predict", json=INSTANCES)
        assert answer.status_code == 503
        assert registry.get_version("arrival_delay", 2).refused_reason is None
        (tmp_path / "away").rename(gone)
        wait_until(lambda: ask(client) == 2)
    registry.close()
    names = [one["event"] for one in events]
    assert (names.count("model_files_missing"), names.count("model_refused")) == (1, 0)


def test_a_start_while_the_champion_is_away_takes_the_one_before_until_it_is_there(
    tmp_path: Path, online_store: Path
) -> None:
    publish_version(tmp_path, 1)
    publish_version(tmp_path, 2)
    registry = ModelRegistry.open(f"sqlite:///{tmp_path}/zeroskew.db")
    sha256 = registry.get_version("arrival_delay", 2).manifest_sha256
    registry.close()
    path = tmp_path / "artifacts" / sha256[:2] / sha256
    path.rename(tmp_path / "away")
    with open_client(tmp_path, online_store) as client:
        assert ask(client) == 1
        (tmp_path / "away").rename(path)
        wait_until(lambda: ask(client) == 2)


def test_a_registry_that_is_away_changes_nothing_for_callers(
    tmp_path: Path, online_store: Path, events: list[Any]
) -> None:
    publish_version(tmp_path, 1)
    path = tmp_path / "zeroskew.db"
    with open_client(tmp_path, online_store) as client:
        follower = client.part(RegistryFollower)
        path.rename(tmp_path / "away.db")
        wait_until(lambda: follower.registry_away_sec > 0.2)
        assert ask(client) == 1
        assert ask(client, "/v1/models/unheard_of:predict") == 503
        (tmp_path / "away.db").rename(path)
        publish_version(tmp_path, 2)
        wait_until(lambda: ask(client) == 2)
        assert follower.registry_away_sec == 0
    names = [one["event"] for one in events]
    assert (names.count("registry_away"), names.count("registry_back")) == (1, 1)


def test_a_registry_that_is_locked_changes_nothing_for_callers(
    tmp_path: Path, online_store: Path
) -> None:
    publish_version(tmp_path, 1)
    settings = {"registry_timeout_sec": 0.05}
    with open_client(tmp_path, online_store, **settings) as client:
        locker = sqlite3.connect(tmp_path / "zeroskew.db", isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        wait_until(lambda: client.part(RegistryFollower).registry_away_sec > 0)
        assert ask(client) == 1
        locker.rollback()
        locker.close()
        wait_until(lambda: client.part(RegistryFollower).registry_away_sec == 0)


def test_a_registry_that_hangs_on_postgres_changes_nothing_for_callers(
    tmp_path: Path, online_store: Path, events: list[Any]
) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")

    def register(registry: ModelRegistry, number: int) -> None:
        manifest = make_manifest(GRAPH, description=f"Number {number}.").model_dump_json()
        registry.register(
            model="arrival_delay",
            manifest_sha256=artifacts.put(manifest.encode()),
            model_sha256=artifacts.put(GRAPH),
        )
        registry.set_alias("arrival_delay", "champion", number)

    with open_database_url("postgres", tmp_path) as url:
        registry = ModelRegistry.open(url)
        register(registry, 1)
        settings = {"database_url": url, "registry_timeout_sec": 0.1}
        with open_client(tmp_path, online_store, **settings) as client:
            follower = client.part(RegistryFollower)
            with psycopg.connect(url) as locker:
                locker.execute("LOCK TABLE registry_generation IN ACCESS EXCLUSIVE MODE")
                wait_until(lambda: follower.registry_away_sec > 0.3)
                assert ask(client) == 1
                assert ask(client, "/v1/models/unheard_of:predict") == 503
                locker.rollback()
            register(registry, 2)
            wait_until(lambda: ask(client) == 2)
            # Its connections are cut: the next look makes new ones.
            with psycopg.connect(url, autocommit=True) as server:
                server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            registry.close()
            registry = ModelRegistry.open(url)
            register(registry, 3)
            wait_until(lambda: ask(client) == 3)
        registry.close()
    assert "registry_back" in [one["event"] for one in events]


def test_a_hundred_models_are_served_within_the_memory_bound(
    tmp_path: Path, online_store: Path, events: list[Any]
) -> None:
    names = [f"model_{number}" for number in range(100)]
    for name in names:
        publish(tmp_path, make_manifest(GRAPH, model=name), GRAPH)
    bound = 30_000_000
    with open_client(tmp_path, online_store, max_model_memory_bytes=bound) as client:
        models = client.part(LoadedModels)
        n_loaded = len(models.list_loaded())
        assert 5 < n_loaded < 20
        for name in (*names, *names[:3]):
            assert ask(client, f"/v1/models/{name}:predict") == 1
            assert len(models.list_loaded()) <= n_loaded
        newest = {model.name for model in models.list_loaded()}
        assert newest >= {*names[:3], *names[-5:]}
    told = [one for one in events if one["event"] == "serving_models_exceed_memory"]
    assert [(one["n_in_memory"], one["max_bytes"]) for one in told] == [(n_loaded, bound)]


def test_what_no_alias_names_makes_room_first(
    tmp_path: Path, online_store: Path, events: list[Any]
) -> None:
    publish_version(tmp_path, 1)
    for number in range(2, 7):
        publish_version(tmp_path, number, alias=None)
    with open_client(tmp_path, online_store, max_model_memory_bytes=8_000_000) as client:
        for number in range(2, 7):
            path = f"/v1/models/arrival_delay/versions/{number}:predict"
            assert ask(client, path) == number
            loaded = [model.version for model in client.part(LoadedModels).list_loaded()]
            assert loaded[0] == 1
            assert number in loaded
            assert len(loaded) <= 3
    assert "model_dropped" in [one["event"] for one in events]
    assert "serving_models_exceed_memory" not in [one["event"] for one in events]


def test_models_come_from_an_object_store_and_its_cache(
    tmp_path: Path, online_store: Path, events: list[Any]
) -> None:
    publish_version(tmp_path, 1)
    store = tmp_path / "bucket"
    (tmp_path / "artifacts").rename(store)
    settings = {"artifacts_dir": f"file://{store}", "artifacts_cache_dir": tmp_path / "cache"}
    with open_client(tmp_path, online_store, **settings) as client:
        assert ask(client) == 1
    cached = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(cached) == 2
    # Without the store the cache is enough; what is damaged in it is fetched again.
    store.rename(tmp_path / "gone")
    with open_client(tmp_path, online_store, **settings) as client:
        assert ask(client) == 1
    (tmp_path / "gone").rename(store)
    os.truncate(cached[0], 10)
    with open_client(tmp_path, online_store, **settings) as client:
        assert ask(client) == 1
    assert [one["event"] for one in events].count("cached_artifact_replaced") == 1


def test_an_unsigned_champion_is_refused_where_keys_are_trusted(
    tmp_path: Path, online_store: Path
) -> None:
    publish_version(tmp_path, 1, alias=None)
    with open_client(tmp_path, online_store, trusted_keys="ab" * 32) as client:
        set_alias(tmp_path, 1)
        assert ask(client) == 503


def test_a_retired_version_is_gone_and_comes_back(tmp_path: Path, online_store: Path) -> None:
    for number in (1, 2):
        publish_version(tmp_path, number)
    registry = ModelRegistry.open(f"sqlite:///{tmp_path}/zeroskew.db")
    path = "/v1/models/arrival_delay/versions/1"
    logging = {"log_mode": "durable", "log_spool_dir": tmp_path / "spool"}
    with open_client(tmp_path, online_store, **logging) as client:
        answer = client.post(f"{path}:predict", json=INSTANCES).json()
        assert answer["version"] == 1
        registry.retire("arrival_delay", 1)
        wait_until(lambda: ask(client, f"{path}:predict") == 410)
        assert client.post(f"{path}:predict", json=INSTANCES).json()["code"] == "version_retired"
        status = client.get(path).json()["model_version_status"][0]
        assert (status["state"], status["status"]["error_message"]) == (
            "END",
            "The version is retired.",
        )
        assert {model.version for model in client.part(LoadedModels).list_loaded()} == {2}
        model = "/v1/models/arrival_delay"
        assert list_states(client.get(model).json()) == {"1": "END", "2": "AVAILABLE"}
        # What it answered can be looked at, and loads it.
        assert client.get(f"/v1/predictions/{answer['id']}").status_code == 200
        assert {model.version for model in client.part(LoadedModels).list_loaded()} == {1, 2}
        assert f"{path}:predict" not in client.get("/openapi.json").json()["paths"]
        assert f"{path}:predict" not in client.get("/").text
        assert list_states(client.get(model).json()) == {"1": "END", "2": "AVAILABLE"}
        registry.reactivate("arrival_delay", 1)
        wait_until(lambda: ask(client, f"{path}:predict") == 1)
        assert ask(client) == 2
    registry.close()


def make_canary(candidate: int) -> Rollout:
    return Rollout.model_validate(
        {
            "kind": "canary",
            "arms": [
                {"name": "champion", "alias": "champion", "weight": 0.5},
                {"name": "candidate", "version": candidate, "weight": 0.5},
            ],
        }
    )


def test_a_rollout_is_followed_once_all_of_its_versions_can_serve(
    tmp_path: Path, online_store: Path, events: list[Any]
) -> None:
    publish_version(tmp_path, 1)
    for number in (2, 3):
        publish_version(tmp_path, number, alias=None)
    damage_manifest(tmp_path, 3)
    registry = ModelRegistry.open(f"sqlite:///{tmp_path}/zeroskew.db")
    with open_client(tmp_path, online_store) as client:
        follower = client.part(RegistryFollower)
        registry.set_rollout("arrival_delay", make_canary(2))
        wait_until(lambda: follower.table.models["arrival_delay"].rollout is not None)
        assert follower.table.models["arrival_delay"].targets == {1, 2}
        assert {model.version for model in client.part(LoadedModels).list_loaded()} == {1, 2}
        registry.set_rollout("arrival_delay", make_canary(3))
        wait_until(lambda: any(one["event"] == "rollout_not_followed" for one in events))
        assert follower.table.models["arrival_delay"].rollout == make_canary(2)
        registry.delete_rollout("arrival_delay")
        wait_until(lambda: follower.table.models["arrival_delay"].rollout is None)
        assert follower.table.models["arrival_delay"].targets == {1}
    registry.close()
