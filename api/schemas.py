"""The types of requests and answers, made for each model from its manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticCustomError

from api.contract.manifest import FieldType, Manifest, Output, RequestField
from api.errors import FieldError, InvalidInstancesError, InvalidRequestError, ModelRefusedError
from api.field_errors import json_pointer, translate_validation_error

__all__ = [
    "ClassPrediction",
    "FieldProblem",
    "InstanceLimits",
    "ModelSchema",
    "PredictionResponse",
    "ProbabilityPrediction",
    "Problem",
    "RequestRow",
    "ValuePrediction",
    "parse_timestamp",
]

RequestRow = tuple[str | int | float | bool | None, ...]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:[0-5]\d)", re.ASCII
)
_MAX_TIMESTAMP_LENGTH: Final = 64
_TIMESTAMP: Final = (
    "an RFC 3339 timestamp with UTC offset, to the microsecond at most, "
    "such as 2013-10-01T10:17:00-04:00"
)


@dataclass(frozen=True, slots=True)
class InstanceLimits:
    """How many instances a request may have, and how long their texts may be."""

    max_instances: int
    max_text_length: int


class FieldProblem(BaseModel):
    """One refused place of the request body."""

    pointer: str = Field(description="JSON Pointer (RFC 6901) to the refused place.")
    got: str
    expected: str
    message: str


class Problem(BaseModel):
    """What went wrong, as problem details (RFC 9457)."""

    type: str = Field(description="`urn:zeroskew:problem:` and the code.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable and machine-readable.", examples=["unknown_model"])
    request_id: str = Field(description="Also in the `X-Request-ID` header and in the log.")
    errors: list[FieldProblem] = Field(default=[], description="The refused places of the body.")


class ProbabilityPrediction(BaseModel):
    """A probability and the side of the model's threshold it is on."""

    probability: float = Field(ge=0, le=1)
    label: bool = Field(description="Whether the probability reaches the model's threshold.")


class ValuePrediction(BaseModel):
    """A number in the model's unit."""

    value: float


class ClassPrediction(BaseModel):
    """A probability for each class, and the likeliest class."""

    probabilities: dict[str, float]
    label: str


class PredictionResponse(BaseModel):
    """One prediction for each instance, in their order."""

    id: str = Field(description="Identifies this answer; a UUID version 7 (RFC 9562).")
    model: str
    version: int
    as_of: datetime = Field(description="The time that the predictions were computed for, in UTC.")
    predictions: list[ProbabilityPrediction | ValuePrediction | ClassPrediction]


class ModelSchema:
    """The request and response types of one model version.

    Parameters
    ----------
    manifest
        The version's manifest.
    version
        Its number, which tells its types from another version's on the documentation page.
    limits
        Bounds that the service sets for every model.

    Raises
    ------
    ModelRefusedError
        If a field is declared in a way that cannot be checked, or the manifest's own
        example is not a valid instance.
    """

    def __init__(self, manifest: Manifest, version: int, limits: InstanceLimits) -> None:
        title = "".join(part.capitalize() for part in manifest.model.split("_")) + f"V{version}"
        self.request_type = _make_request_type(title, manifest, limits)
        self.response_type = _make_response_type(title, manifest.output)
        self.example: dict[str, Any] = {"instances": [dict(manifest.example)]}
        try:
            self.parse(json.dumps(self.example).encode())
        except InvalidRequestError as error:
            raise ModelRefusedError(f"Got an example that is not an instance: {error}") from error

    def parse(self, body: bytes) -> list[RequestRow]:
        """Check a request body and return its instances as rows.

        Parameters
        ----------
        body
            ``{"instances": [...]}`` in UTF-8.

        Returns
        -------
        list of tuple
            One for each instance, its values in the order of the manifest's request fields;
            a timestamp is seconds since the Unix epoch, to the microsecond.

        Raises
        ------
        MalformedJsonError
            If the body is not JSON.
        InvalidInstancesError
            If a field is missing, unknown, given twice, of another type, NaN, infinite, too
            long, or not among its choices, or if there are no instances or too many.
        """
        try:
            request: Any = self.request_type.model_validate_json(body)
        except ValidationError as error:
            raise translate_validation_error(error) from error
        _refuse_repeated_names(body)
        return [tuple(vars(instance).values()) for instance in request.instances]


