"""What a model file must say for the service to load it.

A model version is two files: ``model.onnx`` and this manifest. The consumer owns the
contract: training is a client that must satisfy it. Everything here is plain data; nothing
in it is executed, imported or opened.

The graph has one or two inputs and one or two outputs:

- ``features``, float32 ``(n_rows, len(plan.columns))``: what the service looks up and codes;
- ``request``, float64 ``(n_rows, len(plan.request_inputs))``: request values and stored
  features, unrounded, for the request-time functions in the graph; absent where
  ``plan.request_inputs`` is empty;
- ``scores``, float64 ``(n_rows,)``, or ``(n_rows, n_classes)`` for a multiclass model;
- ``request_features``, float32 ``(n_rows, len(plan.request_features))``: what the request-time
  functions computed, for whoever asks what the model was given; absent where there are none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from zeroskew.contract.errors.service import ArtifactError
from zeroskew.contract.frozen_model import FrozenModel
from zeroskew.contract.window_plan import WindowPlan

__all__ = [
    "AS_OF",
    "KEY_FIELDS",
    "MANIFEST_FORMAT",
    "NAME_PATTERN",
    "PLAN_LAYOUT",
    "Column",
    "DataSnapshot",
    "FeaturePlan",
    "FieldType",
    "GoldenKey",
    "GoldenRow",
    "JoinKey",
    "Manifest",
    "Metric",
    "ModelFile",
    "ModelName",
    "OnlineFeature",
    "Output",
    "RequestField",
    "RequestInput",
    "Scalar",
    "ViewPlan",
    "parse_manifest",
]

MANIFEST_FORMAT: Final = "zeroskew.manifest/2"
AS_OF: Final = "as_of"
"""What a request-time function calls the moment of the prediction."""
PLAN_LAYOUT: Final = "feast-entity-key-v3"

NAME_PATTERN: Final = "[a-z][a-z0-9_]{0,62}"
"""The name of a model or of an alias, as a regular expression."""

ModelName = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hex = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})*$")]


Scalar = str | int | float | bool


class FieldType(StrEnum):
    """JSON types of a request field.

    ``string`` is text, ``integer`` a whole number of 64 bits, ``number`` a finite one within
    float32, ``boolean`` true or false, and ``timestamp`` RFC 3339 text with a UTC offset.
    """

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"


_EXAMPLE_TYPES: Final = {
    FieldType.STRING: (str,),
    FieldType.INTEGER: (int,),
    FieldType.NUMBER: (int, float),
    FieldType.BOOLEAN: (bool,),
    FieldType.TIMESTAMP: (str,),
}


class RequestField(FrozenModel):
    """One field of an instance: an entity key, a raw column, or both.

    Parameters
    ----------
    name
        As callers write it, and as the label table has it: a join key by Feast's name, or by the
        one that the feature service maps it to.
    type
        What a value may be.
    description
        What it means, for whoever reads ``/docs``.
    example
        A value of that type: ``/docs`` shows it, and it is in the example that the landing page
        and ``zeroskew up`` print.
    nullable
        Whether ``null`` may stand for "unknown", which matches no entity and is a missing value.
    choices
        The accepted values of a text field; any if it is not set.
    """

    name: str
    type: FieldType
    description: str
    example: str | int | float | bool | None
    nullable: bool = False
    choices: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check_example(self) -> Self:
        if self.example is None or type(self.example) in _EXAMPLE_TYPES[self.type]:
            return self
        raise ValueError(
            f"Got {self.example!r} as example of {self.name!r}, but expected type {self.type}"
        )


KEY_FIELDS: Final[Mapping[str, FieldType]] = {
    "STRING": FieldType.STRING,
    "BYTES": FieldType.STRING,
    "INT64": FieldType.INTEGER,
    "INT32": FieldType.INTEGER,
}
"""The type of a request field that is a join key, by the type of the key in Feast."""


class JoinKey(FrozenModel):
    """One join key of a view and the request field that carries its value.

    ``type`` is the name of Feast's value type (``STRING``, ``INT64``, ``INT32``, ``BYTES``).
    """

    name: str
    field: str
    type: Literal["STRING", "INT64", "INT32", "BYTES"]


class OnlineFeature(FrozenModel):
    """One feature as the online store has it.

    ``type`` is the name of Feast's value type. ``default`` stands for the value when the store is
    down and ``FeaturePlan.when_store_down`` is ``defaults``; ``None`` is a null.
    """

    name: str
    type: str
    default: Scalar | None = None


class ViewPlan(FrozenModel):
    """How one feature view is read.

    ``table`` is Feast's name of what is stored: the project, ``_``, and the view, or one version
    of it. ``join_keys`` stand in Feast's key order (sorted by name); ``key_prefix`` is the part of
    the serialised entity key that precedes the values. ``ttl_us`` is the time to live in
    microseconds, or ``None`` where values never expire: a value with event time ``e`` is
    live at ``t`` when ``t - ttl_us <= e``, both bounds included. ``when_stale`` says what
    becomes of a value that is not live: ``null``, as in training; ``reject``, which fails the
    instance; or ``serve``, which gives it to the model all the same. ``windows`` is there where
    the features are computed at the moment of the request, of events that the store holds.
    """

    name: str
    table: str
    join_keys: tuple[JoinKey, ...]
    key_prefix: Hex
    ttl_us: int | None = Field(default=None, gt=0)
    when_stale: Literal["null", "reject", "serve"] = "null"
    features: tuple[OnlineFeature, ...]
    windows: WindowPlan | None = None


class Column(FrozenModel):
    """One column of the ``features`` matrix.

    Exactly one source: an online feature (``view`` and ``feature``) or a request field
    (``field``). ``categories`` maps text to its index; text not listed, and null, is NaN.
    """

    name: str
    view: str | None = None
    feature: str | None = None
    field: str | None = None
    categories: tuple[str, ...] | None = None


class RequestInput(FrozenModel):
    """One column of the graph's ``request`` input, float64.

    Exactly one source: as in `Column`, or the moment of the prediction (``is_moment``), which the
    answer calls ``as_of``. A timestamp becomes seconds since the Unix epoch, a boolean 0 or 1,
    null NaN. ``name`` is what the request-time functions call it.
    """

    name: str
    view: str | None = None
    feature: str | None = None
    field: str | None = None
    is_moment: bool = False


class FeaturePlan(FrozenModel):
    """The feature service, compiled: what to read, in which order, into which column.

    ``request_inputs`` are the columns of the graph's ``request`` input; ``request_features``
    names the columns that the graph itself computes from them and appends to ``columns``.
    ``when_store_down`` says what becomes of a request while the online store cannot be read:
    ``fail``, or an answer from the features' defaults that says so.
    """

    layout: Literal["feast-entity-key-v3"] = PLAN_LAYOUT
    project: str
    feature_service: str
    views: tuple[ViewPlan, ...]
    columns: tuple[Column, ...]
    request_inputs: tuple[RequestInput, ...] = ()
    request_features: tuple[str, ...] = ()
    when_store_down: Literal["fail", "defaults"] = "fail"

    def list_key_fields(self) -> list[str]:
        """Return the request fields that are entity keys, sorted."""
        return sorted({key.field for view in self.views for key in view.join_keys})

    def list_stored_features(self) -> list[tuple[str, str]]:
        """Return view and feature of whatever a column or a request input reads, in views' order.

        The prediction log has them in this order.
        """
        sources: tuple[Column | RequestInput, ...] = (*self.columns, *self.request_inputs)
        used = {(one.view, one.feature) for one in sources}
        return [
            (view.name, feature.name)
            for view in self.views
            for feature in view.features
            if (view.name, feature.name) in used
        ]


class Output(FrozenModel):
    """What a score means to the caller.

    Parameters
    ----------
    kind
        ``probability`` answers ``{"probability": p, "label": p >= threshold}``; ``value`` answers
        ``{"value": v}``; ``probabilities`` answers one probability for each of ``classes`` and the
        likeliest as ``label``.
    description
        What the score is, for whoever reads ``/docs``.
    threshold
        Of a probability, from where on the label is true. Training chooses one that is not set.
    unit
        The unit of a value, such as ``minutes``.
    classes
        The names of the classes that ``probabilities`` are of, in order.
    """

    kind: Literal["probability", "value", "probabilities"]
    description: str
    threshold: float | None = None
    unit: str | None = None
    classes: tuple[str, ...] | None = None


class ModelFile(FrozenModel):
    """The ONNX file that belongs to this manifest."""

    sha256: Sha256
    size_bytes: int = Field(gt=0)


class GoldenRow(FrozenModel):
    """Graph inputs and the scores they must give, equal to the bit.

    Rows are little-endian hex: float32 ``features``, float64 ``request`` and ``scores``.
    """

    features: Hex
    request: Hex = ""
    scores: Hex


class GoldenKey(FrozenModel):
    """An entity key and the bytes Feast serialises it to, per view."""

    view: str
    values: tuple[str | int, ...]
    serialized: Hex


class Metric(FrozenModel):
    """A metric on the test span with its bootstrap interval."""

    value: float
    low: float
    high: float


class DataSnapshot(FrozenModel):
    """Which rows the model was fitted and judged on."""

    sha256: Sha256
    rows: dict[str, int]
    spans: dict[str, tuple[datetime, datetime]]


class Manifest(FrozenModel):
    """Everything the service and an auditor need to know about one model version.

    ``family`` is that of the model: of versions that do not say it, LightGBM's.
    """

    format: Literal["zeroskew.manifest/2"] = MANIFEST_FORMAT
    model: ModelName
    description: str
    family: str = "lightgbm"
    objective: str
    output: Output
    request: tuple[RequestField, ...]
    plan: FeaturePlan
    model_file: ModelFile
    golden_rows: tuple[GoldenRow, ...] = Field(min_length=1)
    golden_keys: tuple[GoldenKey, ...]
    example: dict[str, str | int | float | bool | None]
    metrics: dict[str, Metric]
    baselines: dict[str, dict[str, Metric]]
    parity: dict[str, str | int | float | bool]
    data: DataSnapshot
    label_matures_after_sec: float | None = Field(
        default=None,
        gt=0,
        description="How long after a prediction all labels are there that will ever come.",
    )
    parameters: dict[str, str | int | float | bool]
    libraries: dict[str, str]
    code_revision: str


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest that a stored file holds.

    Raises
    ------
    ArtifactError
        If it is damaged, or of the format of another release.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        found = _read_format(content)
        if found != MANIFEST_FORMAT:
            raise ArtifactError(
                f"Got a manifest of format {found!r}, but expected {MANIFEST_FORMAT!r}; train and "
                "publish the model again with this release."
            ) from error
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the top"
        raise ArtifactError(
            f"Got a manifest with {error.error_count()} errors, the first at {place}: "
            f"{first['msg']}."
        ) from error


def _read_format(content: bytes) -> object:
    """Return what a manifest calls its format; a damaged one is taken for one of this release."""
    try:
        return json.loads(content)["format"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return MANIFEST_FORMAT
