"""Feast's own SDK with ``online_store: {type: remote}`` against a service that really runs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pandas as pd
import pytest
from feast import FeatureService, FeatureStore
from feast.errors import (
    FeastError,
    FeastObjectNotFoundException,
    FeatureServiceNotFoundException,
    FeatureViewNotFoundException,
)
from feast.infra.online_stores.remote import RemoteOnlineStore

from tests.support.feast_service import (
    TTL,
    make_flights_store,
    publish_catalog,
    remote_store,
    run_service,
)
from tests.support.online_stores import EVENT_TIME, open_online

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Sides:
    """Feast's SDK on the online store itself, and the same on the service."""

    direct: FeatureStore
    remote: FeatureStore
    url: str

    def read(self, features: list[str] | str, *rows: dict[str, Any]) -> dict[str, list[Any]]:
        """Read both ways, of a service or a list; the answers must be equal."""
        direct, remote = (
            store.get_online_features(
                store.get_feature_service(features) if isinstance(features, str) else features,
                list(rows),
            ).to_dict()
            for store in (self.direct, self.remote)
        )
        assert remote == direct
        return dict(remote)


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sides]:
    """A service for all tests here; each has entities of its own."""
    folder = tmp_path_factory.mktemp("project")
    with open_online(request.param, folder / "online") as online:
        direct = make_flights_store(folder, online.config)
        publish_catalog(folder, direct)
        with run_service(folder, online.url) as url:
            yield Sides(direct, remote_store(folder, url), url)


def route(tail: int, origin: str = "EWR", dest: str = "IAH") -> dict[str, Any]:
    return {"tail": tail, "origin": origin, "dest": dest}


def frame(*rows: dict[str, Any], minutes: float = 0) -> pd.DataFrame:
    """Return rows whose event is some minutes before the service's clock."""
    known_at = EVENT_TIME - minutes * MINUTE
    return pd.DataFrame([{"known_at": known_at, "made_at": known_at} | row for row in rows])


def test_a_client_reads_a_composite_key_through_the_service(sides: Sides) -> None:
    flown = [{**route(1), "flights": 3}, {**route(-(2**63)), "flights": 4}]
    sides.direct.push("route_push", frame(*flown))
    sides.direct.push("carrier_stats_push", frame({"carrier": "UA", "mean": 0.1, "size": "big"}))
    sides.direct.push("gate_push", frame({"gate_number": -1, "walk": 5, "wait": 2.5}))
    listed = sides.read(
        ["gate:walk", "route:flights", "carrier_stats:size", "gate_wait:wait"],
        {**route(1), "carrier": "UA", "gate_number": -1},
        {**route(-(2**63)), "carrier": "XX", "gate_number": 9},
        {**route(1, dest="XXX"), "carrier": "UA", "gate_number": -1},
    )
    assert listed["flights"] == [3, 4, None]
    assert (listed["walk"], listed["size"]) == ([5, None, 5], ["big", None, "big"])
    of_service = sides.read(
        "flight_v1", {**route(1), "carrier": "UA"}, {**route(1), "carrier": "XX"}
    )
    assert of_service["flights"] == [3, 3]
    assert of_service["mean"] == [pytest.approx(0.1), None]


def test_a_service_with_mapped_keys_reads_the_way_back(sides: Sides) -> None:
    sides.direct.push("route_push", frame({**route(2), "flights": 3}))
    read = sides.read("return_v1", route(2, origin="IAH", dest="EWR"), route(2))
    assert read["flights"] == [3, None]


