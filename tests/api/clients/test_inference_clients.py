"""Clients of Triton, KServe and MLServer, as they are, against a service that really runs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.client_environments import KSERVE, MLSERVER, TRITON, client_programs
from tests.support.inference_requests import entity_inputs
from tests.support.manifests import EXAMPLE
from tests.support.service_process import Server
from tests.support.waiting import PATIENCE_SEC

HERE = Path(__file__).parent
EPOCH: dict[str, Any] = {**EXAMPLE, "scheduled_departure": "1970-01-01T00:00:00Z"}
INSTANCES: list[dict[str, Any]] = [
    EXAMPLE,
    {**EPOCH, "carrier": "DL", "international": True},
    {**EPOCH, "distance": -7.125},
    {**EPOCH, "origin": "ÅÖ", "distance": 0.1},
]
FEATURES = [0.5, -2.0, 1.0, 3.0, 0.0, 0.25, None, 1.0, None, -4.0, 2.0, 0.125]
TENSORS = [
    {"name": "features", "datatype": "FP32", "shape": [2, 6], "data": FEATURES},
    {"name": "request", "datatype": "FP64", "shape": [2, 2], "data": [1.5, 0.0, None, 1.0]},
]
CASES = [
    ("arrival_delay", ["value"]),
    ("is_late", ["probability", "label"]),
    ("delay_class", ["probabilities", "label"]),
]


@pytest.fixture(scope="module")
def server(published: Path, online_store: Path) -> Iterator[Server]:
    running = Server(published, online_store, ZEROSKEW_MAX_BODY_BYTES="100000")
    yield running
    running.stop()


def predict(server: Server, model: str) -> dict[str, list[Any]]:
    """Return what the native endpoint answers, as outputs of the Open Inference Protocol."""
    url = f"{server.url}/v1/models/{model}:predict"
    asked = {"instances": INSTANCES}
    answer = httpx.post(url, json=asked, timeout=PATIENCE_SEC).json()["predictions"]
    outputs = {name: [one[name] for one in answer] for name in answer[0]}
    if "probabilities" in outputs:
        rows = outputs["probabilities"]
        outputs["probabilities"] = [row[name] for row in rows for name in ("early", "late")]
    return outputs


def drive(programs: Path, script: str, asked: dict[str, Any]) -> Any:
    done = subprocess.run(
        [programs / "python", HERE / script],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def entity_question(server: Server, model: str, outputs: list[str]) -> dict[str, Any]:
    return {
        "url": server.url,
        "model": model,
        "inputs": entity_inputs(INSTANCES),
        "outputs": outputs,
        "ways": [False, True],
        "instances": INSTANCES,
    }


def tensor_question(server: Server) -> dict[str, Any]:
    # The clients send NaN as JSON only in ways that are no JSON; in binary it is a missing value.
    question = entity_question(server, "arrival_delay", ["scores"])
    return {**question, "inputs": TENSORS, "ways": [True]}


@pytest.mark.parametrize(("model", "outputs"), CASES)
def test_triton_reads_what_predict_answers(server: Server, model: str, outputs: list[str]) -> None:
    programs = client_programs("triton", TRITON)
    said = drive(programs, "triton_infer.py", entity_question(server, model, outputs))
    expected = predict(server, model)
    assert said["answers"] == [["42", expected]] * 4
    assert said["everything"] == expected
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, [True, False])
    assert said["server"]["extensions"] == [
        "binary_tensor_data",
        "model_configuration",
        "statistics",
    ]
    assert said["metadata"]["platform"] == "onnx_onnxv1"
    status, message = said["refusal"]
    assert status == "400"
    assert message.startswith('Got an input "nothing", but expected inputs of')


def test_triton_reads_the_scores_of_tensors(server: Server) -> None:
    said = drive(client_programs("triton", TRITON), "triton_infer.py", tensor_question(server))
    assert said["answers"] == [["42", {"scores": [4.25, 0.125]}]] * 2


@pytest.mark.parametrize(("model", "outputs"), CASES)
def test_kserve_reads_what_predict_answers(server: Server, model: str, outputs: list[str]) -> None:
    programs = client_programs("kserve", KSERVE)
    said = drive(programs, "kserve_infer.py", entity_question(server, model, outputs))
    assert said["answers"] == [["42", predict(server, model)]] * 2
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, [True, False])
    assert said["refusal"].startswith("Got a list of 0 at /inputs, but expected a list of at least")
    native = httpx.post(
        f"{server.url}/v1/models/{model}:predict",
        json={"instances": INSTANCES},
        timeout=PATIENCE_SEC,
    ).json()
    assert said["v1"]["predictions"] == native["predictions"]
    assert (said["v1_live"], said["v1_ready"]) == (True, True)


def test_kserve_reads_the_scores_of_tensors(server: Server) -> None:
    said = drive(client_programs("kserve", KSERVE), "kserve_infer.py", tensor_question(server))
    assert said["answers"] == [["42", {"scores": [4.25, 0.125]}]]


@pytest.mark.parametrize(
    ("model", "options"),
    # MLServer 1.7 does not install on Python 3.13.
    []
    if sys.version_info >= (3, 13)
    else [
        ("arrival_delay", ["--batch-size", "1"]),
        ("is_late", ["--batch-size", "4"]),
        ("is_late", ["--batch-size", "4", "--binary-data"]),
    ],
)
def test_mlserver_infers_a_file_of_requests(
    server: Server, tmp_path: Path, model: str, options: list[str]
) -> None:
    requests = [{"inputs": entity_inputs([instance])} for instance in INSTANCES]
    given, answered = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    given.write_text("".join(json.dumps(request) + "\n" for request in requests))
    done = subprocess.run(
        [
            client_programs("mlserver", MLSERVER) / "mlserver",
            "infer",
            *("--url", server.url.removeprefix("http://")),
            *("--model-name", model),
            *("--input-data-path", str(given)),
            *("--output-data-path", str(answered)),
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [json.loads(line) for line in answered.read_text().splitlines()]
    assert len(answers) == len(INSTANCES), done.stdout + done.stderr
    answers.sort(key=lambda one: one["parameters"]["batch_index"])
    expected = predict(server, model)
    for row, answer in enumerate(answers):
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert outputs == {name: [values[row]] for name, values in expected.items()}
