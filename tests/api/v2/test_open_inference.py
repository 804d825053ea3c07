"""The Open Inference Protocol: documents, and scores equal to `:predict` and to the graph's own."""

import base64
import copy
import gzip
import json
import math
import struct
import uuid
import zlib
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.inference_requests import HEADER, entity_inputs, pack, read_outputs, to_binary
from tests.support.manifests import EXAMPLE, FIELDS, PLAN, make_manifest, publish, sum_graph
from tests.support.settings import make_settings
from zeroskew.contract.manifest import Output

EPOCH = {**EXAMPLE, "scheduled_departure": "1970-01-01T00:00:00Z"}
INSTANCES: list[dict[str, Any]] = [
    EXAMPLE,
    EPOCH,
    {**EPOCH, "carrier": "DL", "international": True},
    {**EPOCH, "dest": None, "distance": -7.125},
    {**EPOCH, "origin": "ÅÖ", "distance": 0.1},
    {**EPOCH, "distance": -6.625},  # the sum is 0: on the threshold of is_late
]
NAN = math.nan
FEATURES = [[0.5, -2.0, 1.0, 3.0, 0.0, 0.25], [NAN, 1.0, NAN, -4.0, 2.0, 0.125]]
REQUEST = [[1.5, 0.0], [NAN, 1.0]]
GRAPH = sum_graph(6, 2)
INTERFACES = ["arrival_delay", "is_late", "delay_class"]


def infer(
    client: AppClient, model: str, request: dict[str, Any], *, binary: bool
) -> httpx.Response:
    path = f"/v2/models/{model}/infer"
    if not binary:
        return client.post(path, json=request)
    body, headers = to_binary(request)
    return client.post(
        path, content=body, headers={**headers, "content-type": "application/octet-stream"}
    )


def outputs(response: httpx.Response) -> dict[str, list[Any]]:
    assert response.status_code == 200, response.text
    return read_outputs(response.content, response.headers.get(HEADER))


def tensor_inputs(n_rows: int = 2) -> list[dict[str, Any]]:
    """Return the graph's inputs in JSON, whose null is a missing value."""
    return [
        {
            "name": name,
            "datatype": datatype,
            "shape": [n_rows, len(rows[0])],
            "data": [[None if math.isnan(one) else one for one in row] for row in rows[:n_rows]],
        }
        for name, datatype, rows in (("features", "FP32", FEATURES), ("request", "FP64", REQUEST))
    ]


def binary_tensor_inputs() -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": datatype, "shape": [2, len(rows[0])], "data": list(chain(*rows))}
        for name, datatype, rows in (("features", "FP32", FEATURES), ("request", "FP64", REQUEST))
    ]


def graph_scores(kind: str) -> Any:
    session = onnxruntime.InferenceSession(sum_graph(6, 2, output=kind))
    feed = {"features": np.array(FEATURES, np.float32), "request": np.array(REQUEST)}
    return session.run(["scores"], feed)[0].ravel().tolist()


def native(client: AppClient, model: str, instances: list[dict[str, Any]]) -> Any:
    response = client.post(f"/v1/models/{model}:predict", json={"instances": instances})
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def test_the_server_says_what_it_is(client: AppClient) -> None:
    for path in ("/v2", "/v2/"):
        answer = client.get(path).json()
        assert answer["name"] == "zeroskew"
        assert answer["version"] == client.app.version
        assert answer["extensions"] == ["binary_tensor_data", "model_configuration", "statistics"]


def test_the_server_is_live_and_ready(client: AppClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}


@pytest.mark.parametrize("path", ["arrival_delay/ready", "arrival_delay/versions/2/ready"])
def test_a_model_is_ready(client: AppClient, path: str) -> None:
    assert client.get(f"/v2/models/{path}").json() == {"name": "arrival_delay", "ready": True}