def test_a_client_writes_through_the_service(sides: Sides) -> None:
    sides.remote.push("route_push", frame({**route(3), "flights": 3}))
    sides.remote.push("gate_push", frame({"gate_number": 3, "walk": 5, "wait": 2.5}))
    rows = frame(
        {"carrier": "DL", "mean": 0.1, "size": None}, {"carrier": "ü", "mean": None, "size": ""}
    )
    sides.remote.write_to_online_store("carrier_stats", rows)
    told = sides.read(
        [
            "route:flights",
            "gate:walk",
            "gate_wait:wait",
            "carrier_stats:mean",
            "carrier_stats:size",
        ],
        {**route(3), "gate_number": 3, "carrier": "DL"},
        {**route(3), "gate_number": 4, "carrier": "ü"},
    )
    assert (told["flights"], told["walk"], told["wait"]) == ([3, 3], [5, None], [2.5, None])
    assert (told["mean"], told["size"]) == ([pytest.approx(0.1), None], [None, ""])


def test_an_older_write_of_a_client_changes_nothing(sides: Sides) -> None:
    for minutes, flights in ((10, 1), (5, 2), (6, 3), (5, 4), (30, 5)):
        sides.remote.push("route_push", frame({**route(4), "flights": flights}, minutes=minutes))
    # The one of ten minutes before, then that of five, then another of the same moment.
    assert sides.read(["route:flights"], route(4))["flights"] == [4]


def test_what_has_outlived_its_ttl_is_null_through_the_service_alone(sides: Sides) -> None:
    outlived = TTL / MINUTE + 1
    sides.direct.push("route_push", frame({**route(5), "flights": 3}, minutes=outlived))
    read = [
        store.get_online_features(["route:flights"], [route(5)]).to_dict()["flights"]
        for store in (sides.direct, sides.remote)
    ]
    assert read == [[3], [None]]


REFUSALS: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"features": ["nope:flights"], "entity_rows": [route(6)]},
        FeatureViewNotFoundException,
        "Feature view nope does not exist in project trial.*/features/0",
    ),
    (
        {"features": ["route:nope"], "entity_rows": [route(6)]},
        FeastObjectNotFoundException,
        "route:nope.*/features/0",
    ),
    (
        {"features": ["route:flights"], "entity_rows": [{"tail": 6, "origin": "EWR"}]},
        FeastError,
        "nothing at /entities/dest",
    ),
    (
        {"features": FeatureService(name="nope", features=[]), "entity_rows": [route(6)]},
        FeatureServiceNotFoundException,
        "Feature service nope does not exist in project trial",
    ),
    (
        {"features": ["route:flights"], "entity_rows": [route(2**63)]},
        FeastError,
        "/entities/tail/0",
    ),
]


@pytest.mark.parametrize(("asked", "kind", "said"), REFUSALS)
def test_a_client_raises_feasts_own_exceptions(
    sides: Sides, asked: dict[str, Any], kind: type[Exception], said: str
) -> None:
    config = sides.remote.config
    with pytest.raises(kind, match=said) as refusal:
        RemoteOnlineStore().get_online_features(
            config, registry=sides.remote.registry, project=sides.remote.project, **asked
        )
    assert type(refusal.value) is kind


def test_a_refused_write_raises_feasts_own_exception(sides: Sides) -> None:
    row = {"carrier": "x" * 300, "mean": 0.1, "size": "big"}
    with pytest.raises(FeastError, match="length 300 at /df/carrier/0"):
        sides.remote.write_to_online_store("carrier_stats", frame(row))


def test_of_eight_pushers_at_once_the_newest_stands(sides: Sides) -> None:
    def push(numbers: range) -> None:
        with httpx.Client(base_url=f"{sides.url}/feast", timeout=60) as client:
            for number in numbers:
                known_at = (EVENT_TIME - MINUTE + timedelta(milliseconds=number)).isoformat()
                df = {name: [value] for name, value in route(7).items()}
                df |= {"flights": [number], "known_at": [known_at]}
                body = {"push_source_name": "route_push", "df": df}
                assert client.post("/push", json=body).status_code == 200

    with ThreadPoolExecutor(8) as pushers:
        list(pushers.map(push, [range(80 + start, 0, -8) for start in range(8)]))
    assert sides.read(["route:flights"], route(7))["flights"] == [87]
