"""The JSON documents of the Open Inference Protocol."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from zeroskew.model.requests.body_documents import RequestDocument

__all__ = [
    "IndexRequest",
    "InferenceError",
    "InferenceInput",
    "InferenceModelMetadata",
    "InferenceRequest",
    "InferenceResponse",
    "ModelConfiguration",
    "ModelNames",
    "ModelReady",
    "ModelStatistics",
    "Parameters",
    "RepositoryEntry",
    "RequestedOutput",
    "ResponseOutput",
    "ServerLive",
    "ServerMetadata",
    "ServerReady",
    "TensorConfiguration",
    "TensorMetadata",
    "VersionStatistics",
]


# A hostile body must not have a hundred thousand findings: each has its price.
_MAX_TENSORS: Final = 1_000
_MAX_DIMENSIONS: Final = 8


def _require_scalar(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    raise PydanticCustomError(
        "unexpected", "{expected}", {"expected": "a string, a number, true or false"}
    )


_Scalar = Annotated[
    Any,
    AfterValidator(_require_scalar),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}),
]
Parameters = dict[str, _Scalar]
_Data = Annotated[
    list[Any],
    Field(
        description="The elements in row-major order, flat or nested as the shape says; absent "
        "where they are binary. In floating-point tensors `null` is a missing value."
    ),
]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class InferenceInput(_Given):
    """One input tensor."""

    name: str
    shape: list[int] = Field(
        max_length=_MAX_DIMENSIONS,
        fail_fast=True,
        description="`[n]` or `[n, 1]`, or `[n, width]` for a matrix.",
    )
    datatype: str = Field(examples=["BYTES"])
    parameters: Parameters | None = Field(
        None, description="`binary_data_size`: how many of the bytes after the JSON are its own."
    )
    data: _Data | None = None


class RequestedOutput(_Given):
    """One output tensor that the caller wants."""

    name: str
    parameters: Parameters | None = Field(
        None, description="`binary_data`: whether it is wanted in binary."
    )


class InferenceRequest(_Given):
    """Input tensors, all of one of the model's two interfaces and all of as many rows."""

    id: str | None = Field(None, description="Comes back in the answer.")
    model_name: str | None = Field(None, description="If given, the model of the address.")
    model_version: str | None = Field(None, description="If given, the version that answers.")
    parameters: Parameters | None = Field(
        None,
        description="`binary_data_output`: whether outputs are wanted in binary. `null_text`: "
        "the text that is a null in nullable BYTES inputs.",
    )
    inputs: list[InferenceInput] = Field(min_length=1, max_length=_MAX_TENSORS, fail_fast=True)
    outputs: list[RequestedOutput] | None = Field(
        None, max_length=_MAX_TENSORS, fail_fast=True, description="All, where left out."
    )


class ResponseOutput(BaseModel):
    """One output tensor."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = Field(
        None, description="`binary_data_size`: how many of the bytes after the JSON are its own."
    )
    data: _Data | None = None


class InferenceResponse(BaseModel):
    """The output tensors; a row of each for each row of the inputs, in their order."""

    model_name: str
    model_version: str | None = Field(
        None, description="Left out where a rollout's arms of several versions answered."
    )
    id: str = Field(description="The request's, or where it has none, one of the service's.")
    parameters: Parameters | None = Field(
        None,
        description="`as_of`: the time that features were looked up for. `prediction_id`: of "
        "the prediction log. `arm`: in a rollout, which one answered, of several one for each row, "
        "with commas between them. `degraded`: there when the features "
        "are defaults, because the online store could not be read.",
    )
    outputs: list[ResponseOutput]


class TensorMetadata(BaseModel):
    """What one tensor of a model is."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1 is the number of rows.")
    parameters: Parameters = Field(
        description="`interface`: `entity` (features are looked up) or `tensor` (they are given). "
        "`optional`: whether an input may be left out, which is a null in every row."
    )


class InferenceModelMetadata(BaseModel):
    """A model, its versions and the tensors of one of its interfaces."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """The service, and what it knows beyond the protocol."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """The process can answer."""

    live: bool


class ServerReady(BaseModel):
    """The process can answer inference requests; under the names of the protocol and of KServe."""

    live: bool
    ready: bool


class ModelReady(BaseModel):
    """The model can answer inference requests."""

    name: str
    ready: bool


class ModelNames(BaseModel):
    """The models, by name."""

    models: list[str]


class IndexRequest(RequestDocument):
    """Which versions are to be listed."""

    ready: bool = Field(False, description="Only those that answer.")


class RepositoryEntry(BaseModel):
    """A version, and whether it answers; `reason` says why it does not."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class VersionStatistics(BaseModel):
    """What a version has scored."""

    name: str
    version: str
    inference_count: int = Field(description="Rows.")
    execution_count: int = Field(description="Requests.")


class ModelStatistics(BaseModel):
    """What each version has scored; one that has scored nothing is not there."""

    model_stats: list[VersionStatistics]


class TensorConfiguration(BaseModel):
    """What one tensor of a model is, but for the number of rows."""

    name: str
    data_type: str
    dims: list[int]
    optional: bool = False


class ModelConfiguration(BaseModel):
    """A model as Triton's model configuration describes it."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[TensorConfiguration]
    output: list[TensorConfiguration]


class InferenceError(BaseModel):
    """What went wrong."""

    error: str