@pytest.mark.parametrize("path", ["arrival_delay", "arrival_delay/versions/2"])
def test_metadata_list_the_tensors_of_one_interface(client: AppClient, path: str) -> None:
    entity, tensor = {"interface": "entity"}, {"interface": "tensor"}
    optional = {**entity, "optional": True}

    def one(name: str, datatype: str, shape: list[int], parameters: dict[str, Any]) -> Any:
        return {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}

    named = {"name": "arrival_delay", "versions": ["1", "2"], "platform": "onnx_onnxv1"}
    asked = client.get(f"/v2/models/{path}?interface=tensor").json()
    assert asked == named | {
        "inputs": [
            one("features", "FP32", [-1, 6], tensor),
            one("request", "FP64", [-1, 2], tensor),
        ],
        "outputs": [one("scores", "FP64", [-1], tensor)],
    }
    default = client.get(f"/v2/models/{path}").json()
    assert client.get(f"/v2/models/{path}?interface=entity").json() == default
    assert default == named | {
        "inputs": [
            one("carrier", "BYTES", [-1], entity),
            one("origin", "BYTES", [-1], entity),
            one("dest", "BYTES", [-1], optional),
            one("seats", "INT64", [-1], entity),
            one("distance", "FP64", [-1], entity),
            one("international", "BOOL", [-1], entity),
            one("scheduled_departure", "BYTES", [-1], entity),
        ],
        "outputs": [one("value", "FP64", [-1], entity)],
    }


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("is_late", [("probability", "FP64", [-1]), ("label", "BOOL", [-1])]),
        ("delay_class", [("probabilities", "FP64", [-1, 2]), ("label", "BYTES", [-1])]),
    ],
)
def test_the_outputs_are_those_of_the_models_kind(
    client: AppClient, model: str, expected: list[Any]
) -> None:
    found = [
        (one["name"], one["datatype"], one["shape"])
        for one in client.get(f"/v2/models/{model}").json()["outputs"]
    ]
    assert found == expected


@pytest.mark.parametrize("interface", ["entity", "tensor"])
@pytest.mark.parametrize("model", INTERFACES)
@pytest.mark.parametrize("binary", [False, True])
def test_who_fills_all_that_is_listed_is_answered(
    client: AppClient, interface: str, model: str, binary: bool
) -> None:
    found = client.get(f"/v2/models/{model}?interface={interface}").json()
    values = {"BYTES": "", "INT64": 0, "FP64": 0.5, "FP32": 0.5, "BOOL": True}
    inputs = []
    for one in found["inputs"]:
        shape = [3 if size == -1 else size for size in one["shape"]]
        value = values[one["datatype"]]
        if one["datatype"] == "BYTES":
            value = EXAMPLE[one["name"]]
        data = [value] * math.prod(shape)
        inputs.append({**one, "shape": shape, "data": data, "parameters": {}})
    answer = infer(client, model, {"inputs": inputs}, binary=binary)
    assert list(outputs(answer)) == [one["name"] for one in found["outputs"]]


def test_models_are_listed(client: AppClient) -> None:
    names = ["arrival_delay", "delay_class", "is_late"]
    assert client.get("/v2/models").json() == {"models": names}
    expected = [
        ("arrival_delay", "2"),
        ("arrival_delay", "1"),
        *((name, "1") for name in names[1:]),
    ]
    for body in ("", "{}", '{"ready": true}', '{"ready": false}'):
        headers = {"content-type": ""}  # As Triton's client does.
        answer = client.post("/v2/repository/index", content=body, headers=headers)
        assert [(one["name"], one["version"]) for one in answer.json()] == expected
        assert {(one["state"], one["reason"]) for one in answer.json()} == {("READY", "")}
    answer = client.post("/v2/repository/index", json={"raedy": True})
    assert answer.status_code == 400
    assert "raedy" in answer.json()["error"]


def test_a_retired_version_is_listed_as_away(tmp_path: Path, online_store: Path) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    publish(tmp_path, make_manifest(GRAPH, description="Another."), GRAPH, alias=None)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        retire = "/v1/models/arrival_delay/versions/2:retire"
        assert client.post(retire, json={}).status_code == 200
        states = {
            (one["version"], one["state"], one["reason"])
            for one in client.post("/v2/repository/index").json()
        }
        assert states == {("1", "READY", ""), ("2", "UNAVAILABLE", "It is retired.")}
        ready = client.post("/v2/repository/index", json={"ready": True}).json()
        assert [one["version"] for one in ready] == ["1"]


