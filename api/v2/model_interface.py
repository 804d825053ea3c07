"""The tensors of a model: two interfaces at one address, told apart by the names of the inputs.

Through the *entity* interface a caller gives each field of the request as a tensor, and the
service looks the features up. Through the *tensor* interface he gives the graph's own inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from api.v2.documents import TensorConfiguration, TensorMetadata
from api.v2.tensors import BYTES
from zeroskew.contract.errors.fields import describe
from zeroskew.contract.errors.service import InvalidTensorsError
from zeroskew.contract.manifest import FieldType, Manifest

__all__ = [
    "FEATURES",
    "LABEL",
    "PLATFORM",
    "REQUEST",
    "SCORES",
    "Interface",
    "ModelInterface",
    "TensorSpec",
]

FEATURES: Final = "features"
REQUEST: Final = "request"
SCORES: Final = "scores"
LABEL: Final = "label"
PLATFORM: Final = "onnx_onnxv1"
"""What the protocol calls a model in ONNX."""

_DATATYPES: Final = {
    FieldType.STRING: BYTES,
    FieldType.TIMESTAMP: BYTES,
    FieldType.INTEGER: "INT64",
    FieldType.NUMBER: "FP64",
    FieldType.BOOLEAN: "BOOL",
}


class Interface(StrEnum):
    """Which of a model's interfaces a tensor belongs to."""

    ENTITY = "entity"
    TENSOR = "tensor"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of a model.

    ``width`` is the number of columns of a matrix, ``None`` for a tensor of one element a
    row. ``is_optional`` is for inputs: where it is left out, every row of it is null.
    ``is_instant`` says that its text is a moment.
    """

    name: str
    datatype: str
    interface: Interface
    width: int | None = None
    is_optional: bool = False
    is_instant: bool = False

    def describe(self) -> TensorMetadata:
        """Return what the model's metadata say about it."""
        parameters: dict[str, str | bool] = {"interface": self.interface.value}
        if self.is_optional:
            parameters["optional"] = True
        shape = [-1] if self.width is None else [-1, self.width]
        return TensorMetadata(
            name=self.name, datatype=self.datatype, shape=shape, parameters=parameters
        )

    def configure(self) -> TensorConfiguration:
        """Return what the model's configuration says about it."""
        data_type = "TYPE_STRING" if self.datatype == BYTES else f"TYPE_{self.datatype}"
        dims = [1 if self.width is None else self.width]
        return TensorConfiguration(
            name=self.name, data_type=data_type, dims=dims, optional=self.is_optional
        )

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether a tensor of `shape` is one, whatever its number of rows."""
        if self.width is None:
            return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
        return len(shape) == 2 and shape[1] == self.width


class ModelInterface:
    """The inputs and outputs of one model version.

    Parameters
    ----------
    manifest
        The version's manifest. Where one of its request fields has the name of an input of the
        graph, the model has no tensor interface.
    """

    def __init__(self, manifest: Manifest) -> None:
        entity = _entity_inputs(manifest)
        tensor = _tensor_inputs(manifest)
        self.inputs = {
            Interface.ENTITY: entity,
            Interface.TENSOR: {} if entity.keys() & tensor.keys() else tensor,
        }
        """By interface and name, in the order of the metadata."""
        self.outputs = {
            Interface.ENTITY: _entity_outputs(manifest),
            Interface.TENSOR: _tensor_outputs(manifest) if self.inputs[Interface.TENSOR] else {},
        }
        """By interface and name, in the order of the answers."""

    def require(self, interface: Interface) -> None:
        """Check that the model has an interface.

        Raises
        ------
        InvalidTensorsError
            If it has not.
        """
        if not self.inputs[interface]:
            raise InvalidTensorsError(
                f"Got the interface {interface.value}, but this model has none: one of its request "
                "fields has the name of an input of the graph."
            )

    def list_inputs(self, interface: Interface) -> list[TensorMetadata]:
        """Describe the inputs of an interface: who fills them all is answered."""
        return [spec.describe() for spec in self.inputs[interface].values()]

    def list_outputs(self, interface: Interface) -> list[TensorMetadata]:
        """Describe the outputs of an interface."""
        return [spec.describe() for spec in self.outputs[interface].values()]

    def find_only_input(self) -> TensorSpec:
        """Return the input of the entity interface, which is what the metadata list, if it is one.

        Raises
        ------
        InvalidTensorsError
            If it has several.
        """
        specs = list(self.inputs[Interface.ENTITY].values())
        if len(specs) > 1:
            raise InvalidTensorsError(
                "Got a raw binary request, which names no tensor, but expected JSON in front of "
                f"the bytes that names inputs of {self._say_inputs()}."
            )
        return specs[0]

    def choose(self, names: Sequence[str]) -> Interface:
        """Return the interface whose inputs a request has.

        Raises
        ------
        InvalidTensorsError
            If an input is unknown, given twice or missing, or inputs of both are mixed.
        """
        owners = {name: owner for owner, specs in self.inputs.items() for name in specs}
        for index, name in enumerate(names):
            if name not in owners:
                raise InvalidTensorsError(
                    f"Got an input {describe(name)}, but expected inputs of {self._say_inputs()}."
                )
            if name in names[:index]:
                raise InvalidTensorsError(f"Got the input {name} twice, but expected it once.")
            if owners[name] is not owners[names[0]]:
                raise InvalidTensorsError(
                    f"Got the inputs {names[0]} and {name}, but expected inputs of either "
                    f"{self._say_inputs()}."
                )
        chosen = owners[names[0]]
        for spec in self.inputs[chosen].values():
            if not spec.is_optional and spec.name not in names:
                raise InvalidTensorsError(
                    f"Got no input {spec.name}, but expected {_join(self.inputs[chosen])}."
                )
        return chosen

    def _say_inputs(self) -> str:
        return " or ".join(
            f"the {owner.value} interface ({_join(specs)})"
            for owner, specs in self.inputs.items()
            if specs
        )


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _entity_inputs(manifest: Manifest) -> dict[str, TensorSpec]:
    return {
        field.name: TensorSpec(
            field.name,
            _DATATYPES[field.type],
            Interface.ENTITY,
            is_optional=field.nullable,
            is_instant=field.type is FieldType.TIMESTAMP,
        )
        for field in manifest.request
    }


def _tensor_inputs(manifest: Manifest) -> dict[str, TensorSpec]:
    inputs = [
        TensorSpec(FEATURES, "FP32", Interface.TENSOR, len(manifest.plan.columns)),
        TensorSpec(REQUEST, "FP64", Interface.TENSOR, len(manifest.plan.request_inputs)),
    ]
    return {spec.name: spec for spec in inputs if spec.name == FEATURES or spec.width}


def _entity_outputs(manifest: Manifest) -> dict[str, TensorSpec]:
    output = manifest.output
    width = None if output.kind != "probabilities" else len(output.classes or ())
    specs = [TensorSpec(output.kind, "FP64", Interface.ENTITY, width)]
    if output.kind != "value":
        label = "BOOL" if output.kind == "probability" else BYTES
        specs.append(TensorSpec(LABEL, label, Interface.ENTITY))
    return {spec.name: spec for spec in specs}


def _tensor_outputs(manifest: Manifest) -> dict[str, TensorSpec]:
    classes = manifest.output.classes if manifest.output.kind == "probabilities" else None
    width = None if classes is None else len(classes)
    return {SCORES: TensorSpec(SCORES, "FP64", Interface.TENSOR, width)}
