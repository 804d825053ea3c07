"""One output alone, as TensorFlow Serving's clients read it, from a server that really runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE
from tests.support.service_process import Server

EPOCH: dict[str, Any] = EXAMPLE | {"scheduled_departure": "1970-01-01T00:00:00Z"}
# Without anything stored for them the scores are those of -4.5 and 2.5 miles.
ROWS = [EPOCH | {"origin": "JFK", "carrier": "AA", "distance": miles} for miles in (-5.5, 1.5)]
COLUMNS: dict[str, list[Any]] = {name: [row[name] for row in ROWS] for name in EPOCH}
SERVED_KINDS = [
    ("arrival_delay", "value"),
    ("is_late", "probability"),
    ("is_late", "label"),
    ("delay_class", "label"),
]


@pytest.fixture(scope="module")
def server(published: Path, online_store: Path) -> Iterator[Server]:
    running = Server(published, online_store)
    yield running
    running.stop()


def ask(server: Server, address: str, body: Any, **query: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/models/{address}:predict", json=body, params=query)


@pytest.mark.parametrize(("model", "output"), SERVED_KINDS)
def test_rows_are_answered_with_bare_values(server: Server, model: str, output: str) -> None:
    body = {"signature_name": "serving_default", "instances": ROWS}
    objects = ask(server, model, body).json()["predictions"]
    answer = ask(server, model, body, output=output)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [one[output] for one in objects]
    assert "outputs" not in answer.json()


@pytest.mark.parametrize(("model", "output"), SERVED_KINDS)
def test_columns_are_answered_with_one_column(server: Server, model: str, output: str) -> None:
    rows = ask(server, model, {"instances": ROWS}, output=output).json()["predictions"]
    answer = ask(server, model, {"inputs": COLUMNS}, output=output)
    assert answer.json()["outputs"] == rows
    assert "predictions" not in answer.json()


def test_the_values_are_those_reckoned_by_hand(server: Server) -> None:
    # A carrier that is known adds its code, 1; nothing else is known of these but the miles.
    answer = ask(server, "arrival_delay", {"instances": ROWS}, output="value")
    assert answer.json()["predictions"] == [-4.5, 2.5]
    assert ask(server, "is_late", {"instances": ROWS}, output="label").json()["predictions"] == [
        False,
        True,
    ]
    late = ask(server, "delay_class", {"instances": ROWS}, output="label").json()["predictions"]
    assert late == ["early", "late"]


@pytest.mark.parametrize("address", ["arrival_delay/versions/2", "arrival_delay/labels/challenger"])
def test_versions_and_aliases_are_asked_alike(server: Server, address: str) -> None:
    answer = ask(server, address, {"instances": ROWS}, output="value", with_features="true")
    assert answer.json()["version"] == 2
    assert answer.json()["predictions"] == [-4.5, 2.5]
    assert len(answer.json()["features"]) == 2


@pytest.mark.parametrize(
    ("model", "output", "expected"),
    [
        ("arrival_delay", "probability", "expected value."),
        ("arrival_delay", "", "expected value."),
        ("is_late", "value", "expected probability or label."),
        ("is_late", "Probability", "expected probability or label."),
        ("is_late", "x" * 500, "expected probability or label."),
        (
            "delay_class",
            "probabilities",
            "expected label; probabilities are a number for each class.",
        ),
        ("delay_class", "late", "expected label."),
    ],
)
def test_what_is_not_one_value_an_instance_is_refused(
    server: Server, model: str, output: str, expected: str
) -> None:
    answer = ask(server, model, {"instances": ROWS}, output=output)
    assert answer.status_code == 422
    assert answer.json()["error"] == (f"Got output={output[:32]!r} in the query, but {expected}")


def test_a_near_name_of_the_parameter_is_told(server: Server) -> None:
    answer = ask(server, "is_late", {"instances": ROWS}, outputs="label")
    assert answer.status_code == 422
    assert "the unknown parameter 'outputs' in the query, but expected output" in answer.text


def test_openapi_names_the_outputs_of_each_model(client: AppClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    def names(model: str) -> list[str]:
        described = paths[f"/v1/models/{model}:predict"]["post"]
        (parameter,) = [one for one in described["parameters"] if one["name"] == "output"]
        answers = described["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
        assert {"$ref": "#/components/schemas/OneOutputResponse"} in answers
        listed: list[str] = parameter["schema"]["enum"]
        return listed

    assert names("arrival_delay") == ["value"]
    assert names("is_late") == ["probability", "label"]
    assert names("delay_class") == ["label"]
    assert names("{model}") == ["value", "probability", "label"]