def test_what_was_scored_is_counted(published: Path, online_store: Path) -> None:
    with AppClient(create_app(make_settings(published, online_store))) as client:
        assert client.get("/v2/models/stats").json() == {"model_stats": []}
        infer(client, "arrival_delay", {"inputs": entity_inputs(INSTANCES)}, binary=False)
        infer(client, "is_late", {"inputs": entity_inputs([EXAMPLE])}, binary=False)
        client.post("/v1/models/is_late:predict", json={"instances": [EXAMPLE]})

        def read(path: str) -> Any:
            found = client.get(f"/v2/models/{path}").json()["model_stats"]
            return {(one["name"], one["version"]): tuple(one.values())[2:] for one in found}

        delays = {("arrival_delay", "1"): (len(INSTANCES), 1)}
        assert read("stats") == delays | {("is_late", "1"): (2, 2)}
        assert read("arrival_delay/stats") == delays
        assert read("arrival_delay/versions/1/stats") == delays
        assert read("arrival_delay/versions/2/stats") == read("delay_class/stats") == {}
        assert client.get("/v2/models/nope/stats").status_code == 404


@pytest.mark.parametrize("path", ["delay_class", "delay_class/versions/1"])
def test_a_configuration_is_as_tritons(client: AppClient, path: str) -> None:
    found = client.get(f"/v2/models/{path}/config").json()
    assert (found["name"], found["platform"]) == ("delay_class", "onnx_onnxv1")
    assert found["max_batch_size"] == 1000
    told = {one["name"]: (one["data_type"], one["dims"], one["optional"]) for one in found["input"]}
    assert told["carrier"] == ("TYPE_STRING", [1], False)
    assert told["dest"] == ("TYPE_STRING", [1], True)
    assert told["distance"] == ("TYPE_FP64", [1], False)
    assert [(one["name"], one["dims"]) for one in found["output"]] == [
        ("probabilities", [2]),
        ("label", [1]),
    ]


def test_entities_score_as_reckoned_by_hand(client: AppClient) -> None:
    response = infer(client, "arrival_delay", {"inputs": entity_inputs(INSTANCES)}, binary=False)
    # As in test_predict.py; the fifth origin is unknown: 2.5 + 1 + 0 + 0.1 in float32.
    assert outputs(response)["value"] == [
        1380637020.0 + 1407.125,
        1407.125,
        2 + 1400.5 + 1 + 3.125,
        3.5 - 7.125,
        3.5 + float(np.float32(0.1)),
        0.0,
    ]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("answer_binary", [False, True])
def test_entities_score_as_they_do_natively(
    client: AppClient, binary: bool, answer_binary: bool
) -> None:
    instances = [{**one, "dest": one["dest"] or "?"} for one in INSTANCES]
    request = {
        "inputs": entity_inputs(instances),
        "parameters": {"binary_data_output": answer_binary},
    }
    answers = {model: outputs(infer(client, model, request, binary=binary)) for model in INTERFACES}
    assert answers["arrival_delay"] == {
        "value": [one["value"] for one in native(client, "arrival_delay", instances)]
    }
    late = native(client, "is_late", instances)
    assert answers["is_late"] == {
        "probability": [one["probability"] for one in late],
        "label": [one["label"] for one in late],
    }
    classes = native(client, "delay_class", instances)
    assert answers["delay_class"] == {
        "probabilities": [
            one["probabilities"][name] for one in classes for name in ("early", "late")
        ],
        "label": [one["label"] for one in classes],
    }


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    ("model", "kind"),
    [("arrival_delay", "value"), ("is_late", "probability"), ("delay_class", "probabilities")],
)
def test_tensors_score_as_the_graph_does(
    client: AppClient, model: str, kind: str, binary: bool
) -> None:
    inputs = binary_tensor_inputs() if binary else tensor_inputs()
    answer = outputs(infer(client, model, {"inputs": inputs}, binary=binary))
    assert answer == {"scores": graph_scores(kind)}


