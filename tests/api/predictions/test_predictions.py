"""A prediction is on record, and comes out the same again."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.inference_requests import entity_inputs
from tests.support.manifests import EXAMPLE
from tests.support.settings import make_settings
from tests.support.waiting import wait_until
from tests.support.whole_service import publish_every_kind

PREDICT = "/v1/models/arrival_delay:predict"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, online_store: Path) -> Iterator[AppClient]:
    folder = tmp_path_factory.mktemp("logged")
    publish_every_kind(folder)
    settings = make_settings(
        folder,
        online_store,
        log_spool_dir=folder / "spool",
        log_models={"delay_class": {"mode": "durable"}, "is_late": {"mode": "off"}},
    )
    with AppClient(create_app(settings)) as running:
        yield running


def find(client: AppClient, prediction_id: str) -> Any:
    path = f"/v1/predictions/{prediction_id}"
    wait_until(lambda: client.get(path).status_code == 200, what=path)
    return client.get(path).json()


def test_what_was_predicted_is_on_record(client: AppClient) -> None:
    instances = [EXAMPLE, EXAMPLE | {"dest": None, "overrides": {"carrier_stats:mean_delay": 4}}]
    answer = client.post(PREDICT, json={"instances": instances})
    logged = find(client, answer.json()["id"])
    assert (logged["model"], logged["role"]) == ("arrival_delay", "answer")
    assert logged["request_id"] == answer.headers["x-request-id"]
    assert logged["time"] == answer.json()["as_of"]
    first, second = logged["rows"]
    assert [(row["row"], row["version"], row["arm"]) for row in (first, second)] == [
        (0, 1, None),
        (1, 1, None),
    ]
    assert first["entity_key"] == {"carrier": "UA", "dest": "IAH", "origin": "EWR"}
    assert first["features"]["mean_delay"] == 2.5
    assert first["stored"]["route_stats:flights"]["status"] == "present"
    assert first["stored"]["carrier_stats:mean_delay"]["event_time"] == "2013-10-01T12:00:00Z"
    assert second["features"]["flights"] is None
    assert second["stored"]["route_stats:flights"] == {"status": "missing", "event_time": None}
    assert second["stored"]["carrier_stats:mean_delay"]["status"] == "override"
    assert second["overrides"] == {"carrier_stats:mean_delay": 4.0}
    scores = [one["value"] for one in answer.json()["predictions"]]
    assert [row["output"] for row in logged["rows"]] == [[score] for score in scores]


def test_it_comes_out_the_same_again(client: AppClient) -> None:
    body = {"instances": [EXAMPLE, EXAMPLE | {"seats": 3}]}
    prediction_id = client.post(PREDICT, json=body).json()["id"]
    find(client, prediction_id)
    replay = client.post(f"/v1/predictions/{prediction_id}:replay").json()
    assert replay["is_equal"]
    assert [row["logged"] for row in replay["rows"]] == [row["replayed"] for row in replay["rows"]]


def test_a_durable_prediction_is_there_when_it_is_answered(client: AppClient) -> None:
    answer = client.post("/v1/models/delay_class:predict", json={"instances": [EXAMPLE]}).json()
    logged = client.get(f"/v1/predictions/{answer['id']}")
    assert logged.status_code == 200
    assert logged.json()["rows"][0]["output"] == list(
        answer["predictions"][0]["probabilities"].values()
    )


def test_inference_requests_are_on_record_too(client: AppClient) -> None:
    asked = {"id": "mine", "inputs": entity_inputs([EXAMPLE])}
    answer = client.post("/v2/models/arrival_delay/infer", json=asked).json()
    assert answer["id"] == "mine"
    logged = find(client, answer["parameters"]["prediction_id"])
    assert logged["rows"][0]["output"] == answer["outputs"][0]["data"]


def test_what_is_not_logged_is_not_there(client: AppClient) -> None:
    answer = client.post("/v1/models/is_late:predict", json={"instances": [EXAMPLE]}).json()
    time.sleep(0.5)
    for prediction_id in (answer["id"], "nonsense", "0" * 36):
        for response in (
            client.get(f"/v1/predictions/{prediction_id}"),
            client.post(f"/v1/predictions/{prediction_id}:replay"),
        ):
            assert response.status_code == 404
            assert response.json()["code"] == "unknown_prediction"
