"""What is pushed is what training finds: online and in the table, or in neither."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Float32, Int64, Map, String, UnixTimestamp

from tests.api.feast.conftest import FeastService, open_service
from tests.support.feast_repos import ASOF_STORE
from tests.support.feast_service import open_trial_store
from tests.support.online_stores import EVENT_TIME
from zeroskew.features.pushed_rows.collect import Collected, collect_pushes
from zeroskew.records.database.open_database import open_database

SECOND = timedelta(seconds=1)
FEATURES = {
    "n": Int64,
    "share": Float32,
    "name": String,
    "seen": UnixTimestamp,
    "ids": Array(Int64),
}


def make_lake_store(folder: Path, online_store: dict[str, Any]) -> FeatureStore:
    """Apply views over Parquet tables: alone, beside another one, and of a kind not written."""
    store = open_trial_store(folder, online_store, {"type": ASOF_STORE})
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)

    def view(name: str, source: Any, features: dict[str, Any]) -> FeatureView:
        schema = [Field(name=feature, dtype=kind) for feature, kind in features.items()]
        return FeatureView(name=name, entities=[shop], schema=schema, source=source)

    def table(name: str, created: str = "created") -> FileSource:
        return FileSource(
            name=f"{name}_table",
            path=f"lake/{name}",
            timestamp_field="event_timestamp",
            created_timestamp_column=created,
        )

    def push(source: Any, name: str) -> PushSource:
        return PushSource(name=f"{name}_push", batch_source=source)

    shared = table("shared")
    views = [
        view("orders", push(table("orders"), "orders"), FEATURES),
        view("half", push(shared, "half"), {"a": Int64}),
        view("whole", shared, {"a": Int64, "b": Int64}),
        view("maps", push(table("maps"), "maps"), {"m": Map}),
    ]
    tables: dict[str, dict[str, Any]] = {
        "orders": {"n": pl.Int64, "share": pl.Float32, "name": pl.String},
        "shared": {"a": pl.Int64, "b": pl.Int64},
        "maps": {"m": pl.String},
    }
    for name, columns in tables.items():
        (folder / "lake" / name).mkdir(parents=True)
        instants = dict.fromkeys(("event_timestamp", "created"), pl.Datetime("us", "UTC"))
        more: dict[str, Any] = {"seen": pl.Datetime("us", "UTC"), "ids": pl.List(pl.Int64)}
        schema: dict[str, Any] = {
            "shop_id": pl.Int64,
            **columns,
            **(more if name == "orders" else {}),
            **instants,
        }
        pl.DataFrame(schema=schema).write_parquet(folder / "lake" / name / "part-0.parquet")
    store.apply([shop, *views])
    return store


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def service(project: Path) -> Iterator[FeastService]:
    with open_service("sqlite", project, make_lake_store) as opened:
        yield opened


def collect(project: Path, service: FeastService) -> Collected:
    engine = open_database(f"sqlite:///{project}/zeroskew.db")
    try:
        return collect_pushes(engine, service.store)
    finally:
        engine.dispose()


def order(shop: int, value: Any = 5, *, before: timedelta = SECOND) -> dict[str, list[Any]]:
    return {
        "shop_id": [shop],
        "n": [value],
        "share": [0.1],
        "name": ["ü"],
        "seen": [1_380_000_000],
        "ids": [[2**63 - 1, -1]],
        "event_timestamp": [(EVENT_TIME - before).isoformat()],
    }


def push(service: FeastService, df: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = service.post("push", {"push_source_name": "orders_push", "df": df, **more})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def online(service: FeastService, shop: int) -> dict[str, Any]:
    names = [f"orders:{name}" for name in FEATURES]
    answer = service.store.get_online_features(names, [{"shop_id": shop}]).to_dict()
    return {name: answer[name][0] for name in FEATURES}


def offline(service: FeastService, shop: int) -> dict[str, Any]:
    """Return what training is given for a label at this moment, as the online store has it."""
    labels = pl.DataFrame({"shop_id": [shop], "event_timestamp": [EVENT_TIME]})
    table = service.store.get_historical_features(
        labels.to_pandas(), [f"orders:{name}" for name in FEATURES]
    ).to_arrow()
    (row,) = table.select(list(FEATURES)).to_pylist()
    return dict(row)


def test_what_is_pushed_is_what_training_is_given(project: Path, service: FeastService) -> None:
    exact = order(1, 2**53 + 1)
    assert push(service, exact)["lake"] == {"orders_table": 1}
    # Late and newer ones, and the same request once more: all are known at this moment.
    push(service, order(1, 7, before=60 * SECOND))
    push(service, exact)
    push(service, order(2, None))
    assert collect(project, service).refused == {}
    for shop, n in ((1, 2**53 + 1), (2, None)):
        assert online(service, shop) == offline(service, shop)
        assert online(service, shop)["n"] == n
    rows = pl.read_parquet(project / "lake/orders/*.parquet").filter(shop_id=1)
    assert sorted(rows["n"]) == [7, 2**53 + 1]


@pytest.mark.parametrize(
    ("to", "is_online", "is_offline"),
    [
        (None, True, True),
        ("online_and_offline", True, True),
        ("online", True, False),
        ("offline", False, True),
    ],
)
def test_the_caller_chooses_where_rows_go(
    project: Path, service: FeastService, to: str | None, is_online: bool, is_offline: bool
) -> None:
    shop = 10 + 2 * is_online + is_offline + 10 * (to is None)
    told = push(service, order(shop), **({} if to is None else {"to": to}))
    assert ("orders" in told["views"], "lake" in told) == (is_online, is_offline)
    collect(project, service)
    assert (online(service, shop)["n"] == 5, offline(service, shop)["n"] == 5) == (
        is_online,
        is_offline,
    )


def test_rows_of_a_view_of_a_shared_table_go_online_alone(
    project: Path, service: FeastService
) -> None:
    """In the table they would hide what the other view reads there."""
    df = {"shop_id": [1], "a": [1], "event_timestamp": [EVENT_TIME.isoformat()]}
    body = {"push_source_name": "half_push", "df": df}
    told = service.post("push", body).json()
    assert "'b'" in told["online_only"]["half"]
    assert "lake" not in told
    refused = service.post("push", {**body, "to": "online_and_offline"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/to"
    assert "'b'" in refused.json()["detail"]
    assert service.post("push", {**body, "to": "online"}).json().keys() == {"rows", "views"}


def test_a_write_reaches_the_table_as_a_push_does(project: Path, service: FeastService) -> None:
    """Feast's own client asks for it in each of its pushes."""
    service.post("write-to-online-store", {"feature_view_name": "orders", "df": order(40)})
    collect(project, service)
    assert offline(service, 40) == online(service, 40)