def test_what_the_graph_adds_up_is_added_up(client: AppClient) -> None:
    answer = infer(client, "arrival_delay", {"inputs": tensor_inputs()}, binary=False)
    assert outputs(answer)["scores"] == [4.25, 0.125]


def test_tensors_in_json_and_in_binary_go_together(client: AppClient) -> None:
    features, request = binary_tensor_inputs()
    blob = pack("FP64", request.pop("data"))
    request["parameters"] = {"binary_data_size": len(blob)}
    features["data"] = tensor_inputs()[0]["data"]
    text = json.dumps({"inputs": [request, features]}).encode()
    response = client.post(
        "/v2/models/arrival_delay/infer", content=text + blob, headers={HEADER: str(len(text))}
    )
    assert outputs(response)["scores"] == [4.25, 0.125]


@pytest.mark.parametrize("content_type", [None, "application/json", "application/octet-stream"])
def test_a_body_is_taken_under_the_types_that_clients_send(
    client: AppClient, content_type: str | None
) -> None:
    body = json.dumps({"inputs": tensor_inputs()}).encode()
    headers = {"content-type": content_type or ""}
    response = client.post("/v2/models/arrival_delay/infer", content=body, headers=headers)
    assert outputs(response)["scores"] == [4.25, 0.125]
    assert response.headers["content-type"] == "application/json"


def test_outputs_are_those_asked_for_in_their_order_each_in_its_form(client: AppClient) -> None:
    request = {
        "inputs": entity_inputs(INSTANCES),
        "outputs": [
            {"name": "label", "parameters": {"binary_data": False}},
            {"name": "probability"},
        ],
        "parameters": {"binary_data_output": True},
    }
    response = infer(client, "is_late", request, binary=False)
    length = int(response.headers[HEADER])
    document = json.loads(response.content[:length])
    assert response.headers["content-type"] == "application/octet-stream"
    assert [one["name"] for one in document["outputs"]] == ["label", "probability"]
    assert document["outputs"][0]["data"] == [True, True, True, False, True, True]
    assert document["outputs"][1]["parameters"] == {"binary_data_size": 48}
    assert struct.unpack("<d", response.content[length : length + 8]) == (1.0,)
    only = {**request, "outputs": [{"name": "label"}], "parameters": {}}
    assert list(outputs(infer(client, "is_late", only, binary=False))) == ["label"]


def test_the_answer_names_the_model_the_version_the_request_and_the_time(
    client: AppClient,
) -> None:
    request = {
        "id": "42",
        "model_name": "arrival_delay",
        "model_version": "1",
        "inputs": entity_inputs([EPOCH]),
        # What Triton's client sends when it is told of priorities, and what we know nothing of.
        "parameters": {"priority": 1, "timeout": 10, "who": "me", "sequence_start": True},
        "outputs": [],
    }
    answer = infer(client, "arrival_delay", request, binary=False).json()
    assert uuid.UUID(answer["parameters"].pop("prediction_id")).version == 7
    assert answer == {
        "model_name": "arrival_delay",
        "model_version": "1",
        "id": "42",
        "parameters": {"as_of": "2013-10-01T12:00:00Z"},
        "outputs": [{"name": "value", "datatype": "FP64", "shape": [1], "data": [1407.125]}],
    }


def test_a_request_without_an_id_gets_one(client: AppClient) -> None:
    request = {"id": None, "inputs": tensor_inputs(), "parameters": None, "outputs": None}
    answer = infer(client, "delay_class", request, binary=False).json()
    assert len(answer["id"]) == 36
    assert "parameters" not in answer
    assert answer["outputs"][0]["shape"] == [2, 2]


def test_a_version_is_asked_by_its_number(client: AppClient) -> None:
    answer = client.post(
        "/v2/models/arrival_delay/versions/2/infer", json={"inputs": tensor_inputs()}
    ).json()
    assert answer["model_version"] == "2"


