"""Definitions are applied without breaking the version that serves, unless that is wanted."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.redis_servers import RedisServer
from tests.support.shop_project import CLOCK, ShopProject, shop_view
from tests.support.waiting import wait_until
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.rollout import Arm, Rollout, Shadow
from zeroskew.contract.settings import Settings
from zeroskew.records.registry.model_registry import ModelRegistry

BY_TEXT = (
    'customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)'
)
BY_OTHER = 'customer = Entity(name="buyer", join_keys=["buyer_id"], value_type=ValueType.INT64)'


@pytest.fixture
def shop(tmp_path: Path) -> ShopProject:
    """A shop whose champion reads `spent` and `orders` of the view `spending`."""
    return set_up(ShopProject(tmp_path / "shop"))


def set_up(project: ShopProject) -> ShopProject:
    project.declare("view()")
    project.apply()
    project.materialize()
    project.publish(shop_view())
    return project


def serve(project: ShopProject, online_store: str | None = None) -> AppClient:
    settings = Settings(
        database_url=project.workspace.database_url,
        artifacts_dir=project.workspace.artifacts_dir,
        online_store=online_store or f"sqlite:///{project.online_path}",
        clock=CLOCK,
        port=0,
    )
    return AppClient(create_app(settings))


def answering(client: AppClient) -> int:
    answer = client.post("/v1/models/worth:predict", json={"instances": [{"customer_id": 7}]})
    return int(answer.json()["version"])


def ask(client: AppClient, customer: int = 7) -> Any:
    answer = client.post(
        "/v1/models/worth:predict", json={"instances": [{"customer_id": customer}]}
    )
    return answer.json()["predictions"][0]["value"] if answer.status_code == 200 else answer.text


@pytest.mark.parametrize(
    ("view", "head", "told"),
    [
        ('view("expenses", table="spending")', "", "reads view 'spending', which is declared no"),
        ("view(online=False)", "", "reads view 'spending', which is declared with online=False"),
        ('view(fields=(("spent", Float64),))', "", "'spending:orders', which is declared no more"),
        (
            'view(fields=(("spent", Float32), ("orders", Int64)))',
            "",
            "'spending:spent' as DOUBLE, declared FLOAT",
        ),
        (
            'view(fields=(("spent", Float64), ("orders", Int32)))',
            "",
            "'spending:orders' as INT64, declared INT32",
        ),
        (
            'view(fields=(("outlay", Float64), ("orders", Int64)))',
            "",
            "'spending:spent', which is declared no more",
        ),
        ("view(entity=customer)", BY_TEXT, "by customer_id INT64, declared by customer_id STRING"),
        ("view(entity=customer)", BY_OTHER, "by customer_id INT64, declared by buyer_id INT64"),
    ],
)
def test_what_the_champion_would_not_find_is_refused(
    shop: ShopProject, view: str, head: str, told: str
) -> None:
    columns = {
        "customer_id": ["7"],
        "buyer_id": [7],
        "spent": [1.0],
        "orders": [1],
        "outlay": [1.0],
    }
    shop.write_table("spending", columns)
    shop.declare(view, head=head)
    with pytest.raises(StepError, match="Got definitions that break what serves") as refused:
        shop.apply()
    assert told in str(refused.value)
    assert "--break-live" in str(refused.value)
    assert len(str(refused.value)) < 230
    # Nothing was done: what is applied is what was.
    registered = shop.workspace.open_feature_store().get_feature_view("spending")
    assert [field.name for field in registered.features] == ["spent", "orders"]
    with serve(shop) as client:
        assert ask(client) == 15.5


@pytest.mark.parametrize(
    "view",
    [
        "view()",
        'view(fields=(("spent", Float64), ("orders", Int64), ("returns", Int64)))',
        'view(fields=(("orders", Int64), ("spent", Float64)))',
    ],
)
def test_what_the_champion_does_not_notice_is_applied(shop: ShopProject, view: str) -> None:
    shop.declare(view, 'view("visits", (("seen", Int64),), table="spending")')
    assert shop.apply().broken == []


def test_another_ttl_is_said(shop: ShopProject) -> None:
    shop.declare("view(ttl=2)")
    (told,) = shop.apply().describe()
    assert told == (
        "worth version 1 goes on with a ttl of 1:00:00 for view 'spending', declared 2:00:00, "
        "until a new version is published"
    )


def test_a_renamed_project_is_another_store(shop: ShopProject) -> None:
    shop.name_project("bazaar")
    with pytest.raises(StepError, match="reads view 'spending', which is declared no more"):
        shop.apply()
    assert len(shop.apply(break_live=True).broken) == 1
    with serve(shop) as client:
        assert ask(client) == 15.5


def test_the_plans_of_another_project_are_none_of_its_business(shop: ShopProject) -> None:
    shop.publish(shop_view("elsewhere", project="shop_eu"), alias="next", project="shop_eu")
    shop.declare("view()", 'view("visits", (("spent", Float64),), table="spending")')
    assert shop.apply().broken == []


@pytest.mark.parametrize("place", ["challenger", "arm", "shadow", "nowhere"])
def test_arms_shadows_and_all_aliases_are_live(shop: ShopProject, place: str) -> None:
    visits = 'view("visits", (("seen", Int64),))'
    shop.write_table("visits", {"customer_id": [7], "seen": [2]})
    shop.declare("view()", visits)
    shop.apply()
    number = shop.publish(
        shop_view("visits", {"seen": "INT64"}),
        alias="challenger" if place == "challenger" else None,
    )
    registry = ModelRegistry.open(shop.workspace.database_url)
    champion = Arm(name="champion", alias="champion", weight=1.0)
    other = Arm(name="other", version=number, weight=0.0)
    if place in ("arm", "shadow"):
        shadow = (Shadow(name="other", version=number),) if place == "shadow" else ()
        arms = (champion, other) if place == "arm" else (champion,)
        registry.set_rollout("worth", Rollout(kind="canary", arms=arms, shadows=shadow))
    registry.close()
    shop.declare("view()")
    if place == "nowhere":
        assert shop.apply().dropped == ["shop_visits"]
    else:
        with pytest.raises(StepError, match="worth version 2 reads view 'visits'"):
            shop.apply()


def list_tables(project: ShopProject) -> set[str]:
    with sqlite3.connect(project.online_path) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {name for (name,) in names if name.startswith("shop_")}


def test_a_removed_view_stays_online_until_no_plan_needs_it(shop: ShopProject) -> None:
    shop.declare('view("expenses", table="spending")')
    with serve(shop) as client:
        assert ask(client) == 15.5
        shop.apply(break_live=True)
        shop.materialize()
        assert client.get("/readyz").status_code == 200
        assert ask(client) == 15.5
        # The version that reads the new view serves; the next apply drops what none needs.
        shop.publish(shop_view("expenses"))
        assert shop.apply(grace=timedelta(minutes=1)).dropped == []
        wait_until(lambda: answering(client) == 2, what="that the service follows")
        assert list(shop.apply().describe()) == [
            "shop_spending is dropped from the online store: no plan that serves reads it"
        ]
        assert list_tables(shop) == {"shop_expenses"}
        assert ask(client) == 15.5
    assert shop.apply().dropped == []


def test_a_view_that_comes_back_is_not_dropped(shop: ShopProject) -> None:
    other = 'view("expenses", table="spending")'
    shop.declare(other)
    shop.apply(break_live=True)
    shop.declare("view()", other)
    shop.apply()
    shop.publish(shop_view("expenses"))
    assert shop.apply().dropped == []
    assert list_tables(shop) == {"shop_spending", "shop_expenses"}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def on_redis(folder: Path, server: RedisServer) -> ShopProject:
    project = ShopProject(
        folder,
        "type: zeroskew.features.online_store.newest_redis.NewestRedisOnlineStore\n"
        f"  connection_string: 127.0.0.1:{server.port}",
    )
    project.write_table("visits", {"customer_id": [7], "seen": [2]})
    return project


def count_fields(server: RedisServer) -> dict[bytes, int]:
    """Return how many fields each entity has; notes of removed views are none."""
    client = Redis(port=server.port)
    names = {name for name in client.scan_iter() if not name.startswith(b"zeroskew:")}
    return {name: int(client.hlen(name)) for name in names}  # type: ignore[arg-type]


def test_on_redis_a_removed_view_stays_until_no_plan_needs_it(
    tmp_path: Path, redis: RedisServer
) -> None:
    shop, neighbour = on_redis(tmp_path / "shop", redis), on_redis(tmp_path / "other", redis)
    visits = 'view("visits", (("seen", Int64),))'
    # A project whose name ends alike shares the server, and its entities' keys end alike.
    neighbour.name_project("myshop")
    for project in (neighbour, shop):
        project.declare("view()", visits)
        project.apply()
        project.materialize()
    shop.publish(shop_view(), shop_view("visits", {"seen": "INT64"}))
    shop.declare("view()")
    with pytest.raises(StepError, match="reads view 'visits'"):
        shop.apply()
    before = count_fields(redis)
    shop.apply(break_live=True)
    with serve(shop, redis.url) as served:
        assert ask(served) == 17.5
        shop.publish(shop_view())
        wait_until(lambda: answering(served) == 2, what="that the service follows")
        assert shop.apply().dropped == ["visits"]
        assert ask(served) == 15.5
    after = count_fields(redis)
    gone = {key: before[key] - after.get(key, 0) for key in before}
    # One entity of this project has lost the feature and the time of the view, and no other.
    assert sorted(gone.values()) == [0] * (len(gone) - 1) + [2]


def test_readiness_tells_that_a_type_was_changed_under_the_champion(shop: ShopProject) -> None:
    shop.declare('view(fields=(("spent", Float32), ("orders", Int64)))')
    with serve(shop) as client:
        assert client.get("/readyz").status_code == 200
        shop.apply(break_live=True)
        shop.materialize(CLOCK + timedelta(minutes=1))
        refused = client.get("/readyz")
        assert refused.status_code == 503
        assert "spending:spent" in refused.json()["detail"]
        assert "spending:spent" in ask(client)


def test_what_feast_refuses_on_its_way_out_is_said(shop: ShopProject) -> None:
    shop.declare("view()", head='from feast import Project\nother = Project(name="bazaar")\n')
    with pytest.raises(StepError, match=r"Got a refusal from Feast \(.*Project object name"):
        shop.apply()
