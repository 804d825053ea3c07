"""Raw binary requests: the bytes of a model's only input, and no JSON that says so.

They are a part of the binary tensor data extension, for models whose metadata leave open just one
dimension of one tensor: the number of rows follows from the number of bytes
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

from typing import Final

from api.v2.binary_tensors import decode_text
from api.v2.documents import InferenceInput, InferenceRequest
from api.v2.model_interface import ModelInterface
from api.v2.tensors import BYTES, NUMPY_TYPES
from zeroskew.contract.errors.service import InvalidTensorsError

__all__ = ["read_raw_request"]

_BINARY_ANSWER: Final[dict[str, bool]] = {"binary_data_output": True}


def read_raw_request(
    body: memoryview, interface: ModelInterface
) -> tuple[InferenceRequest, memoryview]:
    """Return the request that a raw binary one stands for, and the bytes of its tensor.

    Parameters
    ----------
    body
        The elements of the only input, row after row; or one text, without its length.
    interface
        The model's inputs and outputs.

    Returns
    -------
    document
        The request with its tensor and all outputs in binary.
    rest
        What stands behind the JSON of such a request; nothing for a text, which is in `document`.

    Raises
    ------
    InvalidTensorsError
        If the entity interface has more than one input, the bytes are not whole rows of it, or a
        text is not UTF-8.
    """
    spec = interface.find_only_input()
    if spec.datatype == BYTES:
        text = decode_text(bytes(body), 0, spec.name)
        given = InferenceInput(name=spec.name, datatype=BYTES, shape=[1], data=[text])
        return InferenceRequest(inputs=[given], parameters=_BINARY_ANSWER), memoryview(b"")
    row_bytes = NUMPY_TYPES[spec.datatype].itemsize
    n_rows, left = divmod(len(body), row_bytes)
    if left or not n_rows:
        raise InvalidTensorsError(
            f"Got {len(body)} bytes as a raw binary request, but expected {row_bytes} for each row "
            f"of input {spec.name}, which is {spec.datatype}."
        )
    given = InferenceInput(
        name=spec.name,
        datatype=spec.datatype,
        shape=[n_rows],
        parameters={"binary_data_size": len(body)},
    )
    return InferenceRequest(inputs=[given], parameters=_BINARY_ANSWER), body
