"""Predictions over HTTP: hand-derived scores, every address, every kind of output."""

import json
import math
import uuid
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.settings import make_settings

# The graph adds up every input that is not NaN. For the example: share 0.125, mean_delay 2.5,
# size "big" 1, flights 3, carrier "UA" 0, distance 1400.5; the departure 14:17 UTC; not abroad.
DEPARTURE_SEC = 1380637020.0
EXAMPLE_SCORE = 0.125 + 2.5 + 1 + 3 + 0 + 1400.5 + DEPARTURE_SEC
EPOCH = {"scheduled_departure": "1970-01-01T00:00:00Z"}


def predict(client: AppClient, *changes: dict[str, Any], path: str = "arrival_delay") -> Any:
    instances = [EXAMPLE | change for change in changes or ({},)]
    response = client.post(f"/v1/models/{path}:predict", json={"instances": instances})
    assert response.status_code == 200, response.text
    return response.json()


def test_the_example_scores_as_reckoned_by_hand(client: AppClient) -> None:
    answer = predict(client)
    assert answer["predictions"] == [{"value": EXAMPLE_SCORE}]
    assert (answer["model"], answer["version"]) == ("arrival_delay", 1)
    assert answer["as_of"] == "2013-10-01T12:00:00Z"
    assert uuid.UUID(answer["id"]).version == 7


def test_each_instance_gets_its_prediction_in_order(client: AppClient) -> None:
    answer = predict(
        client,
        EPOCH,
        EPOCH | {"carrier": "DL"},  # unknown online: code 2 instead of 2.5 and 1 and 0
        EPOCH | {"dest": None},  # no route: 3 and 0.125 are gone
        EPOCH | {"international": True, "distance": 0},
        EPOCH,
    )
    assert [one["value"] for one in answer["predictions"]] == [
        1407.125,
        1405.625,
        1404.0,
        7.625,
        1407.125,
    ]


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("arrival_delay", 1),
        ("arrival_delay/versions/1", 1),
        ("arrival_delay/versions/2", 2),
        ("arrival_delay/labels/champion", 1),
        ("arrival_delay/labels/challenger", 2),
    ],
)
def test_every_address_reaches_its_version(client: AppClient, path: str, version: int) -> None:
    answer = predict(client, path=path)
    assert (answer["version"], answer["predictions"]) == (version, [{"value": EXAMPLE_SCORE}])


def test_a_probability_comes_with_the_side_of_the_threshold(client: AppClient) -> None:
    answer = predict(
        client,
        {**EPOCH, "distance": -7.125},  # the sum is -0.5
        {**EPOCH, "distance": -6.625},  # the sum is 0: on the threshold counts as late
        path="is_late",
    )
    low, even = answer["predictions"]
    assert low["probability"] == pytest.approx(1 / (1 + math.exp(0.5)), rel=1e-12)
    assert low["label"] is False
    assert even == {"probability": 0.5, "label": True}


def test_probabilities_come_with_the_likeliest_class(client: AppClient) -> None:
    answer = predict(client, {**EPOCH, "distance": -7.125}, path="delay_class")
    (one,) = answer["predictions"]
    assert one["label"] == "early"
    assert one["probabilities"]["late"] == pytest.approx(1 / (1 + math.exp(0.5)), rel=1e-12)
    assert sum(one["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "text",
    [
        "2013-10-01T14:17:00Z",
        "2013-10-01t14:17:00z",
        "2013-10-01 14:17:00+00:00",
        "2013-10-01T14:17:00.000000-00:00",
        "2013-10-02T04:16:00+13:59",
        "2013-09-30T14:18:00-23:59",
    ],
)
def test_the_same_instant_in_another_offset_scores_the_same(client: AppClient, text: str) -> None:
    answer = predict(client, {"scheduled_departure": text})
    assert answer["predictions"] == [{"value": EXAMPLE_SCORE}]


def test_the_ends_of_the_calendar_are_scored_or_refused_but_never_fail(client: AppClient) -> None:
    answer = predict(
        client,
        {"scheduled_departure": "0001-01-01T00:00:00+23:59"},
        {"scheduled_departure": "9999-12-31T23:59:59.999999-23:59"},
    )
    # 719,162 days lie between 0001-01-01 and the epoch, 2,932,896 and a day to the end.
    first, last = (one["value"] for one in answer["predictions"])
    assert first == 1407.125 - (719_162 * 86_400 + 86_340)
    assert last == pytest.approx(1407.125 + 2_932_897 * 86_400 + 86_340, abs=1e-4)


def test_whole_numbers_may_be_written_as_floats(client: AppClient) -> None:
    plain = predict(client, {"seats": 100}, {"seats": -(2**53)})
    floats = predict(client, {"seats": 100.0}, {"seats": -float(2**53)})
    assert floats["predictions"] == plain["predictions"]


@pytest.mark.parametrize(
    "text", [f"{2**53}", f"{2**60}", "1" + "0" * 22, "9007199254740993.0", "-0.0", "1e3", "0"]
)
def test_numbers_that_float64_holds_may_be_written_as_whole_ones(
    client: AppClient, text: str
) -> None:
    body = json.dumps({"instances": [EXAMPLE | {"distance": "@"}]}).replace('"@"', text)
    response = client.post("/v1/models/arrival_delay:predict", content=body)
    assert response.status_code == 200, response.text
    same = predict(client, {"distance": float(text)})
    assert response.json()["predictions"] == same["predictions"]


def test_a_score_that_is_not_finite_fails_without_naming_the_cause(
    tmp_path: Path, online_store: Path
) -> None:
    graph = sum_graph(6, 2, output="exponential")
    publish(tmp_path, make_manifest(graph), graph)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        response = client.post(
            "/v1/models/arrival_delay:predict", json={"instances": [EXAMPLE | {"distance": 1e6}]}
        )
    assert response.status_code == 500
    assert response.json()["code"] == "non_finite_score"
