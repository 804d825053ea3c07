"""The flights models over the Open Inference Protocol: equal to the bit to what they are."""

import json
import re
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest

from api.main import create_app
from tests.end_to_end.test_served_equals_trained import draw_instances
from tests.support.app_client import AppClient
from tests.support.flights_project import CLOCK, MODELS, ROOT, FlightsProject
from tests.support.inference_requests import DATATYPES, HEADER, read_outputs, to_binary
from zeroskew.contract.manifest import Manifest
from zeroskew.contract.settings import Settings

N_INSTANCES = 900


@pytest.fixture(scope="module")
def client(flights: FlightsProject) -> Iterator[AppClient]:
    workspace = flights.workspace
    settings = Settings(
        database_url=workspace.database_url,
        artifacts_dir=workspace.artifacts_dir,
        online_store=f"sqlite:///{workspace.home / 'feast' / 'online.db'}",
        clock=CLOCK,
    )
    with AppClient(create_app(settings)) as running:
        yield running


def make_inputs(manifest: Manifest, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name,
            "datatype": DATATYPES[field.type.value],
            "shape": [len(instances)],
            "data": [instance[field.name] for instance in instances],
        }
        for field in manifest.request
    ]


def infer(client: AppClient, model: str, request: dict[str, Any], *, binary: bool) -> Any:
    path = f"/v2/models/{model}/infer"
    if binary:
        body, headers = to_binary(request)
        response = client.post(path, content=body, headers=headers)
    else:
        response = client.post(path, json=request)
    assert response.status_code == 200, response.text
    return read_outputs(response.content, response.headers.get(HEADER))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("binary", [False, True])
def test_entities_score_as_they_do_natively(
    client: AppClient, flights: FlightsProject, model: str, binary: bool
) -> None:
    manifest = flights.manifest(model)
    lake = flights.workspace.lake_folder
    instances = [dict(manifest.example), *draw_instances(lake, N_INSTANCES)]
    response = client.post(f"/v1/models/{model}:predict", json={"instances": instances})
    expected = response.json()["predictions"]
    request: dict[str, Any] = {"inputs": make_inputs(manifest, instances)}
    if binary:
        for one in request["inputs"]:
            one["data"] = ["null!" if value is None else value for value in one["data"]]
        request["parameters"] = {"null_text": "null!", "binary_data_output": True}
    assert infer(client, model, request, binary=binary) == {
        name: [one[name] for one in expected] for name in expected[0]
    }


def test_the_documented_request_scores_as_it_does_natively(client: AppClient) -> None:
    page = (ROOT / "docs" / "open_inference.md").read_text()
    path, body = re.findall(r"curl -s http://127.0.0.1:8000(\S+) -d '([^']+)'", page)[0]
    assert path == "/v2/models/arrival_delay_15/infer"
    request = json.loads(body)
    instance = {one["name"]: one["data"][0] for one in request["inputs"]}
    native = client.post("/v1/models/arrival_delay_15:predict", json={"instances": [instance]})
    (expected,) = native.json()["predictions"]
    answer = infer(client, "arrival_delay_15", request, binary=False)
    assert answer == {name: [value] for name, value in expected.items()}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("binary", [False, True])
def test_golden_rows_score_as_the_graph_does(
    client: AppClient, flights: FlightsProject, model: str, binary: bool
) -> None:
    manifest = flights.manifest(model)
    golden = manifest.golden_rows
    content = flights.workspace.open_artifacts().get(manifest.model_file.sha256)
    feed: dict[str, np.ndarray[Any, Any]] = {}
    inputs: list[dict[str, Any]] = []
    for name, datatype, letter in (("features", "FP32", "f4"), ("request", "FP64", "f8")):
        joined = bytes.fromhex("".join(getattr(row, name) for row in golden))
        matrix = np.frombuffer(joined, f"<{letter}").reshape(len(golden), -1)
        if matrix.size:
            feed[name] = matrix
            shape = list(matrix.shape)
            inputs.append({"name": name, "datatype": datatype, "shape": shape, "data": matrix})
    scores = onnxruntime.InferenceSession(content).run(["scores"], feed)[0]
    assert scores.astype("<f8").tobytes().hex() == "".join(row.scores for row in golden)
    # JSON knows no infinities.
    finite = np.logical_and.reduce([~np.isinf(matrix).any(axis=1) for matrix in feed.values()])
    chosen = np.full(len(golden), True) if binary else finite
    for one in inputs:
        rows = one["data"][chosen]
        flat = [None if not binary and np.isnan(x) else x for x in rows.ravel().tolist()]
        one |= {"shape": list(rows.shape), "data": flat}
    request = {"inputs": inputs, "parameters": {"binary_data_output": binary}}
    answer = infer(client, model, request, binary=binary)["scores"]
    assert len(answer) >= 10
    assert struct.pack(f"<{len(answer)}d", *answer) == scores[chosen].astype("<f8").tobytes()
