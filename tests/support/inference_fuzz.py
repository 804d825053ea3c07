"""Inference requests that went wrong on their way, and what must hold for each of them."""

from __future__ import annotations

import copy
import json
import tracemalloc
from typing import Any, Final

from hypothesis import strategies as st

from api.v2.infer_request import read_infer_request
from api.v2.model_interface import Interface, ModelInterface
from tests.support.broken_documents import break_bytes, break_member
from tests.support.inference_requests import HEADER, entity_inputs, to_binary
from tests.support.manifests import EXAMPLE, make_manifest, sum_graph
from zeroskew.contract.errors.service import InvalidRequestError
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.model.requests.schemas import ModelSchema

__all__ = ["broken_requests", "read_or_refuse"]

LIMITS: Final = InstanceLimits(max_instances=50, max_text_length=64)
_MANIFEST: Final = make_manifest(sum_graph(6, 2))
_INTERFACE: Final = ModelInterface(_MANIFEST)
_SCHEMA: Final = ModelSchema(_MANIFEST, 1, LIMITS)
_MAX_BYTES_A_BYTE: Final = 200
_SPARE_BYTES: Final = 200_000
_MAX_ERROR_LENGTH: Final = 2_000


def _whole_requests() -> list[tuple[dict[str, Any], bytes]]:
    """Return requests that are answered: the JSON, and the bytes behind it."""
    tensors: list[dict[str, Any]] = [
        {"name": "features", "datatype": "FP32", "shape": [2, 6], "data": [0.5] * 12},
        {"name": "request", "datatype": "FP64", "shape": [2, 2], "data": [0.5] * 4},
    ]
    requests: list[tuple[dict[str, Any], bytes]] = []
    for inputs in (entity_inputs([EXAMPLE] * 3), tensors):
        request = {"inputs": inputs, "id": "7", "outputs": [], "parameters": {"null_text": ""}}
        body, headers = to_binary(request)
        length = int(headers[HEADER])
        requests += [(request, b""), (json.loads(body[:length]), body[length:])]
    return requests


_NAMES: Final = st.sampled_from(
    [
        *("BYTES", "BOOL", "INT8", "INT64", "UINT32", "FP16", "FP32", "FP64", "carrier", "dest"),
        *("features", "request", "value", "scores", "name", "data", "shape", "parameters", "id"),
        *("binary_data_size", "binary_data", "shared_memory_region", "2013-10-01T00:00:00Z", "\0"),
    ]
)


@st.composite
def broken_requests(draw: st.DrawFn) -> tuple[bytes, str | None]:
    """Return a body and a header that are a request's, with pieces changed, lost and moved."""
    whole, blob = draw(st.sampled_from(_whole_requests()))
    request = copy.deepcopy(whole)
    header_moves = 0
    text_is_broken = False
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.sampled_from(["member"] * 4 + ["blob"] * 3 + ["header", "text"])):
            case "member":
                break_member(draw, request, _NAMES)
            case "blob":
                blob = break_bytes(draw, blob)
            case "header":
                header_moves = draw(st.integers(-9, 9) | st.just(2**40))
            case _:
                text_is_broken = True
    text = json.dumps(request).encode()
    if text_is_broken:
        text = break_bytes(draw, text)
    return text + blob, str(len(text) + header_moves) if blob or header_moves else None


def read_or_refuse(body: bytes, header: str | None) -> bool:
    """Return whether a request is read; check that what it takes is what it says.

    A refusal says what was expected, or where the JSON ends; nothing else may be raised, and
    the memory that reading takes is in proportion to the body.
    """
    tracemalloc.start()
    try:
        return _read(body, header)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < _SPARE_BYTES + _MAX_BYTES_A_BYTE * len(body), (peak, body, header)


def _read(body: bytes, header: str | None) -> bool:
    try:
        asked = read_infer_request(body, header, _INTERFACE, LIMITS)
        instances = asked.to_instances(_SCHEMA) if asked.interface is Interface.ENTITY else None
    except InvalidRequestError as refusal:
        error = str(refusal)
        assert error.startswith("Got "), error
        assert len(error) < _MAX_ERROR_LENGTH
        return False
    assert 1 <= asked.n_rows <= LIMITS.max_instances
    if instances is not None:
        assert len(instances.rows) == asked.n_rows
        return True
    features, request = asked.to_matrices(2)
    assert (features.shape, features.dtype.name) == ((asked.n_rows, 6), "float32")
    assert (request.shape, request.dtype.name) == ((asked.n_rows, 2), "float64")
    return True
