"""Model documents as clients of TensorFlow Serving and KServe V1 read them, and as we do."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.settings import make_settings

GRAPH = sum_graph(6, 2)
OK = {"error_code": "OK", "error_message": ""}


def get(client: AppClient, path: str) -> Any:
    response = client.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def status(version: str, state: str = "AVAILABLE") -> dict[str, Any]:
    return {"version": version, "state": state, "status": OK}


def test_the_list_has_names_for_kserve_and_details_beside_them(client: AppClient) -> None:
    listed = get(client, "/v1/models")
    assert listed["models"] == ["arrival_delay", "delay_class", "is_late"]
    delay = listed["details"][0]
    assert (delay["name"], delay["aliases"]) == ("arrival_delay", {"challenger": 2, "champion": 1})
    assert [version["version"] for version in delay["versions"]] == [2, 1]


def test_a_model_tells_both_protocols_that_it_is_served(client: AppClient) -> None:
    shown = get(client, "/v1/models/arrival_delay")
    assert (shown["name"], shown["ready"]) == ("arrival_delay", True)
    assert shown["model_version_status"] == [status("2"), status("1")]
    assert shown["aliases"] == {"challenger": 2, "champion": 1}


@pytest.mark.parametrize(
    ("address", "version", "aliases"),
    [
        ("versions/1", 1, ["champion"]),
        ("versions/2", 2, ["challenger"]),
        ("labels/champion", 1, ["champion"]),
        ("labels/challenger", 2, ["challenger"]),
    ],
)
def test_a_version_tells_its_status_and_its_manifest(
    client: AppClient, address: str, version: int, aliases: list[str]
) -> None:
    shown = get(client, f"/v1/models/arrival_delay/{address}")
    assert shown["model_version_status"] == [status(str(version))]
    assert (shown["registered"]["version"], shown["aliases"]) == (version, aliases)
    description = "How late will it be?" if version == 1 else "Another."
    manifest = make_manifest(GRAPH, description=description)
    assert shown["manifest"] == json.loads(manifest.model_dump_json())


@pytest.mark.parametrize(
    ("address", "version"),
    [("", "1"), ("/versions/2", "2"), ("/labels/challenger", "2"), ("/labels/champion", "1")],
)
def test_metadata_describes_the_signature_as_tensorflow_serving_does(
    client: AppClient, address: str, version: str
) -> None:
    shown = get(client, f"/v1/models/arrival_delay{address}/metadata")
    name = "arrival_delay"
    assert shown["model_spec"] == {"name": name, "signature_name": "", "version": version}
    signature = shown["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature.keys() == {"inputs", "outputs", "method_name", "defaults"}
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert {name: tensor["dtype"] for name, tensor in signature["inputs"].items()} == {
        "carrier": "DT_STRING",
        "origin": "DT_STRING",
        "dest": "DT_STRING",
        "seats": "DT_INT64",
        "distance": "DT_DOUBLE",
        "international": "DT_BOOL",
        "scheduled_departure": "DT_STRING",
    }
    assert signature["outputs"] == {
        "value": {
            "name": "value",
            "dtype": "DT_DOUBLE",
            "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        }
    }


def test_metadata_tells_how_wide_each_output_is(client: AppClient) -> None:
    outputs = {}
    for model in ("is_late", "delay_class"):
        shown = get(client, f"/v1/models/{model}/metadata")
        signature = shown["metadata"]["signature_def"]["signature_def"]["serving_default"]
        outputs[model] = {
            name: (tensor["dtype"], [dim["size"] for dim in tensor["tensor_shape"]["dim"]])
            for name, tensor in signature["outputs"].items()
        }
    assert outputs == {
        "is_late": {"probability": ("DT_DOUBLE", ["-1"]), "label": ("DT_BOOL", ["-1"])},
        "delay_class": {
            "probabilities": ("DT_DOUBLE", ["-1", "2"]),
            "label": ("DT_STRING", ["-1"]),
        },
    }


def test_what_is_not_loaded_yet_is_on_its_way_and_asking_for_it_loads_it(
    tmp_path: Path, online_store: Path
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH, alias=None)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        shown = get(client, "/v1/models/arrival_delay")
        assert (shown["ready"], shown["model_version_status"]) == (False, [status("1", "START")])
        shown = get(client, "/v1/models/arrival_delay/versions/1")
        assert shown["model_version_status"] == [status("1")]
        # Still not ready: `:predict` asks the champion, and there is none.
        shown = get(client, "/v1/models/arrival_delay")
        assert (shown["ready"], shown["model_version_status"]) == (False, [status("1")])


def test_what_is_published_later_is_ready_when_it_is_asked_for(
    tmp_path: Path, online_store: Path
) -> None:
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        publish(tmp_path, make_manifest(GRAPH), GRAPH)
        assert get(client, "/v1/models/arrival_delay")["ready"] is True


def test_a_refused_version_is_not_ready_and_says_so(tmp_path: Path, online_store: Path) -> None:
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        manifest = make_manifest(GRAPH)
        publish(tmp_path, manifest, GRAPH)
        next((tmp_path / "artifacts").rglob(manifest.model_file.sha256)).write_bytes(b"damaged")
        shown = get(client, "/v1/models/arrival_delay")
        assert shown["ready"] is False
        (one,) = shown["model_version_status"]
        assert (one["state"], one["status"]["error_code"]) == ("END", "FAILED_PRECONDITION")
        assert str(tmp_path) not in json.dumps(shown)
        shown = get(client, "/v1/models/arrival_delay/labels/champion")
        assert shown["model_version_status"] == [one]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models/nope", "unknown_model"),
        ("/v1/models/nope/metadata", "unknown_model"),
        ("/v1/models/nope/versions/1", "unknown_model"),
        ("/v1/models/nope/labels/champion/metadata", "unknown_model"),
        ("/v1/models/arrival_delay/versions/3", "unknown_version"),
        ("/v1/models/arrival_delay/versions/x", "unknown_version"),
        ("/v1/models/arrival_delay/versions/3/metadata", "unknown_version"),
        ("/v1/models/arrival_delay/labels/nope", "unknown_alias"),
        ("/v1/models/arrival_delay/labels/nope/metadata", "unknown_alias"),
        ("/v1/models/arrival_delay/labels/NOPE", "unknown_alias"),
    ],
)
def test_what_is_unknown_is_not_found_with_an_error_for_every_client(
    client: AppClient, path: str, code: str
) -> None:
    response = client.get(path)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (404, code)
    assert problem["error"] == problem["detail"]


def test_a_refused_prediction_has_its_error_where_tensorflow_serving_has_it(
    client: AppClient,
) -> None:
    body = {"instances": [EXAMPLE | {"seats": "many"}]}
    problem = client.post("/v1/models/arrival_delay:predict", json=body).json()
    assert problem["error"] == problem["detail"]
    assert "/instances/0/seats" in problem["error"]
