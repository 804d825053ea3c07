"""Drives the service with Triton's HTTP client; run by an environment that has it.

Reads what to ask from standard input and writes what the server said to standard output.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


def make_inputs(inputs: list[dict[str, Any]], *, binary: bool) -> list[Any]:
    made = []
    for one in inputs:
        data = [math.nan if value is None else value for value in one["data"]]
        array = np.array(data, triton_to_np_dtype(one["datatype"])).reshape(one["shape"])
        tensor = InferInput(one["name"], one["shape"], one["datatype"])
        made.append(tensor.set_data_from_numpy(array, binary_data=binary))
    return made


def read_outputs(result: Any) -> dict[str, list[Any]]:
    def to_text(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    return {
        output["name"]: [to_text(one) for one in result.as_numpy(output["name"]).ravel().tolist()]
        for output in result.get_response()["outputs"]
    }


def infer(client: Any, asked: dict[str, Any], *, binary: bool, answer_binary: bool) -> Any:
    outputs = [InferRequestedOutput(name, binary_data=answer_binary) for name in asked["outputs"]]
    inputs = make_inputs(asked["inputs"], binary=binary)
    options = {"request_id": "42", "timeout": 1_000_000, "parameters": {"null_text": "?"}}
    result = client.infer(asked["model"], inputs, outputs=outputs, **options)
    return [result.get_response()["id"], read_outputs(result)]


def get_refusal(client: Any, model: str) -> list[str]:
    unknown = InferInput("nothing", [1], "FP32").set_data_from_numpy(np.zeros(1, np.float32))
    try:
        client.infer(model, [unknown])
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return []


def main() -> None:
    asked = json.load(sys.stdin)
    model = asked["model"]
    client = InferenceServerClient(asked["url"].removeprefix("http://"))
    said = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": [client.is_model_ready(model, "1"), client.is_model_ready("nothing")],
        "server": client.get_server_metadata(),
        "metadata": client.get_model_metadata(model),
        "refusal": get_refusal(client, model),
        "answers": [
            infer(client, asked, binary=binary, answer_binary=answer_binary)
            for binary in asked["ways"]
            for answer_binary in (False, True)
        ],
        "everything": read_outputs(
            client.infer(model, make_inputs(asked["inputs"], binary=True), model_version="1")
        ),
    }
    json.dump(said, sys.stdout)


main()
