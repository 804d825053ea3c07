"""Raw binary requests of the Open Inference Protocol: the bytes of a model's only input."""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.inference_requests import HEADER, read_outputs
from tests.support.manifests import PLAN, make_manifest, publish, sum_graph
from tests.support.settings import make_settings
from zeroskew.contract.manifest import Column, FieldType, Output, RequestField

RAW = {HEADER: "0", "content-type": "application/octet-stream"}
CHOICES = ("427", "ÅÖ")
FIELDS = {
    "seats": RequestField(name="seats", type=FieldType.INTEGER, description="Seats.", example=1),
    "size": RequestField(
        name="size", type=FieldType.STRING, description="Size.", example="427", choices=CHOICES
    ),
    "weight": RequestField(
        name="weight", type=FieldType.NUMBER, description="Weight.", example=1.0, nullable=True
    ),
}


def publish_model(folder: Path, model: str, *names: str, kind: Any = "value") -> None:
    """Publish a model of those fields alone, whose score is their sum or its sigmoid."""
    columns = tuple(
        Column(name=name, field=name, categories=FIELDS[name].choices) for name in names
    )
    plan = PLAN.model_copy(
        update={"views": (), "columns": columns, "request_inputs": (), "request_features": ()}
    )
    fields = tuple(FIELDS[name] for name in names)
    threshold = 0.5 if kind == "probability" else None
    graph = sum_graph(len(names), 0, output=kind)
    manifest = make_manifest(
        graph,
        model=model,
        plan=plan,
        request=fields,
        output=Output(kind=kind, description="A score.", threshold=threshold),
        example={field.name: field.example for field in fields},
    )
    publish(folder, manifest, graph)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, online_store: Path) -> Iterator[AppClient]:
    folder = tmp_path_factory.mktemp("raw")
    publish_model(folder, "by_seats", "seats")
    publish_model(folder, "is_full", "seats", kind="probability")
    publish_model(folder, "by_size", "size")
    publish_model(folder, "by_weight", "weight")
    publish_model(folder, "by_both", "seats", "size")
    with AppClient(create_app(make_settings(folder, online_store))) as running:
        yield running


def post(client: AppClient, model: str, body: bytes) -> httpx.Response:
    return client.post(f"/v2/models/{model}/infer", content=body, headers=RAW)


def outputs(answer: httpx.Response) -> dict[str, list[Any]]:
    assert answer.status_code == 200, answer.text
    return read_outputs(answer.content, answer.headers[HEADER])


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        ("by_seats", struct.pack("<3q", 1, -2, 2**40), {"value": [1.0, -2.0, 2.0**40]}),
        (
            "is_full",
            struct.pack("<2q", 0, -800),
            {"probability": [0.5, 0.0], "label": [True, False]},
        ),
        ("by_size", "ÅÖ".encode(), {"value": [1.0]}),
        ("by_size", b"427", {"value": [0.0]}),
        ("by_weight", struct.pack("<2d", 0.5, math.nan), {"value": [0.5, 0.0]}),
    ],
)
def test_bytes_are_those_of_the_only_input_and_all_outputs_are_binary(
    client: AppClient, model: str, body: bytes, expected: dict[str, list[Any]]
) -> None:
    answer = post(client, model, body)
    assert outputs(answer) == expected
    assert answer.headers["content-type"] == "application/octet-stream"
    described = json.loads(answer.content[: int(answer.headers[HEADER])])["outputs"]
    assert ["binary_data_size" in one["parameters"] for one in described] == [True] * len(expected)


def test_the_scores_are_those_of_the_same_request_with_json(client: AppClient) -> None:
    weights = np.random.default_rng(7).normal(size=50)
    tensor = {"name": "weight", "datatype": "FP64", "shape": [50], "data": weights.tolist()}
    answer = client.post("/v2/models/by_weight/infer", json={"inputs": [tensor]})
    raw = post(client, "by_weight", weights.astype("<f8").tobytes())
    assert outputs(raw) == read_outputs(answer.content, None)


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        ("by_seats", bytes(7), "Got 7 bytes as a raw binary request, but expected 8 for each row"),
        ("by_seats", b"", "Got 0 bytes as a raw binary request, but expected 8 for each row"),
        ("by_weight", bytes(12), "expected 8 for each row of input weight, which is FP64"),
        # The graph has one input, but the metadata list two: nobody's bytes are taken for others.
        (
            "by_both",
            bytes(8),
            "expected JSON in front of the bytes that names inputs of the entity",
        ),
        ("by_seats", bytes(8 * 1001), "Got the shape [1001] for input seats"),
        ("by_size", b"\xff", 'Got bytes as element 0 of input "size" that are no text'),
        ("by_size", b"426", "as row 0 of input size, but expected"),
        ("by_size", b"4" * 300, "as row 0 of input size, but expected"),
    ],
)
def test_bytes_that_are_no_rows_are_refused(
    client: AppClient, model: str, body: bytes, said: str
) -> None:
    answer = post(client, model, body)
    assert answer.status_code == 400
    assert said in answer.json()["error"], answer.text
