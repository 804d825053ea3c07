"""One table of schemes: what is in it is served from, and all else refused by one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from feast import FeatureStore

from api.main import create_app
from tests.support import memory_store
from tests.support.app_client import AppClient
from tests.support.feast_service import (
    make_flights_store,
    publish_catalog,
    remote_store,
    settings_of,
)
from tests.support.manifests import make_manifest, publish, sum_graph, view_plan
from training.privacy.online_subject import open_online_subject
from training.privacy.subject import parse_subject
from zeroskew.contract.manifest import Column, FeaturePlan, FieldType, RequestField
from zeroskew.contract.settings import Settings
from zeroskew.online.feast_sdk import store as feast_store
from zeroskew.online.redis import store as redis_store
from zeroskew.online.redis.address import parse_redis_url
from zeroskew.online.schemes import SCHEMES, find_address, open_store
from zeroskew.online.sqlite import store as sqlite_store
from zeroskew.online.store import StoreFolder

ROOT = Path(__file__).parents[3]
NOON = "2013-10-01T12:00:00Z"
ADDRESS = "memory:///gates"


def publish_gates(folder: Path) -> None:
    """Publish a model whose score is how far it is to walk to a gate."""
    view = view_plan("gate", {"gate_number": "INT64"}, {"walk": "INT64"}, ttl_us=None)
    field = RequestField(
        name="gate_number", type=FieldType.INTEGER, description="A gate.", example=1
    )
    plan = FeaturePlan(
        project="trial",
        feature_service="gates_v1",
        views=(view,),
        columns=(Column(name="walk", view="gate", feature="walk"),),
    )
    graph = sum_graph(1, 0)
    example: dict[str, Any] = {"gate_number": 1}
    manifest = make_manifest(graph, model="walk", plan=plan, request=(field,), example=example)
    publish(folder, manifest, graph)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """A project whose definitions are applied; where its features are is nothing to it."""
    store = make_flights_store(tmp_path, {"type": "sqlite", "path": str(tmp_path / "unused.db")})
    publish_catalog(tmp_path, store)
    publish_gates(tmp_path)
    return store


@pytest.fixture
def client(
    tmp_path: Path, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AppClient]:
    """A service on a store that the tests bring along, made known by one line."""
    monkeypatch.setitem(SCHEMES, "memory", "tests.support.memory_store")
    with AppClient(create_app(settings_of(tmp_path, ADDRESS))) as client:
        yield client


def push(client: AppClient, walk: int, known_at: str = NOON) -> dict[str, int]:
    df = {"gate_number": [7], "walk": [walk], "wait": [0.5], "known_at": [known_at]}
    answer = client.post("/feast/push", json={"push_source_name": "gate_push", "df": df})
    assert answer.status_code == 200, answer.text
    written: dict[str, int] = answer.json()["views"]["gate"]
    return written


def predict(client: AppClient, *gates: int) -> list[float]:
    """Return the scores, with nothing of a gate that is not known as 0."""
    instances = [{"gate_number": gate} for gate in gates]
    answer = client.post("/v1/models/walk:predict", json={"instances": instances})
    assert answer.status_code == 200, answer.text
    return [one["value"] for one in answer.json()["predictions"]]


def test_a_store_of_ones_own_is_written_read_and_erased_from(
    client: AppClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz").status_code == 503
    assert push(client, 5) == {"written": 1, "older": 0}
    assert client.get("/readyz").status_code == 200
    assert push(client, 4, "2013-10-01T11:59:59Z") == {"written": 0, "older": 1}
    assert predict(client, 7, 8, 7) == [5.0, 0.0, 5.0]
    body = {"features": ["gate:walk", "gate_wait:wait"], "entities": {"gate_number": [7, 8]}}
    answer = client.post("/feast/get-online-features", json=body).json()
    assert [one["values"] for one in answer["results"]] == [[7, 8], [5, None], [0.5, None]]

    # A command finds it where Feast's own configuration names a kind that only Feast knows.
    monkeypatch.setenv("ZEROSKEW_ONLINE_STORE", ADDRESS)
    online = open_online_subject(remote_store(tmp_path, "http://127.0.0.1:1"))
    gate = parse_subject(["gate_number=7"])
    assert sorted(json.dumps(one) for one in online.find(gate)) == [
        '{"view": "trial_gate", "keys": {"gate_number": 7}, "values": {"walk": 5}}',
        '{"view": "trial_gate_wait", "keys": {"gate_number": 7}, "values": {"wait": 0.5}}',
    ]
    assert online.forget(parse_subject(["gate_number=8"])) == 0
    assert online.forget(gate) == 2
    assert predict(client, 7) == [0.0]


# The type checker holds each module to the seam.
FOLDERS: tuple[StoreFolder, ...] = (sqlite_store, redis_store, feast_store, memory_store)


def test_every_scheme_leads_to_a_folder() -> None:
    known = {getattr(folder, "__name__", "") for folder in FOLDERS}
    assert set(SCHEMES.values()) == known - {memory_store.__name__}


UNKNOWN = (
    "Got an unknown kind of address in ZEROSKEW_ONLINE_STORE, but expected one that begins with "
    "one of sqlite://, redis://, rediss://, unix://, redis+cluster://, redis+sentinel://, feast://."
)


@pytest.mark.parametrize(
    "address", ["mongodb://u:hush@h", "memory:///gates", "redis", "redis:/h", "", "://", "hush"]
)
def test_a_scheme_that_is_not_in_the_table_is_refused_by_one_sentence(address: str) -> None:
    with pytest.raises(ValueError, match="unknown kind") as refusal:
        open_store(address)
    assert str(refusal.value) == UNKNOWN


def test_the_service_refuses_by_the_same_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown kind") as refusal:  # noqa: SIM117 - the inner one fails
        with AppClient(create_app(settings_of(tmp_path, "mongodb://u:hush@h"))):
            pass
    assert str(refusal.value) == UNKNOWN


@pytest.mark.parametrize("page", ["setting", "docs/online_features.md"])
def test_every_scheme_is_told(page: str) -> None:
    told = (
        Settings.model_fields["online_store"].description or ""
        if page == "setting"
        else (ROOT / page).read_text()
    )
    assert [scheme for scheme in SCHEMES if f"`{scheme}://" not in told] == []


def test_a_store_loads_nothing_of_the_others() -> None:
    program = (
        "import sys; from zeroskew.online.schemes import open_store\n"
        "online = open_store('sqlite:///x')\n"
        "online.open_reader(timeout_sec=None); online.open_writer(timeout_sec=1)\n"
        "assert not {'redis', 'hiredis', 'feast'} & set(sys.modules)\n"
        "assert not [name for name in sys.modules if name.startswith('zeroskew.online.redis')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_address_is_found_without_the_packages_that_reads_take() -> None:
    program = (
        "import sys; from pathlib import Path; from zeroskew.online.schemes import find_address\n"
        "assert find_address({'type': 'redis'}, Path('/r')) == 'redis://localhost:6379'\n"
        "assert not {'numpy', 'redis', 'hiredis', 'feast'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("first", "second", "are_same"),
    [
        ("redis://localhost:6379/0", "rediss://u:p@127.0.0.1?ssl_cert_reqs=none", True),
        ("redis://a:1", "redis://a:2", False),
        ("redis://a:1/1", "redis://a:1", False),
        ("redis+cluster://a:1,b:2", "redis+cluster://u:p@b:2,a:1", True),
        ("redis+sentinel://a:1,b:2/main", "redis+sentinel://u:p@b:2,a:1/main?db=0", True),
        ("redis+sentinel://a:1,b:2/main", "redis+sentinel://a:1,b:2/other", False),
        ("sqlite:////tmp/../tmp/a.db", "sqlite:////tmp/a.db", True),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/b.db", False),
        ("unix://u:p@/run/redis.sock", "unix:///run/redis.sock", True),
        ("feast:///{0}/a.yaml", "sqlite:///{0}/a.yaml", False),
        ("feast:///{0}/a.yaml", "feast:///{0}/../{1}/a.yaml", True),
    ],
)
def test_stores_are_told_apart_by_where_they_are(
    tmp_path: Path, first: str, second: str, are_same: bool
) -> None:
    section = {"project": "trial", "online_store": {"type": "sqlite"}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(section))
    names = [open_store(one.format(tmp_path, tmp_path.name)).name for one in (first, second)]
    assert (names[0] == names[1]) is are_same
    assert "p@" not in "".join(names)


@pytest.mark.parametrize(
    ("section", "address"),
    [
        (None, "sqlite:////repo/data/online.db"),
        ("sqlite", "sqlite:////repo/data/online.db"),
        ({"path": "../var/a.db"}, "sqlite:////var/a.db"),
        ({"type": "sqlite", "path": "/srv/a.db"}, "sqlite:////srv/a.db"),
        ("redis", "redis://localhost:6379"),
        (
            {"type": "redis", "connection_string": "h:1,db=2,socket_timeout=0.05,retry=null"},
            "redis://h:1/2",
        ),
        (
            {"type": "redis", "connection_string": 'h:1,username=ann,password="a/b@c",ssl=true'},
            "rediss://ann:a%2Fb%40c@h:1",
        ),
        (
            {"type": "redis", "connection_string": "h:1,password=12,ssl=true,ssl_cert_reqs=none"},
            "rediss://:12@h:1?ssl_cert_reqs=none",
        ),
        ({"type": "redis", "connection_string": "h:1,i:2"}, "redis://h:1"),
        (
            {
                "type": "redis",
                "redis_type": "redis_cluster",
                "connection_string": "a:1,b:2,ssl=true,password=x",
            },
            "redis+cluster://:x@a:1,b:2?ssl=true",
        ),
        (
            {
                "type": "redis",
                "redis_type": "redis_sentinel",
                "sentinel_master": "main",
                "connection_string": "a:1,b:2,db=3",
            },
            "redis+sentinel://a:1,b:2/main?db=3",
        ),
        ({"type": "postgres", "host": "h"}, None),
        ({"type": "remote", "path": "http://h/feast"}, None),
    ],
)
def test_the_store_that_feast_writes_has_an_address(section: Any, address: str | None) -> None:
    found = find_address(section, Path("/repo"))
    assert found == address
    if found is not None and "redis" in found:
        parse_redis_url(found)


@pytest.mark.parametrize("connection", ["", "h", "h:port", "db=1", "h:1,:2"])
def test_a_connection_that_is_none_is_refused(connection: str) -> None:
    with pytest.raises(ValueError, match=r"^Got no address in online_store, but"):
        find_address({"type": "redis", "connection_string": connection}, Path("/repo"))