def test_an_optional_input_that_is_left_out_is_null(client: AppClient) -> None:
    inputs = [one for one in entity_inputs([EPOCH]) if one["name"] != "dest"]
    answer = outputs(infer(client, "arrival_delay", {"inputs": inputs}, binary=True))
    assert answer["value"] == [1404.0]  # Without the route's 3.125.


def test_a_text_can_stand_for_null(client: AppClient) -> None:
    instances = [{**EPOCH, "dest": ""}, {**EPOCH, "origin": "", "dest": "IAH"}, EPOCH]
    request = {"inputs": entity_inputs(instances), "parameters": {"null_text": ""}}
    answer = outputs(infer(client, "arrival_delay", request, binary=True))
    assert answer["value"] == [1404.0, 1404.0, 1407.125]


@pytest.mark.parametrize(
    ("name", "datatype", "letter"),
    [
        ("seats", "INT8", "b"),
        ("seats", "UINT32", "I"),
        ("distance", "FP32", "f"),
        ("distance", "FP16", "e"),
        ("distance", "INT16", "h"),
    ],
)
def test_a_narrower_datatype_is_widened(
    client: AppClient, name: str, datatype: str, letter: str
) -> None:
    inputs = {one["name"]: one for one in entity_inputs([{**EPOCH, "distance": 100.0}])}
    expected = outputs(
        infer(client, "arrival_delay", {"inputs": list(inputs.values())}, binary=False)
    )
    del inputs[name]["data"]
    blob = struct.pack(f"<{letter}", 100)
    inputs[name] |= {"datatype": datatype, "parameters": {"binary_data_size": len(blob)}}
    text = json.dumps({"inputs": list(inputs.values())}).encode()
    response = client.post(
        "/v2/models/arrival_delay/infer", content=text + blob, headers={HEADER: str(len(text))}
    )
    assert outputs(response) == expected


def test_a_column_vector_is_taken(client: AppClient) -> None:
    inputs = entity_inputs(INSTANCES)
    expected = outputs(infer(client, "arrival_delay", {"inputs": inputs}, binary=False))
    for one in inputs:
        one["shape"] = [len(INSTANCES), 1]
        one["data"] = [[value] for value in one["data"]]
    assert outputs(infer(client, "arrival_delay", {"inputs": inputs}, binary=False)) == expected


def test_as_many_rows_as_instances_are_taken(client: AppClient) -> None:
    inputs = entity_inputs([EPOCH] * 1000)
    answer = outputs(infer(client, "arrival_delay", {"inputs": inputs}, binary=True))
    assert answer["value"] == [1407.125] * 1000


def test_a_graph_without_request_inputs_takes_features_alone(
    tmp_path: Path, online_store: Path
) -> None:
    graph = sum_graph(6, 0)
    plan = PLAN.model_copy(update={"request_inputs": (), "request_features": ()})
    publish(tmp_path, make_manifest(graph, plan=plan), graph)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        described = client.get("/v2/models/arrival_delay?interface=tensor").json()
        assert [one["name"] for one in described["inputs"]] == ["features"]
        answer = infer(client, "arrival_delay", {"inputs": tensor_inputs()[:1]}, binary=False)
        assert outputs(answer)["scores"] == [2.75, -0.875]


def test_a_field_with_the_name_of_a_graphs_input_leaves_the_entity_interface(
    tmp_path: Path, online_store: Path
) -> None:
    graph = sum_graph(6, 2)
    fields = (*FIELDS, FIELDS[4].model_copy(update={"name": "features"}))
    manifest = make_manifest(graph, request=fields, example={**EXAMPLE, "features": 1.0})
    publish(tmp_path, manifest, graph)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        none = client.get("/v2/models/arrival_delay?interface=tensor")
        assert none.status_code == 400
        assert none.json()["error"].startswith("Got the interface tensor, but this model has none")
        described = client.get("/v2/models/arrival_delay").json()
        assert [one["name"] for one in described["inputs"]][-1] == "features"
        assert [one["name"] for one in described["outputs"]] == ["value"]
        own = {"name": "features", "datatype": "FP64", "shape": [1], "data": [1.0]}
        request = {"inputs": [*entity_inputs([EPOCH]), own]}
        answer = infer(client, "arrival_delay", request, binary=False)
        assert outputs(answer)["value"] == [1407.125]


