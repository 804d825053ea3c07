"""Columns instead of rows, as TensorFlow Serving's clients send them; and a signature's name."""

import json
from typing import Any

import pytest

from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE

OTHER = EXAMPLE | {"carrier": "AA", "distance": 2.5}
ROWS = [EXAMPLE, OTHER, EXAMPLE]
COLUMNS: dict[str, list[Any]] = {name: [row[name] for row in ROWS] for name in EXAMPLE}


def post(client: AppClient, model: str, body: Any) -> Any:
    response = client.post(f"/v1/models/{model}:predict", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("model", ["arrival_delay", "is_late", "delay_class"])
def test_columns_score_as_rows_and_come_back_as_columns(client: AppClient, model: str) -> None:
    predictions = post(client, model, {"instances": ROWS})["predictions"]
    answer = post(client, model, {"inputs": COLUMNS, "signature_name": "serving_default"})
    assert "predictions" not in answer
    assert answer["version"] == 1
    if model == "arrival_delay":  # One output: its column alone.
        assert answer["outputs"] == [prediction["value"] for prediction in predictions]
    else:
        assert answer["outputs"] == {
            name: [prediction[name] for prediction in predictions] for name in predictions[0]
        }


def test_a_column_of_overrides_is_taken_as_in_rows(client: AppClient) -> None:
    overrides = [{"carrier_stats:mean_delay": 100}, None, {}]
    rows = [row | {"overrides": one} for row, one in zip(ROWS, overrides, strict=True)]
    by_row = post(client, "arrival_delay", {"instances": rows})
    by_column = post(client, "arrival_delay", {"inputs": COLUMNS | {"overrides": overrides}})
    assert by_column["outputs"] == [prediction["value"] for prediction in by_row["predictions"]]
    assert by_column["overridden"] == by_row["overridden"]
    assert by_column["overridden"] == [["carrier_stats:mean_delay"], [], []]


def test_a_signature_may_be_named_with_rows(client: AppClient) -> None:
    named = {"signature_name": "serving_default", "instances": ROWS}
    plain = post(client, "arrival_delay", {"instances": ROWS})
    assert post(client, "arrival_delay", named)["predictions"] == plain["predictions"]


@pytest.mark.parametrize(
    ("body", "pointer", "expected"),
    [
        ({"inputs": COLUMNS | {"seats": [1]}}, "/inputs/seats", "as many as 'carrier' has, 3"),
        ({"inputs": COLUMNS | {"seats": 1}}, "/inputs/seats", "a list"),
        ({"inputs": COLUMNS | {"seats": [1, "2", 3]}}, "/inputs/seats/1", "a whole number"),
        (
            {"inputs": COLUMNS | {"distance": [1, 2, 2**53 + 1]}},
            "/inputs/distance/2",
            "a whole number that float64 holds",
        ),
        ({"inputs": COLUMNS | {"wings": [1, 2, 3]}}, "/inputs/wings/0", None),
        ({"inputs": {}}, "/inputs", "one for each field"),
        ({"inputs": [1, 2]}, "/inputs", "an object with a list for each field"),
        ({"inputs": {name: [] for name in COLUMNS}}, "/inputs/carrier", "1 to 1000"),
        ({"inputs": {"carrier": ["UA"] * 1001}}, "/inputs/carrier", "1 to 1000"),
        ({"inputs": {"carrier": ["UA"]}}, "/inputs/origin/0", None),
        ({"inputs": COLUMNS, "instances": ROWS}, "", "one of them"),
        ({"signature_name": "serving_default"}, "", "one of them"),
        ({"signature_name": "other", "instances": ROWS}, "/signature_name", "'serving_default'"),
        ({"signature_name": None, "instances": ROWS}, "/signature_name", "'serving_default'"),
        ({"inputs": COLUMNS, "poison": 1}, "/poison", None),
        ({"instances": 1, "signature_name": "serving_default"}, "/instances", "a list"),
    ],
)
def test_wrong_columns_are_refused_by_place(
    client: AppClient, body: Any, pointer: str, expected: str | None
) -> None:
    response = client.post("/v1/models/arrival_delay:predict", json=body)
    assert response.status_code == 422, response.text
    first = response.json()["errors"][0]
    assert first["pointer"] == pointer
    assert expected is None or first["expected"] == expected


def test_a_column_given_twice_is_refused(client: AppClient) -> None:
    text = json.dumps({"inputs": COLUMNS}).replace('"seats"', '"seats": [1, 1, 1], "seats"', 1)
    headers = {"content-type": "application/json"}
    path = "/v1/models/arrival_delay:predict"
    response = client.post(path, content=text.encode(), headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_json")
