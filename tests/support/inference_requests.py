"""Requests of the Open Inference Protocol, built by hand: JSON, and the bytes of tensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.support.manifests import FIELDS

DATATYPES: Final = {
    "string": "BYTES",
    "timestamp": "BYTES",
    "integer": "INT64",
    "number": "FP64",
    "boolean": "BOOL",
}
FORMATS: Final = {"BOOL": "?", "INT64": "q", "FP32": "f", "FP64": "d"}
HEADER: Final = "Inference-Header-Content-Length"


def entity_inputs(instances: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one tensor for each request field of the synthetic models, in JSON."""
    return [
        {
            "name": field.name,
            "datatype": DATATYPES[field.type.value],
            "shape": [len(instances)],
            "data": [instance[field.name] for instance in instances],
        }
        for field in FIELDS
    ]


def pack(datatype: str, values: Sequence[Any]) -> bytes:
    """Return a tensor's elements in the binary layout, written anew with `struct`."""
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{FORMATS[datatype]}", *values)


def unpack(datatype: str, blob: bytes) -> list[Any]:
    """Return the elements of a tensor from the binary layout."""
    if datatype != "BYTES":
        letter = FORMATS[datatype]
        return list(struct.unpack(f"<{len(blob) // struct.calcsize(f'<{letter}')}{letter}", blob))
    texts = []
    while blob:
        end = 4 + struct.unpack_from("<I", blob)[0]
        texts.append(blob[4:end].decode())
        blob = blob[end:]
    return texts


def to_binary(request: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of `request` with all its tensors behind the JSON."""
    inputs, blobs = [], []
    for one in request["inputs"]:
        blobs.append(pack(one["datatype"], one["data"]))
        described = {key: value for key, value in one.items() if key != "data"}
        size = {"binary_data_size": len(blobs[-1])}
        inputs.append({**described, "parameters": described.get("parameters", {}) | size})
    text = json.dumps({**request, "inputs": inputs}).encode()
    return b"".join((text, *blobs)), {HEADER: str(len(text))}


def read_outputs(content: bytes, header_length: str | None) -> dict[str, list[Any]]:
    """Return the elements of each output of an answer, in JSON or binary."""
    length = len(content) if header_length is None else int(header_length)
    outputs, rest = {}, content[length:]
    for output in json.loads(content[:length])["outputs"]:
        if "data" in output:
            outputs[output["name"]] = output["data"]
        else:
            size = output["parameters"]["binary_data_size"]
            outputs[output["name"]] = unpack(output["datatype"], rest[:size])
            rest = rest[size:]
    assert rest == b""
    return outputs