def test_defaults_are_told_where_the_store_is_down(tmp_path: Path) -> None:
    graph = sum_graph(6, 2)
    plan = PLAN.model_copy(update={"when_store_down": "defaults"})
    late = Output(kind="probability", description="P(late).", threshold=0.5)
    graph = sum_graph(6, 2, output="probability")
    publish(tmp_path, make_manifest(graph, plan=plan, output=late), graph)
    with AppClient(create_app(make_settings(tmp_path, tmp_path / "none.db"))) as client:
        response = infer(client, "arrival_delay", {"inputs": entity_inputs([EPOCH])}, binary=False)
        assert response.json()["parameters"]["degraded"] == "online_store_unavailable"
        assert response.headers["zeroskew-degraded"] == "online_store_unavailable"
        assert outputs(response)["label"] == [True]


def test_the_documentation_describes_the_tensors(client: AppClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v2/models/is_late/infer"]["post"]
    assert operation["summary"] == "Infer with is_late"
    content = operation["requestBody"]["content"]
    assert set(content) == {"application/json", "application/octet-stream"}
    assert list(content["application/json"]["examples"]) == [
        "entity interface",
        "tensor interface",
    ]
    schema = document["components"]["schemas"]["InferenceRequest"]
    assert schema["required"] == ["inputs"]
    name = operation["responses"]["400"]["$ref"].split("/")[-1]
    response = document["components"]["responses"][name]
    error = response["content"]["application/json"]["schema"]
    assert error == {"$ref": "#/components/schemas/InferenceError"}


@pytest.mark.parametrize("is_binary", [False, True])
def test_a_content_type_is_honoured(client: AppClient, is_binary: bool) -> None:
    inputs = entity_inputs([one for one in INSTANCES if one["dest"] is not None])
    plain = {"inputs": inputs}
    expected = outputs(client.post("/v2/models/arrival_delay/infer", json=plain))
    types = {"carrier": "base64", "scheduled_departure": "datetime", "distance": "np"}
    inputs = copy.deepcopy(inputs)
    given = {"inputs": inputs, "parameters": {"content_type": "pd"}}
    for one in inputs:
        if (content_type := types.get(one["name"])) is not None:
            one["parameters"] = {"content_type": content_type}
        if content_type == "base64":
            one["data"] = [base64.b64encode(text.encode()).decode() for text in one["data"]]
    if is_binary:
        body, headers = to_binary(given)
        answer = client.post("/v2/models/arrival_delay/infer", content=body, headers=headers)
    else:
        answer = client.post("/v2/models/arrival_delay/infer", json=given)
    assert outputs(answer) == expected


def deflate_bare(body: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(body) + made.flush()


CODERS = [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", deflate_bare)]


@pytest.mark.parametrize(("coding", "compress"), CODERS)
@pytest.mark.parametrize("is_binary", [False, True])
def test_requests_and_answers_may_be_compressed(
    client: AppClient, coding: str, compress: Callable[[bytes], bytes], is_binary: bool
) -> None:
    path = "/v2/models/arrival_delay/infer"
    request = {
        "inputs": entity_inputs([EXAMPLE] * 300),
        "parameters": {"binary_data_output": is_binary},
    }
    body = json.dumps(request).encode()
    headers: dict[str, str] = {}
    if is_binary:
        body, headers = to_binary(request)
    plain = client.post(path, content=body, headers=headers | {"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    headers |= {"content-encoding": coding, "accept-encoding": f"br, {coding}"}
    answer = client.post(path, content=compress(body), headers=headers)
    assert outputs(answer) == outputs(plain)
    assert answer.headers["content-encoding"] == coding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) < len(plain.content)
