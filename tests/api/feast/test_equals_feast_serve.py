"""The answers of Feast's own server to the same requests, value by value."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feast.feature_server import get_app

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_service import publish_catalog, settings_of
from tests.support.online_equality import KEY_VALUES, VIEWS, write_random_rows
from tests.support.online_stores import make_store, open_online

# A server of Feast takes no bytes as keys: JSON has none, and it does not read base64.
REFERENCES = [f"{v.name}:{f}" for v in VIEWS for f in v.features if "code" not in v.keys]
NO_TIME = "1970-01-01T00:00:00Z"

Sides = tuple[AppClient, AppClient]


@pytest.fixture(params=["sqlite", "redis"])
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sides]:
    """Feast's server and the service, on rows of every type; the service lives after them."""
    with open_online(request.param, tmp_path / "online") as online:
        store = make_store(tmp_path, VIEWS, online.config)
        write_random_rows(store, random.Random(11))  # noqa: S311 - test data
        publish_catalog(tmp_path, store)
        settings = settings_of(tmp_path, online.url, clock="2999-01-01T00:00:00Z")
        # Feast builds its server's answers with deprecated parts of pydantic and FastAPI.
        with AppClient(get_app(store, 0)) as feast, AppClient(create_app(settings)) as ours:
            yield feast, ours


def ask(client: AppClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    names = document["metadata"]["feature_names"]
    assert len(names) == len(set(names)) == len(document["results"])
    return document | {"by_name": dict(zip(names, document["results"], strict=True))}


def test_values_and_times_are_those_of_feast_serve(sides: Sides) -> None:
    draw = random.Random(5)  # noqa: S311 - test data
    n_null = n_missing = 0
    for _ in range(30):
        n_rows = draw.randint(1, 20)
        entities = {
            name: [draw.choice(values) for _ in range(n_rows)]
            for name, values in KEY_VALUES.items()
            if name != "code"
        }
        body = {"entities": entities, "features": REFERENCES, "full_feature_names": True}
        expected, told = (
            ask(side, path, body)
            for side, path in zip(
                sides, ("/get-online-features", "/feast/get-online-features"), strict=True
            )
        )
        # The order of Feast's features changes with the hash seed; the join keys come first.
        n_keys = len(entities)
        names = told["metadata"]["feature_names"]
        assert names[:n_keys] == expected["metadata"]["feature_names"][:n_keys] == list(entities)
        assert names[n_keys:] == [reference.replace(":", "__") for reference in REFERENCES]
        assert told["by_name"].keys() == expected["by_name"].keys()
        for name, ours in told["by_name"].items():
            feast = expected["by_name"][name]
            assert ours["values"] == feast["values"], name
            assert ours["event_timestamps"] == feast["event_timestamps"], name
            for value, status, theirs, time in zip(
                ours["values"],
                ours["statuses"],
                feast["statuses"],
                ours["event_timestamps"],
                strict=True,
            ):
                if value is not None:
                    assert status == theirs == "PRESENT", name
                    continue
                # Feast says PRESENT of nulls, and on Redis of what it does not have.
                assert status == ("NOT_FOUND" if time == NO_TIME else "NULL_VALUE"), name
                n_null += status == "NULL_VALUE"
                n_missing += status == "NOT_FOUND"
        assert told.keys() == expected.keys()
        assert told["metadata"].keys() == expected["metadata"].keys()
    assert n_null > 100
    assert n_missing > 100


def test_versions_of_views_are_told_as_feast_serve_tells_them(sides: Sides) -> None:
    body = {
        "entities": {"carrier": ["C1"], "gate_number": [5]},
        "features": ["carrier_stats:mean", "gate:walk_minutes", "carrier_stats:size"],
        "include_feature_view_version_metadata": True,
    }
    expected = ask(sides[0], "/get-online-features", body)["metadata"]["feature_view_metadata"]
    told = ask(sides[1], "/feast/get-online-features", body)["metadata"]["feature_view_metadata"]
    assert sorted(told, key=str) == sorted(expected, key=str)
    assert len(told) == 2


def test_an_address_for_probes_is_feasts(sides: Sides) -> None:
    expected, told = sides[0].get("/health"), sides[1].get("/feast/health")
    assert (
        (told.status_code, told.content) == (expected.status_code, expected.content) == (200, b"")
    )
