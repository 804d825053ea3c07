"""Reads an inference request: JSON, binary tensors behind it, and what the model makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from api.v2.binary_tensors import read_binary_elements, split_blobs, split_body
from api.v2.content_types import check_content_type, decode_elements
from api.v2.documents import InferenceInput, InferenceRequest, Parameters
from api.v2.model_interface import FEATURES, REQUEST, Interface, ModelInterface, TensorSpec
from api.v2.raw_request import read_raw_request
from api.v2.tensors import BYTES, Tensor, list_accepted, read_json_elements
from zeroskew.contract.errors.fields import describe, translate_validation_error
from zeroskew.contract.errors.service import InvalidInstancesError, InvalidTensorsError
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.model.requests.instances import Instances
from zeroskew.model.requests.schemas import ModelSchema
from zeroskew.model.requests.strict_json import parse_strict_json

__all__ = ["InferRequest", "read_infer_request"]

_BINARY_SIZE: Final = "binary_data_size"
_NULL_TEXT: Final = "null_text"
_OF_OTHER_EXTENSIONS: Final = frozenset(
    {
        "classification",
        "shared_memory_byte_size",
        "shared_memory_offset",
        "shared_memory_region",
    }
)

_Value = TypeVar("_Value", bool, int, str)


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request whose tensors fit one interface of the model, all of them of ``n_rows`` rows.

    ``outputs`` are the names of the wanted ones, in order, and whether each is to be binary.
    """

    document: InferenceRequest
    interface: Interface
    n_rows: int
    tensors: dict[str, Tensor]
    outputs: dict[str, bool]
    null_text: str | None

    def check_address(self, model: str, version: int | None) -> None:
        """Check that the request names no other model and version than its address.

        Where several versions answer, `version` is ``None``, and it may name none.

        Raises
        ------
        InvalidTensorsError
            If it does.
        """
        given = {
            "model_name": (self.document.model_name, model),
            "model_version": (
                self.document.model_version,
                "none in a rollout" if version is None else str(version),
            ),
        }
        for name, (got, expected) in given.items():
            if got and got != expected:
                raise InvalidTensorsError(
                    f"Got {describe(got)} as {name}, but expected {expected} as in the address."
                )

    def to_instances(self, schema: ModelSchema) -> Instances:
        """Return the instances that the tensors of the entity interface stand for.

        Raises
        ------
        InvalidTensorsError
            If an element is not what its field takes; it names the input and the row.
        """
        columns = [self._values(tensor) for tensor in self.tensors.values()]
        names = list(self.tensors)
        try:
            return schema.parse_instances(
                [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
            )
        except InvalidInstancesError as error:
            first = error.fields[0]
            row, _, name = first.pointer.removeprefix("/instances/").partition("/")
            name = name.replace("~1", "/").replace("~0", "~")
            raise InvalidTensorsError(
                f"Got {first.got} as row {row} of input {name}, but expected {first.expected}."
            ) from error

    def to_matrices(self, n_request_inputs: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the graph's inputs from the tensors of the tensor interface.

        Parameters
        ----------
        n_request_inputs
            The width of the graph's ``request``, which is empty where the graph has none.

        Returns
        -------
        features
            float32 ``(n_rows, n_columns)``; NaN is a missing value.
        request
            float64 ``(n_rows, n_request_inputs)``; NaN is a missing value.
        """
        features = np.asarray(self.tensors[FEATURES].elements, np.float32)
        given = self.tensors.get(REQUEST)
        request = np.asarray([] if given is None else given.elements, np.float64)
        return (
            features.reshape(self.n_rows, -1),
            request.reshape(self.n_rows, n_request_inputs),
        )

    def _values(self, tensor: Tensor) -> list[Any]:
        """Return a tensor's elements as an instance has them, with ``None`` for nulls."""
        elements = tensor.elements
        if isinstance(elements, np.ndarray):
            values = elements.tolist()
            if elements.dtype.kind == "f":
                return [None if math.isnan(value) else value for value in values]
            return list(values)
        if self.null_text is not None and tensor.is_nullable:
            return [None if value == self.null_text else value for value in elements]
        return elements


def read_infer_request(
    body: bytes, header_length: str | None, interface: ModelInterface, limits: InstanceLimits
) -> InferRequest:
    """Read a request's body.

    Parameters
    ----------
    body
        The whole body.
    header_length
        The header ``Inference-Header-Content-Length``, if there is one; with 0 the body is raw.
    interface
        The model's inputs and outputs.
    limits
        How many rows a request may have, and how long its id may be.

    Raises
    ------
    MalformedJsonError
        If the JSON is none.
    InvalidTensorsError
        If it is not a request; if its tensors are not those of one interface, differ from
        what they say about themselves, or are of different numbers of rows; if the bytes
        behind the JSON are not exactly theirs; if an output is unknown; if a raw binary request
        does not say all that.
    """
    text, rest = split_body(body, header_length)
    if header_length is None or text:
        document = _parse_document(text)
    else:
        document, rest = read_raw_request(rest, interface)
    inputs = document.inputs
    check_content_type(document.parameters, "the request")
    chosen = interface.choose([given.name for given in inputs])
    if document.id is not None and len(document.id) > limits.max_text_length:
        raise InvalidTensorsError(
            f"Got an id of {len(document.id)} characters, but expected at most "
            f"{limits.max_text_length}."
        )
    specs = interface.inputs[chosen]
    n_rows = _count_rows(inputs, specs, limits.max_instances)
    blobs = split_blobs(rest, _list_sizes(inputs))
    tensors = {given.name: _read_tensor(given, specs[given.name], blobs) for given in inputs}
    for spec in specs.values():
        if spec.name not in tensors:
            tensors[spec.name] = Tensor(spec.name, [None] * n_rows, is_nullable=True)
    null_text = _read_parameter(document.parameters, _NULL_TEXT, str, "the request")
    outputs = _read_outputs(document, interface.outputs[chosen])
    return InferRequest(document, chosen, n_rows, tensors, outputs, null_text)


def _parse_document(text: bytes) -> InferenceRequest:
    value = parse_strict_json(text)
    try:
        return InferenceRequest.model_validate(value)
    except ValidationError as error:
        translated = translate_validation_error(error)
        named = _name_input(value, error.errors(include_url=False)[0]["loc"])
        raise InvalidTensorsError(f"{translated}{named}") from error


def _name_input(document: Any, place: Sequence[int | str]) -> str:
    """Return a sentence that names the input that `place` is in, if it is in one with a name."""
    match place:
        case ("inputs" | "outputs" as role, int(index), *_):
            name = document[role][index]
            name = name.get("name") if isinstance(name, dict) else None
            return f" It is the {role[:-1]} {describe(name)}." if isinstance(name, str) else ""
    return ""


def _count_rows(
    inputs: Sequence[InferenceInput], specs: dict[str, TensorSpec], max_rows: int
) -> int:
    """Return how many rows all inputs have, and check their datatypes and shapes."""
    for given in inputs:
        spec = specs[given.name]
        accepted = list_accepted(spec.datatype)
        if given.datatype not in accepted:
            raise InvalidTensorsError(
                f"Got the datatype {describe(given.datatype)} for input {given.name}, "
                f"but expected {' or '.join(accepted)}."
            )
        if not (spec.fits(given.shape) and 1 <= given.shape[0] <= max_rows):
            shapes = "[n] or [n, 1]" if spec.width is None else f"[n, {spec.width}]"
            raise InvalidTensorsError(
                f"Got the shape {_describe_shape(given.shape)} for input {given.name}, "
                f"but expected {shapes} with n from 1 to {max_rows}."
            )
        if given.shape[0] != inputs[0].shape[0]:
            raise InvalidTensorsError(
                f"Got {given.shape[0]} rows of input {given.name}, but expected "
                f"{inputs[0].shape[0]} as of input {inputs[0].name}."
            )
    return inputs[0].shape[0]


def _describe_shape(shape: Sequence[int]) -> str:
    return f"[{', '.join(describe(length) for length in shape)}]"


def _list_sizes(inputs: Sequence[InferenceInput]) -> list[tuple[str, int]]:
    """Return the names and sizes in bytes of the binary inputs, in order."""
    sizes = []
    for given in inputs:
        where = f"input {given.name}"
        _refuse_other_extensions(given.parameters, where)
        size = _read_parameter(given.parameters, _BINARY_SIZE, int, where)
        if (size is None) == (given.data is None):
            got = "neither" if size is None else "both"
            raise InvalidTensorsError(
                f"Got {got} of data and {_BINARY_SIZE} for {where}, but expected one of them."
            )
        if size is not None:
            if size < 0:
                raise InvalidTensorsError(
                    f"Got {describe(size)} as {_BINARY_SIZE} of {where}, but expected at least 0."
                )
            sizes.append((given.name, size))
    return sizes


def _read_tensor(given: InferenceInput, spec: TensorSpec, blobs: dict[str, memoryview]) -> Tensor:
    if given.data is None:
        elements = read_binary_elements(
            blobs[given.name],
            name=given.name,
            datatype=given.datatype,
            n_elements=math.prod(given.shape),
        )
    else:
        elements = read_json_elements(
            given.data, name=given.name, datatype=given.datatype, shape=given.shape
        )
    elements = decode_elements(elements, given.parameters, spec)
    return Tensor(given.name, elements, is_nullable=spec.is_optional and spec.datatype == BYTES)


def _read_outputs(document: InferenceRequest, specs: dict[str, TensorSpec]) -> dict[str, bool]:
    """Return the wanted outputs, and whether each is wanted in binary."""
    binary = "binary_data_output"
    by_default = _read_parameter(document.parameters, binary, bool, "the request") or False
    if not document.outputs:
        return dict.fromkeys(specs, by_default)
    wanted: dict[str, bool] = {}
    for output in document.outputs:
        if output.name not in specs or output.name in wanted:
            expected = "it once" if output.name in wanted else " or ".join(specs)
            raise InvalidTensorsError(
                f"Got the output {describe(output.name)}, but expected {expected}."
            )
        where = f"output {output.name}"
        _refuse_other_extensions(output.parameters, where)
        check_content_type(output.parameters, where)
        own = _read_parameter(output.parameters, "binary_data", bool, where)
        wanted[output.name] = by_default if own is None else own
    return wanted


def _read_parameter(
    parameters: Parameters | None, name: str, kind: type[_Value], where: str
) -> _Value | None:
    """Return a parameter, or ``None`` where there is none."""
    value = None if parameters is None else parameters.get(name)
    if value is None or type(value) is kind:
        return value
    expected = {bool: "true or false", int: "a whole number", str: "a string"}[kind]
    raise InvalidTensorsError(
        f"Got {describe(value)} as parameter {name} of {where}, but expected {expected}."
    )


def _refuse_other_extensions(parameters: Parameters | None, where: str) -> None:
    for name in _OF_OTHER_EXTENSIONS.intersection(parameters or ()):
        raise InvalidTensorsError(
            f"Got the parameter {name} for {where}, but expected none of an extension that "
            "the service does not have."
        )
