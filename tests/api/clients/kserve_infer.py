"""Drives the service with KServe's REST client; run by an environment that has it.

Reads what to ask from standard input and writes what the server said to standard output.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from kserve.utils.numpy_codec import to_np_dtype


def make_request(asked: dict[str, Any], *, binary: bool) -> Any:
    inputs = []
    for one in asked["inputs"]:
        data = [math.nan if value is None else value for value in one["data"]]
        array = np.array(data, to_np_dtype(one["datatype"])).reshape(one["shape"])
        tensor = InferInput(one["name"], one["shape"], one["datatype"])
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    outputs = [
        RequestedOutput(name=name, parameters={"binary_data": binary}) for name in asked["outputs"]
    ]
    return InferRequest(
        model_name=asked["model"], infer_inputs=inputs, request_id="42", request_outputs=outputs
    )


async def infer(client: Any, asked: dict[str, Any], *, binary: bool) -> Any:
    def to_text(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    request = make_request(asked, binary=binary)
    response = await client.infer(asked["url"], request, model_name=asked["model"])
    outputs = {
        output.name: [to_text(one) for one in output.as_numpy().ravel().tolist()]
        for output in response.outputs
    }
    return [response.id, outputs]


async def get_refusal(client: Any, asked: dict[str, Any]) -> str:
    try:
        await client.infer(asked["url"], {"inputs": []}, model_name=asked["model"])
    except httpx.HTTPStatusError as error:
        return str(error)
    return ""


async def drive(asked: dict[str, Any]) -> dict[str, Any]:
    url, model = asked["url"], asked["model"]
    async with (
        InferenceRESTClient(RESTConfig(protocol="v1")) as v1,
        InferenceRESTClient(RESTConfig(protocol="v2")) as v2,
    ):
        return {
            "live": await v2.is_server_live(url),
            "ready": await v2.is_server_ready(url),
            "model_ready": [
                await v2.is_model_ready(url, model),
                await v2.is_model_ready(url, "nothing"),
            ],
            "refusal": await get_refusal(v2, asked),
            "answers": [await infer(v2, asked, binary=binary) for binary in asked["ways"]],
            "v1": await v1.infer(url, {"instances": asked["instances"]}, model_name=model),
            "v1_live": await v1.is_server_live(url),
            "v1_ready": await v1.is_model_ready(url, model),
        }


json.dump(asyncio.run(drive(json.load(sys.stdin))), sys.stdout)