def parse_timestamp(text: str) -> float:
    """Return the seconds since the Unix epoch of an RFC 3339 timestamp.

    Two texts of one instant give the same number, whatever their UTC offsets. A leap
    second, and a text without an offset, are refused.

    >>> parse_timestamp("1970-01-01T01:00:00.5+01:00")
    0.5

    Raises
    ------
    PydanticCustomError
        If `text` is not such a timestamp.
    """
    if _RFC3339.fullmatch(text):
        try:
            return (datetime.fromisoformat(text.upper()) - _EPOCH).total_seconds()
        except ValueError:
            pass
    raise PydanticCustomError("unexpected", "{expected}", {"expected": _TIMESTAMP})


def _refuse_repeated_names(body: bytes) -> None:
    """Refuse a name given twice in a valid body; the validator took its last value."""
    pairs = json.loads(body, object_pairs_hook=list)
    _require_distinct(pairs, "")
    for number, instance in enumerate(pairs[0][1]):
        _require_distinct(instance, f"/instances/{number}")


def _require_distinct(pairs: Sequence[tuple[str, Any]], pointer: str) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        found = FieldError(json_pointer(pointer, repeated), "a repeated name", "it once")
        raise InvalidInstancesError(found.message, (found,))


def _refuse_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("unexpected", "{expected}", {"expected": "text without NUL"})
    return text


def _make_request_type(title: str, manifest: Manifest, limits: InstanceLimits) -> type[BaseModel]:
    # A field's name is the caller's and may clash with an attribute of BaseModel, so it is
    # an alias, and the attribute a number.
    fields: dict[str, Any] = {
        f"field_{number}": _make_field(field, manifest, limits)
        for number, field in enumerate(manifest.request)
    }
    strict = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [dict(manifest.example)]}
    )
    instance = create_model(
        f"{title}Instance", __config__=strict, __doc__=manifest.description, **fields
    )
    instances = Annotated[
        list[instance],
        Field(min_length=1, max_length=limits.max_instances, description="What to score."),
    ]
    return create_model(
        f"{title}Request",
        __config__=ConfigDict(extra="forbid", strict=True),
        __doc__="Instances to score, one prediction each.",
        instances=(instances, ...),
    )


def _make_field(field: RequestField, manifest: Manifest, limits: InstanceLimits) -> Any:
    if field.choices is not None and field.type is not FieldType.STRING:
        raise ModelRefusedError(f"Got choices for {field.name!r} of type {field.type}.")
    kind = _field_type(field, manifest, limits)
    described = Field(
        alias=field.name,
        title=field.name,
        description=field.description,
        examples=[field.example],
        json_schema_extra={"format": "date-time"} if field.type is FieldType.TIMESTAMP else None,
    )
    return (kind | None if field.nullable else kind, described)


def _field_type(field: RequestField, manifest: Manifest, limits: InstanceLimits) -> Any:
    if field.choices is not None:
        return Literal[field.choices]
    key_types = {
        key.type
        for view in manifest.plan.views
        for key in view.join_keys
        if key.field == field.name
    }
    bound = 1 << (31 if "INT32" in key_types else 63)
    text = Annotated[str, Field(max_length=limits.max_text_length)]
    return {
        FieldType.STRING: Annotated[text, AfterValidator(_refuse_nul)],
        FieldType.INTEGER: Annotated[int, Field(ge=-bound, le=bound - 1)],
        FieldType.NUMBER: Annotated[float, Field(allow_inf_nan=False)],
        FieldType.BOOLEAN: bool,
        FieldType.TIMESTAMP: Annotated[
            str, Field(max_length=_MAX_TIMESTAMP_LENGTH), AfterValidator(parse_timestamp)
        ],
    }[field.type]


def _make_response_type(title: str, output: Output) -> type[PredictionResponse]:
    kinds: dict[str, type[BaseModel]] = {
        "probability": ProbabilityPrediction,
        "value": ValuePrediction,
        "probabilities": ClassPrediction,
    }
    notes = [output.description]
    if output.threshold is not None:
        notes.append(f"Threshold: {output.threshold}.")
    if output.unit is not None:
        notes.append(f"Unit: {output.unit}.")
    prediction = create_model(
        f"{title}Prediction", __base__=kinds[output.kind], __doc__=" ".join(notes)
    )
    predictions = list[prediction]
    return create_model(
        f"{title}Response",
        __base__=PredictionResponse,
        __doc__=PredictionResponse.__doc__,
        predictions=(predictions, ...),
    )
