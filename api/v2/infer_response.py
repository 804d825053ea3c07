"""Makes the answer to an inference request, in JSON or with binary tensors behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from api.v2.binary_tensors import encode_bytes
from api.v2.model_interface import LABEL, SCORES
from api.v2.tensors import BYTES, NUMPY_TYPES
from zeroskew.contract.manifest import Output

__all__ = ["OutputTensor", "encode_response", "label_scores", "pass_scores"]


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """An output: text where ``datatype`` is BYTES, else numbers that become that datatype."""

    datatype: str
    values: NDArray[Any] | list[str]


def label_scores(scores: NDArray[np.float64], output: Output) -> dict[str, OutputTensor]:
    """Return the outputs of the entity interface.

    Parameters
    ----------
    scores
        float64 ``(n_rows,)``, or ``(n_rows, n_classes)`` for class probabilities.
    output
        What the model's scores mean.
    """
    outputs: dict[str, OutputTensor] = {output.kind: OutputTensor("FP64", scores)}
    if output.kind == "probability":
        assert output.threshold is not None
        outputs[LABEL] = OutputTensor("BOOL", scores >= output.threshold)
    elif output.kind == "probabilities":
        assert output.classes is not None
        likeliest = scores.argmax(axis=1)
        outputs[LABEL] = OutputTensor(BYTES, [output.classes[best] for best in likeliest])
    return outputs


def pass_scores(scores: NDArray[np.float64]) -> dict[str, OutputTensor]:
    """Return the output of the tensor interface, which is what the graph gave."""
    return {SCORES: OutputTensor("FP64", scores)}


def encode_response(
    document: Mapping[str, Any], tensors: Mapping[str, OutputTensor], wanted: Mapping[str, bool]
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON if something stands behind it.

    Parameters
    ----------
    document
        The answer without its outputs.
    tensors
        The outputs by name.
    wanted
        The names of the outputs that the answer has, and whether each is binary.
    """
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, is_binary in wanted.items():
        tensor = tensors[name]
        shape = np.shape(tensor.values)
        described: dict[str, Any] = {
            "name": name,
            "datatype": tensor.datatype,
            "shape": list(shape),
        }
        if is_binary:
            blobs.append(_to_bytes(tensor))
            described["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            described["data"] = _to_list(tensor.values)
        outputs.append(described)
    text = to_json({**document, "outputs": outputs})
    return b"".join((text, *blobs)), len(text) if blobs else None


def _to_bytes(tensor: OutputTensor) -> bytes:
    if isinstance(tensor.values, list):
        return encode_bytes(tensor.values)
    return tensor.values.astype(NUMPY_TYPES[tensor.datatype]).tobytes()


def _to_list(values: NDArray[Any] | list[str]) -> list[Any]:
    return values if isinstance(values, list) else values.ravel().tolist()
