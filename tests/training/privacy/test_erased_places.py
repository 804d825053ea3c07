"""An erasure looks where things are, and takes nothing of another project's."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64
from sqlalchemy import create_engine, text

from tests.support.log_rows import make_row
from tests.support.manifests import make_manifest, publish, sum_graph
from tests.support.online_stores import NEWEST_STORES
from tests.support.redis_servers import RedisServer
from tests.training.dataset.test_dataset import tiny_dataset
from tests.training.privacy.test_privacy import OTHER, PERSON, Place, place, run
from training.dataset.build_dataset import Dataset
from training.privacy.online_subject import open_online_subject
from training.privacy.subject import parse_subject
from training.publish.signing import public_key_of
from zeroskew.contract.errors.project import StepError
from zeroskew.records.prediction_log.spool import Spool

__all__ = ["place"]

PROJECTS = ("shop", "shop_eu", "eu_shop", "shop_", "sho", "SHOP", "p")
"""Names that begin, end or hold one another's; in SQLite case tells nothing apart in LIKE."""


def open_shop(folder: Path, project: str, online: dict[str, Any]) -> FeatureStore:
    """Apply two views of one entity and one of another, and write both persons to each."""
    store = FeatureStore(
        config=RepoConfig(
            project=project,
            provider="local",
            registry=str(folder / f"{project}.registry"),
            online_store=online,
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
    )
    kinds = {"customer_id": ValueType.INT64, "user_name": ValueType.STRING}
    entities = {
        name: Entity(name=name, join_keys=[name], value_type=kind) for name, kind in kinds.items()
    }
    views = []
    for name, key in {"users": "customer_id", "eu_users": "customer_id", "x": "user_name"}.items():
        source = FileSource(path=str(folder / "none.parquet"), timestamp_field="event_timestamp")
        views.append(
            FeatureView(
                name=name,
                entities=[entities[key]],
                ttl=timedelta(0),
                schema=[Field(name="spent", dtype=Float64)],
                source=source,
            )
        )
    store.apply([*entities.values(), *views])
    import pandas as pd

    for view in views:
        key = view.join_keys[0]
        values: list[Any] = [7, 77] if key == "customer_id" else ["7", "77"]
        frame = pd.DataFrame({key: values, "spent": [1.5, 2.5]})
        frame["event_timestamp"] = datetime(2024, 1, 1, tzinfo=UTC)
        store.write_to_online_store(view.name, df=frame)
    return store


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def shops(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    kind: dict[str, Any] = {"type": NEWEST_STORES[request.param]}
    if request.param == "sqlite":
        online = kind | {"path": str(folder / "online.db")}
        yield {project: open_shop(folder, project, online) for project in PROJECTS}, folder
        return
    with RedisServer(folder) as server:
        online = kind | {"connection_string": f"127.0.0.1:{server.port}"}
        yield {project: open_shop(folder, project, online) for project in PROJECTS}, folder


def read_all(store: FeatureStore) -> dict[str, list[Any]]:
    found = {}
    for view, key, values in (
        ("users", "customer_id", [7, 77]),
        ("eu_users", "customer_id", [7, 77]),
        ("x", "user_name", ["7", "77"]),
    ):
        rows = [{key: value} for value in values]
        answer = store.get_online_features([f"{view}:spent"], rows).to_dict()
        found[view] = answer["spent"]
    return found


def test_an_erasure_takes_what_is_its_projects_and_nothing_else(shops: Any) -> None:
    stores, folder = shops
    whole = {"users": [1.5, 2.5], "eu_users": [1.5, 2.5], "x": [1.5, 2.5]}
    subject = parse_subject(["customer_id=7"])
    # `shop_eu_users` is a table of two projects, which is nobody's doing but theirs.
    shared = "shop_eu" if (folder / "online.db").exists() else None
    for project in ("shop", "p"):
        online = open_online_subject(stores[project])
        found = online.find(subject)
        assert [one["keys"] for one in found] == [{"customer_id": 7}] * len(found)
        assert online.forget(subject) == len(found) > 0
        assert online.forget(subject) == 0
        assert read_all(stores[project]) == {
            "users": [None, 2.5],
            "eu_users": [None, 2.5],
            "x": [1.5, 2.5],
        }
    for project in PROJECTS:
        if project not in ("shop", "p", "SHOP", shared):
            assert read_all(stores[project]) == whole, project
    if shared is None:
        return
    assert read_all(stores[shared])["eu_users"] == [1.5, 2.5]
    with closing(sqlite3.connect(folder / "online.db")) as database:
        times = database.execute("SELECT view_table, entity_key FROM zeroskew_event_times")
        left = [table for table, key in times if (7).to_bytes(8, "little") in bytes(key)]
    assert not {"shop_users", "shop_eu_users", "p_users", "p_eu_users"} & set(left)
    assert {"sho_users", "eu_shop_users", "shop_eu_eu_users"} <= set(left)


def spool_of_person(folder: Path, place: Place) -> None:
    engine = create_engine(place.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        (row,) = connection.execute(
            text("SELECT * FROM prediction WHERE n_rows = 1 ORDER BY id LIMIT 1")
        ).mappings()
    engine.dispose()
    spool = Spool(folder, max_bytes=1 << 20)
    moment = datetime.now(UTC)
    spool.append(
        [
            make_row(0)._replace(
                **dict(row) | {"time": moment, "logged_at": moment, "degraded": False}
            )
        ]
    )
    spool.close()


def sql(place: Place, statement: str, **values: Any) -> None:
    engine = create_engine(place.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


def erase(place: Place, *options: str) -> tuple[int, str, dict[str, Any]]:
    receipt = place.folder / "receipt.json"
    receipt.unlink(missing_ok=True)
    done = run("erase", f"origin={PERSON}", "--receipt", str(receipt), *options)
    return done.exit_code, done.output, json.loads(receipt.read_text()) if receipt.exists() else {}


def test_the_spool_of_a_service_is_found_where_it_says_it_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = place.folder / "elsewhere"
    spool_of_person(elsewhere, place)
    assert PERSON.encode() in (next(elsewhere.glob("*.spool"))).read_bytes()
    # By the service's own setting, given to the command.
    monkeypatch.setenv("ZEROSKEW_LOG_SPOOL_DIR", str(elsewhere))
    status, _, receipt = erase(place, "--drained")
    assert status == 0
    assert f"spool {elsewhere}" in receipt["places"]
    assert PERSON.encode() not in place.dump()
    # By what a service of this machine has said, though the command was not given it.
    monkeypatch.delenv("ZEROSKEW_LOG_SPOOL_DIR")
    another = place.folder / "another"
    place.predict_and_label()
    spool_of_person(another, place)
    sql(place, "UPDATE service_place SET spool_dir = :folder", folder=str(another))
    status, _, receipt = erase(place, "--drained")
    assert status == 0
    assert {f"spool {another}", f"spool {place.spool}"} <= set(receipt["places"])
    assert PERSON.encode() not in place.dump()
    assert OTHER.encode() in place.dump()


def test_a_receipt_is_complete_only_about_what_was_looked_at(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql(
        place,
        "INSERT INTO service_place SELECT 'far', '/var/spool', online_store, seen_at"
        " FROM service_place",
    )
    status, output, receipt = erase(place)
    assert (status, receipt["is_complete"]) == (3, False)
    assert "spool /var/spool on far" in receipt["left"]
    assert "not looked at: spool /var/spool on far" in output
    assert erase(place, "--drained")[0] == 0
    # A service that runs here and reads another store: nothing is erased before that is clear.
    place.predict_and_label()
    sql(
        place,
        "UPDATE service_place SET online_store = 'redis://other:6379' WHERE host <> 'far'",
    )
    status, output, receipt = erase(place, "--drained")
    assert (status, receipt) == (1, {})
    assert PERSON.encode() in place.dump()
    sql(
        place,
        "UPDATE service_place SET seen_at = :old",
        old="2020-01-01 00:00:00.000000+00:00"[: 26 if place.redis is None else None],
    )
    assert erase(place, "--drained")[0] == 0
    monkeypatch.setenv("ZEROSKEW_ONLINE_STORE", "redis://other:6379")
    assert erase(place, "--drained")[0] == 1
    monkeypatch.setenv("ZEROSKEW_ONLINE_STORE", "mongodb://u:hush@h")
    refused = run("where", "origin").exception
    assert str(refused).startswith("Got an unknown kind of address in ZEROSKEW_ONLINE_STORE, but")
    assert "hush" not in str(refused)


def train_on(place: Place, model: str, *origins: str, field: str = "origin") -> Path:
    """Leave in a work folder what the steps leave of a model of two rows, one of each origin."""
    folder = place.folder / "var" / "work" / model
    folder.mkdir(parents=True)
    dataset = tiny_dataset()
    rows = dataset.rows.with_columns(pl.Series(field, origins))
    replace(dataset, rows=rows).save(folder)
    for name in ("booster.txt", "fitted.json", "model.onnx", "report.md"):
        (folder / name).write_text(f"fitted on rows of {origins}")
    return folder


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_erasure_removes_the_step_files_of_each_model_that_knows_the_person(
    place: Place,
) -> None:
    known, stranger = (
        train_on(place, "known", PERSON, OTHER),
        train_on(place, "stranger", OTHER, "X"),
    )
    kept = files_of(stranger)
    assert "work/known" in run("where", "origin").output
    exported = json.loads(run("export", f"origin={PERSON}").stdout)
    (found,) = exported["step_files"]
    assert (found["model"], [row["origin"] for row in found["rows"]]) == ("known", [PERSON])
    status, output, receipt = erase(place, "--drained")
    assert (status, receipt["is_complete"]) == (0, True)
    assert receipt["erased"]["step_files"] == len(kept)
    assert f"{len(kept)} step files of known removed" in output
    assert f"step files of training in {place.folder / 'var' / 'work'}" in receipt["places"]
    assert (files_of(known), files_of(stranger)) == ([], kept)
    assert Dataset.load(stranger).rows["origin"].to_list() == [OTHER, "X"]
    with pytest.raises(StepError, match="with `zeroskew train`"):
        Dataset.load(known)
    assert PERSON.encode() not in place.dump()
    assert erase(place, "--drained")[2]["erased"]["step_files"] == 0


@pytest.mark.parametrize("damaged", ["rows.parquet", "features.parquet", "plan.json"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_step_files_that_do_not_tell_whose_they_are_are_removed(
    place: Place, damaged: str, *, is_gone: bool
) -> None:
    folder = train_on(place, "known", OTHER, PERSON)
    if is_gone:
        (folder / damaged).unlink()
    else:
        (folder / damaged).write_bytes(b"cut")
    status, _, receipt = erase(place, "--drained")
    assert (status, receipt["is_complete"]) == (0, True)
    assert files_of(folder) == []


def test_rows_that_an_earlier_release_took_out_left_their_features(place: Place) -> None:
    folder = train_on(place, "known", OTHER, PERSON)
    rows = pl.read_parquet(folder / "rows.parquet")
    rows.filter(pl.col("origin") != PERSON).write_parquet(folder / "rows.parquet")
    assert erase(place, "--drained")[0] == 0
    assert files_of(folder) == []


def test_a_version_whose_manifest_names_the_person_is_named_and_not_complete(
    place: Place,
) -> None:
    graph = sum_graph(6, 2)
    manifest = make_manifest(graph, model="old")
    names = [key.name for key in manifest.plan.views[1].join_keys]
    golden = [
        key.model_copy(update={"values": tuple(PERSON if n == "origin" else "IAH" for n in names)})
        if len(key.values) == 2
        else key
        for key in manifest.golden_keys
    ]
    publish(
        place.folder,
        manifest.model_copy(update={"golden_keys": tuple(golden)}),
        graph,
        database_url=place.url,
    )
    status, output, receipt = erase(place, "--drained")
    assert (status, receipt["is_complete"]) == (3, False)
    assert receipt["left"] == ["golden keys of old version 1"]
    assert "still there: golden keys of old version 1" in output
    assert "manifests of all versions" in receipt["places"]


def test_a_simulation_that_stands_keeps_a_receipt_from_being_complete(place: Place) -> None:
    simulation = place.folder / "var" / "simulation"
    simulation.mkdir(parents=True)
    status, output, receipt = erase(place, "--drained")
    assert (status, receipt["is_complete"]) == (3, False)
    assert receipt["left"] == ["the files of a simulation"]
    assert "a simulation ends when its folder is removed" in output
    simulation.rmdir()
    assert erase(place, "--drained")[0] == 0


def test_a_receipt_is_verified_against_what_is_stored_now(place: Place) -> None:
    assert erase(place, "--drained")[0] == 0
    arguments = (str(place.folder / "receipt.json"), "--key", public_key_of(place.key_file))
    assert run("verify", *arguments).exit_code == 0
    assert run("verify", *arguments, f"origin={PERSON}").exit_code == 0
    train_on(place, "late", PERSON, OTHER)
    found = run("verify", *arguments, f"origin={PERSON}")
    assert found.exit_code == 3
    assert "still there: 1 of step_files" in found.output
    assert run("verify", *arguments).exit_code == 0
