"""What an answer says of its features: asked for, overridden, stale, or taken from defaults."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, PLAN, make_manifest, publish, sum_graph
from tests.support.online_stores import EVENT_TIME
from tests.support.settings import make_settings
from zeroskew.contract.manifest import FeaturePlan, ViewPlan

GRAPH = sum_graph(6, 2)
MEAN = "carrier_stats:mean_delay"
SIZE = "carrier_stats:size"
FLIGHTS = "route_stats:flights"
SHARE = "route_stats:share"


def post(
    client: AppClient, *instances: dict[str, Any], query: str = "", model: str = "arrival_delay"
) -> Any:
    body = {"instances": [EXAMPLE | instance for instance in instances or ({},)]}
    return client.post(f"/v1/models/{model}:predict{query}", json=body)


def score(response: Any, instance: int = 0) -> float:
    assert response.status_code == 200, response.text
    value: float = response.json()["predictions"][instance]["value"]
    return value


def test_an_entity_of_which_nothing_is_stored_is_said_so(client: AppClient) -> None:
    nobody = {"carrier": "DL", "dest": None}
    told = post(client, {}, nobody, {"dest": None}, query="?with_features=true").json()
    assert told["warnings"] == [
        "Instance 1: nothing is stored for its carrier, dest, origin; all of its 4 stored features "
        "are null, as for an entity that nobody knows."
    ]
    assert "warnings" not in post(client, {}, query="?with_features=true").json()
    assert "warnings" not in post(client, nobody).json()


def test_the_features_are_told_when_asked_for(client: AppClient) -> None:
    answer = post(client, {}, {"dest": None}, query="?with_features=true").json()
    known, unknown = answer["features"]
    assert known[MEAN] == {
        "value": 2.5,
        "status": "present",
        "age_seconds": 0.0,
        "view": "carrier_stats",
    }
    assert known[SIZE]["value"] == "big"
    assert known[FLIGHTS]["value"] == 3
    assert known["distance"] == {
        "value": 1400.5,
        "status": "request",
        "age_seconds": None,
        "view": None,
    }
    assert unknown[SHARE] == {
        "value": None,
        "status": "missing",
        "age_seconds": None,
        "view": "route_stats",
    }


def test_an_instant_is_told_as_one_and_what_was_computed_of_it_as_a_number(
    client: AppClient,
) -> None:
    at = "2013-10-01T10:17:00.250000-04:00"
    answer = post(client, {"scheduled_departure": at}, query="?with_features=true").json()
    (told,) = answer["features"]
    assert told["scheduled_departure"]["value"] == "2013-10-01T14:17:00.250000Z"
    # The graph's only request-time feature is its first input, in float32: 128 s apart there.
    assert told["minutes_past"] == {
        "value": 1_380_637_056.0,
        "status": "computed",
        "age_seconds": None,
        "view": None,
    }
    assert set(told) == {
        *(MEAN, SIZE, FLIGHTS, SHARE, "carrier", "distance"),
        *("scheduled_departure", "international", "minutes_past"),
    }


@pytest.mark.parametrize("query", ["", "?with_features=false"])
def test_the_features_are_not_told_unasked(client: AppClient, query: str) -> None:
    assert set(post(client, query=query).json()) == {
        "id",
        "model",
        "version",
        "as_of",
        "predictions",
    }


def test_another_value_of_the_parameter_is_refused(client: AppClient) -> None:
    response = post(client, query="?with_features=1")
    assert response.status_code == 422
    assert "with_features='1'" in response.json()["detail"]


def test_an_override_takes_the_stored_values_place_and_is_marked(client: AppClient) -> None:
    given = {MEAN: 10.0, SIZE: None, FLIGHTS: 5}
    response = post(client, {}, {"overrides": given}, query="?with_features=true")
    # mean_delay 10 for 2.5, size null for code 1, flights 5 for 3.
    assert score(response, 1) - score(response, 0) == 7.5 - 1 + 2
    answer = response.json()
    assert answer["overridden"] == [[], [MEAN, SIZE, FLIGHTS]]
    assert answer["features"][0][MEAN]["status"] == "present"
    assert answer["features"][1][SIZE]["status"] == "override"
    assert answer["features"][1][SIZE]["value"] is None
    assert answer["features"][1][MEAN]["value"] == 10.0


def test_an_empty_override_changes_nothing(client: AppClient) -> None:
    assert score(post(client, {"overrides": {}})) == score(post(client, {"overrides": None}))


@pytest.mark.parametrize(
    ("overrides", "pointer", "expected"),
    [
        ({MEAN: "late"}, f"/instances/0/overrides/{MEAN}", "a number"),
        ({MEAN: 1e39}, f"/instances/0/overrides/{MEAN}", "a number of at most"),
        ({MEAN: 2**53 + 1}, f"/instances/0/overrides/{MEAN}", "a whole number that float64"),
        ({FLIGHTS: 1.5}, f"/instances/0/overrides/{FLIGHTS}", "a whole number"),
        ({FLIGHTS: 2**63}, f"/instances/0/overrides/{FLIGHTS}", "a number of at most"),
        ({SIZE: 7}, f"/instances/0/overrides/{SIZE}", "a string"),
        ({SIZE: "a\0b"}, f"/instances/0/overrides/{SIZE}", "text without NUL"),
        ({"carrier_stats:nope": 1}, "/instances/0/overrides/carrier_stats:nope", "no field"),
        ({"mean_delay": 1}, "/instances/0/overrides/mean_delay", "no field"),
        ([], "/instances/0/overrides", "an object"),
    ],
)
def test_an_override_of_another_type_is_refused_by_its_place(
    client: AppClient, overrides: Any, pointer: str, expected: str
) -> None:
    response = post(client, {"overrides": overrides})
    assert response.status_code == 422
    problem = response.json()["errors"][0]
    assert problem["pointer"] == pointer
    assert expected in problem["expected"]


def test_an_override_given_twice_is_refused(client: AppClient) -> None:
    text = '{"instances": [{"carrier": "UA", "origin": "EWR", "dest": "IAH", "seats": 1,'
    text += '"distance": 1, "international": false,'
    text += '"scheduled_departure": "1970-01-01T00:00:00Z",'
    text += f'"overrides": {{"{MEAN}": 1, "{MEAN}": 2}}}}]}}'
    response = client.post("/v1/models/arrival_delay:predict", content=text.encode())
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == f"/instances/0/overrides/{MEAN}"


def plan_with(**changes: Any) -> FeaturePlan:
    """Return the plan with changes to itself and, under ``view``, to its first view."""
    view: ViewPlan = PLAN.views[0].model_copy(update=changes.pop("view", {}))
    return PLAN.model_copy(update={"views": (view, *PLAN.views[1:]), **changes})


def serve(folder: Path, online_store: Path, plan: FeaturePlan, **settings: Any) -> AppClient:
    publish(folder, make_manifest(GRAPH, plan=plan), GRAPH)
    return AppClient(create_app(make_settings(folder, online_store, **settings)))


LATER = EVENT_TIME + timedelta(hours=1, seconds=1)


def test_a_stale_value_is_told_and_does_not_reach_the_model(
    tmp_path: Path, online_store: Path
) -> None:
    with serve(tmp_path, online_store, PLAN, clock=LATER) as client:
        stale = post(client, query="?with_features=true")
        without = post(client, {"overrides": {MEAN: None, SIZE: None}})
    assert score(stale) == score(without)
    told = stale.json()["features"][0][MEAN]
    assert told == {
        "value": None,
        "status": "stale",
        "age_seconds": 3601.0,
        "view": "carrier_stats",
    }


def test_a_view_may_serve_what_is_stale(tmp_path: Path, online_store: Path) -> None:
    plan = plan_with(view={"when_stale": "serve"})
    with serve(tmp_path, online_store, plan, clock=LATER) as client:
        response = post(client, query="?with_features=true")
        same = post(client, {"overrides": {MEAN: 2.5, SIZE: "big"}})
    assert score(response) == score(same)
    assert response.json()["features"][0][MEAN]["value"] == 2.5
    assert response.json()["features"][0][MEAN]["status"] == "stale"


def test_a_view_may_reject_what_is_stale(tmp_path: Path, online_store: Path) -> None:
    plan = plan_with(view={"when_stale": "reject"})
    with serve(tmp_path, online_store, plan, clock=LATER) as client:
        response = post(client, {"carrier": "DL"}, {})
        assert post(client, {"carrier": "DL"}).status_code == 200
    assert response.status_code == 503
    problem = response.json()
    assert problem["code"] == "feature_stale"
    assert problem["errors"][0]["pointer"] == "/instances/1"
    assert "3601 seconds old" in problem["detail"]
    assert "at most 3600 seconds" in problem["detail"]


@pytest.fixture
def down(tmp_path: Path) -> Path:
    """An online store that is not there."""
    return tmp_path / "gone" / "online.db"


def test_a_store_that_is_down_fails_the_request_by_default(tmp_path: Path, down: Path) -> None:
    with serve(tmp_path, down, PLAN) as client:
        response = post(client)
    assert response.status_code == 503
    assert response.json()["code"] == "online_store_unavailable"


def test_a_model_may_answer_from_defaults_and_says_so(tmp_path: Path, down: Path) -> None:
    features = tuple(
        feature.model_copy(update={"default": {"mean_delay": 4.5, "size": "big"}[feature.name]})
        for feature in PLAN.views[0].features
    )
    plan = plan_with(view={"features": features}, when_store_down="defaults")
    with serve(tmp_path, down, plan) as client:
        response = post(client, {}, {"overrides": {FLIGHTS: 7}}, query="?with_features=true")
    answer = response.json()
    assert answer["degraded"] == "online_store_unavailable"
    assert response.headers["zeroskew-degraded"] == "online_store_unavailable"
    assert score(response, 1) - score(response, 0) == 7
    assert answer["features"][0][MEAN] == {
        "value": 4.5,
        "status": "default",
        "age_seconds": None,
        "view": "carrier_stats",
    }
    assert answer["features"][0][SHARE]["value"] is None
    assert answer["features"][1][FLIGHTS]["status"] == "override"
    assert not math.isnan(score(response))


def test_answers_are_of_the_documented_type(client: AppClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/models/arrival_delay:predict"]["post"]
    names = [parameter["name"] for parameter in operation["parameters"]]
    assert "with_features" in names
    answer = post(client, {"overrides": {MEAN: 1.0}}, query="?with_features=true").json()
    schemas = document["components"]["schemas"]
    assert set(answer) <= set(schemas["ArrivalDelayV1Response"]["properties"])
    assert set(schemas["ArrivalDelayV1Overrides"]["properties"]) == {MEAN, SIZE, FLIGHTS, SHARE}