def test_maps_are_kept_as_their_table_has_them(project: Path, service: FeastService) -> None:
    value = {"a": 2**53 + 1, "b": [1.5, 2.0], "c": {"d": None, "e": "x"}, "f": True}
    df: dict[str, list[Any]] = {
        "shop_id": [1],
        "m": [value],
        "event_timestamp": [EVENT_TIME.isoformat()],
    }
    assert service.push("maps_push", **df) == {"maps": {"written": 1, "older": 0}}
    assert service.read(["maps:m"], shop_id=[1])["m"] == [value]
    collect(project, service)
    (text,) = pl.read_parquet(project / "lake/maps/*.parquet")["m"]
    assert json.loads(text) == value


def test_many_rows_are_written_at_once(project: Path, service: FeastService) -> None:
    n_rows = 2_500
    df = {name: values * n_rows for name, values in order(0).items()}
    df["shop_id"] = list(range(10_000, 10_000 + n_rows))
    # One entity twice, a thousand rows apart: the newer one stands.
    df["shop_id"][0], df["n"][0] = 10_001 + 1_500, 6
    told = push(service, df)
    assert told["views"]["orders"] == {"written": n_rows - 1, "older": 1}
    collect(project, service)
    for shop in (10_001, 10_000 + n_rows - 1):
        assert online(service, shop) == offline(service, shop)
    too_many = {name: [None] * 20_001 for name in df}
    answer = service.post("push", {"push_source_name": "orders_push", "df": too_many})
    assert answer.status_code == 422
    assert "20001 rows" in answer.json()["detail"]


def test_what_cannot_be_put_on_disk_is_not_online_either(
    project: Path, service: FeastService
) -> None:
    with closing(sqlite3.connect(project / "zeroskew.db")) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON pushed_rows BEGIN SELECT RAISE(ABORT, 'x'); END"
        )
    try:
        answer = service.post("push", {"push_source_name": "orders_push", "df": order(50)})
        assert (answer.status_code, answer.json()["code"]) == (503, "push_unavailable")
        assert online(service, 50)["n"] is None
        # What does not go to the lake does not need it.
        assert push(service, order(51), to="online")["rows"] == 1
    finally:
        with closing(sqlite3.connect(project / "zeroskew.db")) as database:
            database.execute("DROP TRIGGER full")
    assert push(service, order(50))["rows"] == 1
