"""Status and metadata of models as clients of TensorFlow Serving and KServe V1 read them.

The shapes are those of TensorFlow Serving's ``GetModelStatusResponse`` and
``GetModelMetadataResponse`` in JSON (https://www.tensorflow.org/tfx/serving/api_rest), in
which a 64-bit integer is a text.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.manifest import FieldType, Manifest, Output

__all__ = [
    "SIGNATURE",
    "ModelMetadata",
    "ModelVersionStatus",
    "describe_metadata",
    "describe_status",
]

SIGNATURE: Final = "serving_default"
"""The one signature that every model has: its request's fields in, its predictions out."""

_DTYPES: Final = {
    FieldType.STRING: "DT_STRING",
    FieldType.INTEGER: "DT_INT64",
    FieldType.NUMBER: "DT_DOUBLE",
    FieldType.BOOLEAN: "DT_BOOL",
    FieldType.TIMESTAMP: "DT_STRING",
}
_REFUSED: Final = "The version did not pass the checks before loading; `refused_reason` says why."
_RETIRED: Final = "The version is retired."


class StatusDetail(AnswerModel):
    """Whether a version is in order, and what is wrong where it is not."""

    error_code: Literal["OK", "FAILED_PRECONDITION"] = "OK"
    error_message: str = ""


class ModelVersionStatus(AnswerModel):
    """How far one version is on its way to being served."""

    version: str
    state: Literal["START", "AVAILABLE", "END"] = Field(
        description="`AVAILABLE`: loaded. `START`: known, and loaded when it is first asked for. "
        "`END`: refused by the checks before loading, or retired."
    )
    status: StatusDetail


class Dimension(AnswerModel):
    """One dimension of a tensor; −1 is as many as there are instances."""

    size: str
    name: str = ""


class TensorShape(AnswerModel):
    """A tensor's dimensions."""

    dim: list[Dimension]
    unknown_rank: bool = False


class TensorInfo(AnswerModel):
    """A tensor's type, shape and name."""

    name: str
    dtype: str
    tensor_shape: TensorShape


class SignatureDef(AnswerModel):
    """The tensors that go in and come out under one signature."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: Literal["tensorflow/serving/predict"] = "tensorflow/serving/predict"
    defaults: dict[str, TensorInfo] = Field(default={})


class SignatureDefMap(AnswerModel):
    """All signatures of a model, by name."""

    signature_def: dict[str, SignatureDef]


class MetadataMap(AnswerModel):
    """What is known of a model."""

    signature_def: SignatureDefMap


class ModelSpecDocument(AnswerModel):
    """Which version the metadata is about."""

    name: str
    signature_name: str = ""
    version: str


class ModelMetadata(AnswerModel):
    """The inputs and outputs of one version, as TensorFlow Serving describes them."""

    model_spec: ModelSpecDocument
    metadata: MetadataMap


def describe_status(
    version: int, state: Literal["START", "AVAILABLE", "END"], *, is_retired: bool = False
) -> ModelVersionStatus:
    """Return the status of a version; one in state ``END`` was refused, if it is not retired."""
    detail = StatusDetail()
    if state == "END":
        message = _RETIRED if is_retired else _REFUSED
        detail = StatusDetail(error_code="FAILED_PRECONDITION", error_message=message)
    return ModelVersionStatus(version=str(version), state=state, status=detail)


def describe_metadata(manifest: Manifest, version: int) -> ModelMetadata:
    """Return the signature of a version: a column a request field, a column an output."""
    signature = SignatureDef(
        inputs={field.name: _tensor(field.name, _DTYPES[field.type]) for field in manifest.request},
        outputs=_describe_outputs(manifest.output),
    )
    return ModelMetadata(
        model_spec=ModelSpecDocument(name=manifest.model, version=str(version)),
        metadata=MetadataMap(
            signature_def=SignatureDefMap(signature_def={SIGNATURE: signature}),
        ),
    )


def _describe_outputs(output: Output) -> dict[str, TensorInfo]:
    if output.kind == "value":
        return {"value": _tensor("value", "DT_DOUBLE")}
    if output.kind == "probability":
        return {
            "probability": _tensor("probability", "DT_DOUBLE"),
            "label": _tensor("label", "DT_BOOL"),
        }
    return {
        "probabilities": _tensor("probabilities", "DT_DOUBLE", len(output.classes or ())),
        "label": _tensor("label", "DT_STRING"),
    }


def _tensor(name: str, dtype: str, width: int | None = None) -> TensorInfo:
    sizes = [-1] if width is None else [-1, width]
    shape = TensorShape(dim=[Dimension(size=str(size)) for size in sizes])
    return TensorInfo(name=name, dtype=dtype, tensor_shape=shape)
