"""The types of requests and answers, made for each model from its manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Final
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from zeroskew.contract.errors.fields import json_pointer, refuse_fields, translate_validation_error
from zeroskew.contract.errors.service import (
    FieldError,
    InvalidInstancesError,
    InvalidRequestError,
    ModelRefusedError,
)
from zeroskew.contract.manifest import FieldType, Manifest, Output, Scalar
from zeroskew.model.requests.class_fields import name_classes
from zeroskew.model.requests.field_types import (
    InstanceLimits,
    find_rounded,
    has_large_float,
    make_field,
    make_override_type,
)
from zeroskew.model.requests.instances import Instances, Overrides, RequestRow
from zeroskew.model.requests.other_forms import OtherForm, move_pointers_to_columns, read_other_form
from zeroskew.model.requests.responses import (
    ClassPrediction,
    PredictionResponse,
    ProbabilityPrediction,
    ValuePrediction,
)

__all__ = ["JsonContent", "ModelSchema"]

_TEXT_TYPES: Final = (FieldType.STRING, FieldType.TIMESTAMP)

OVERRIDES: Final = "overrides"
"""The name in an instance under which a caller overrides features."""


class ModelSchema:
    """The request and response types of one model version.

    Parameters
    ----------
    manifest
        The version's manifest.
    version
        Its number, which tells its types from another version's on the documentation page;
        versions that take the same requests share the type that was made for the first.
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
        self._types = _share_request_types(title, manifest, limits)
        self.request_type = self._types.request
        self.response_type = _make_response_type(title, manifest.output)
        self._field_names = [field.name for field in manifest.request]
        self._limits = limits
        texts = [(i, f) for i, f in enumerate(manifest.request) if f.type in _TEXT_TYPES]
        self._number_positions = [
            i for i, field in enumerate(manifest.request) if field.type is FieldType.NUMBER
        ]
        self._text_positions = [i for i, _ in texts]
        self._nullable_positions = [i for i, field in texts if field.nullable]
        self.example: dict[str, Any] = {"instances": [dict(manifest.example)]}
        try:
            self.parse(json.dumps(self.example).encode())
        except InvalidRequestError as error:
            raise ModelRefusedError(f"Got an example that is not an instance: {error}") from error

    def takes_same(self, other: ModelSchema) -> bool:
        """Tell whether another version takes the very same requests."""
        return self._types is other._types

    def parse(self, body: bytes) -> Instances:
        """Check a request body and return its instances.

        Parameters
        ----------
        body
            ``{"instances": [...]}`` in UTF-8.

        Returns
        -------
        Instances
            One row for each instance, its values in the order of the manifest's request
            fields; a timestamp is seconds since the Unix epoch, to the microsecond.

        Raises
        ------
        MalformedJsonError
            If the body is not JSON.
        InvalidInstancesError
            If a field is missing, unknown, given twice, of another type, NaN, infinite, too
            long, not among its choices, or a whole number for a number that float64 does not
            hold, or if there are no instances or too many.
        """
        try:
            request: Any = self.request_type.model_validate_json(body)
        except ValidationError as error:
            other = read_other_form(body, self._field_names, self._limits.max_instances)
            if other is None:
                raise translate_validation_error(error) from error
            return self._parse_other_form(other)
        read = self._read_instances(request.instances)
        if read.overrides or not self._has_distinct_names(body, request.instances, read.rows):
            _refuse_repeated_names(body)
        self._refuse_rounded(read, lambda: json.loads(body)["instances"])
        return read

    def _refuse_rounded(
        self, read: Instances, get_given: Callable[[], Sequence[Mapping[str, Any]]]
    ) -> None:
        numbers = [row[position] for position in self._number_positions for row in read.rows]
        if not has_large_float(chain(numbers, *(one.values() for one in read.overrides))):
            return
        found: list[FieldError] = []
        for number, (given, row) in enumerate(zip(get_given(), read.rows, strict=True)):
            place = f"/instances/{number}"
            found += find_rounded(given, zip(self._field_names, row, strict=True), place)
            if read.overrides and (overrides := given.get(OVERRIDES)):
                parsed = read.overrides[number].items()
                found += find_rounded(overrides, parsed, f"{place}/{OVERRIDES}")
        if found:
            raise refuse_fields(found)

    def _read_instances(self, instances: Sequence[BaseModel]) -> Instances:
        rows = [tuple(vars(instance).values()) for instance in instances]
        if self._types.overrides is None:
            return Instances(rows, ())
        overrides: Overrides = ()
        if any(row[-1] is not None for row in rows):
            overrides = [_read_overrides(row[-1]) for row in rows]
        return Instances([row[:-1] for row in rows], overrides)

    def _parse_other_form(self, other: OtherForm) -> Instances:
        if not other.is_columnar:
            return self.parse(json.dumps({"instances": other.instances}).encode())
        try:
            instances = self.parse_instances(other.instances)
        except InvalidInstancesError as error:
            fields = move_pointers_to_columns(error.fields)
            message = fields[0].message if fields else str(error)
            raise InvalidInstancesError(message, fields) from error
        return instances._replace(is_columnar=True)

    def _has_distinct_names(
        self, body: bytes, instances: Sequence[BaseModel], rows: Sequence[RequestRow]
    ) -> bool:
        """Tell by the quotation marks of a valid body whether no name is given twice.

        Every name has two and so has every text, and each repeated name adds two. Where there
        are escapes it says no: a name may be written in several ways.
        """
        if b"\\" in body:
            return False
        n_names = 1 + sum([len(instance.model_fields_set) for instance in instances])
        n_texts = len(rows) * len(self._text_positions)
        for position in self._nullable_positions:
            n_texts -= [row[position] for row in rows].count(None)
        return body.count(b'"') == 2 * (n_names + n_texts)

    def parse_instances(self, instances: Sequence[Mapping[str, Any]]) -> Instances:
        """Check instances that came as something other than JSON, and return them.

        Parameters
        ----------
        instances
            A mapping for each instance, from every request field to its value: text, a whole
            number, a number, a truth value or ``None``. A timestamp is RFC 3339 text. There may
            be `overrides`, as in JSON.

        Returns
        -------
        Instances
            As `parse` returns them.

        Raises
        ------
        InvalidInstancesError
            If a value is not what its field takes, with pointers as `parse` gives them.
        """
        try:
            request: Any = self.request_type.model_validate({"instances": instances})
        except ValidationError as error:
            raise translate_validation_error(error) from error
        read = self._read_instances(request.instances)
        self._refuse_rounded(read, lambda: instances)
        return read


@dataclass(frozen=True, slots=True)
class JsonContent:
    """A request's body in the form of the native protocol, which any version may be given."""

    body: bytes

    def to_instances(self, schema: ModelSchema) -> Instances:
        """Return the instances as a version has them; see `ModelSchema.parse`."""
        return schema.parse(self.body)


def _read_overrides(given: BaseModel | None) -> dict[str, Scalar | None]:
    """Return what one instance overrides; what it leaves out is not the same as a null."""
    if given is None:
        return {}
    fields = type(given).model_fields
    return {
        str(fields[name].alias): getattr(given, name)
        for name in fields
        if name in given.model_fields_set
    }


def _refuse_repeated_names(body: bytes) -> None:
    """Refuse a name given twice in a valid body; the validator took its last value."""
    pairs = json.loads(body, object_pairs_hook=list)
    _require_distinct(pairs, "")
    for number, instance in enumerate(pairs[0][1]):
        _require_distinct(instance, f"/instances/{number}")
        for name, value in instance:
            if name == OVERRIDES and value is not None:
                _require_distinct(value, f"/instances/{number}/{OVERRIDES}")


def _require_distinct(pairs: Sequence[tuple[str, Any]], pointer: str) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        found = FieldError(json_pointer(pointer, repeated), "a repeated name", "it once")
        raise InvalidInstancesError(found.message, (found,))


@dataclass(frozen=True, eq=False)
class _RequestTypes:
    """The type of a request, and that of what an instance may override."""

    request: type[BaseModel]
    overrides: type[BaseModel] | None


# Making the types is half of the work in Python when a version is loaded, and most of what the
# garbage collector has to look through afterwards. A model that was trained anew takes the same
# requests as before.
_request_types: WeakValueDictionary[tuple[str, InstanceLimits], _RequestTypes] = (
    WeakValueDictionary()
)
_IN_REQUESTS: Final = {"model", "description", "request", "plan", "example"}


def _share_request_types(title: str, manifest: Manifest, limits: InstanceLimits) -> _RequestTypes:
    key = (manifest.model_dump_json(include=_IN_REQUESTS), limits)
    types = _request_types.get(key)
    if types is None:
        overrides = make_override_type(title, manifest, limits)
        request = _make_request_type(title, manifest, limits, overrides)
        types = _request_types[key] = _RequestTypes(request, overrides)
    return types


def _make_request_type(
    title: str, manifest: Manifest, limits: InstanceLimits, overrides: type[BaseModel] | None
) -> type[BaseModel]:
    # A field's name is the caller's and may clash with an attribute of BaseModel, so it is
    # an alias, and the attribute a number.
    fields: dict[str, Any] = {
        f"field_{number}": make_field(field, manifest, limits)
        for number, field in enumerate(manifest.request)
    }
    if overrides is not None:
        if OVERRIDES in {field.name for field in manifest.request}:
            raise ModelRefusedError(f"Got a request field {OVERRIDES!r}, but that name is taken.")
        described = Field(
            None, alias=OVERRIDES, description="Values to take instead of stored ones."
        )
        fields[OVERRIDES] = (overrides | None, described)
    strict = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [dict(manifest.example)]}
    )
    instance = create_model(
        f"{title}Instance", __config__=strict, __doc__=manifest.description, **fields
    )
    instances = Annotated[
        list[instance],
        # Of a thousand bad instances the first is enough: finding all would stop the event loop.
        Field(
            min_length=1,
            max_length=limits.max_instances,
            fail_fast=True,
            description="What to score.",
        ),
    ]
    return create_model(
        f"{title}Request",
        __config__=ConfigDict(extra="forbid", strict=True),
        __doc__="Instances to score, one prediction each.",
        instances=(instances, ...),
    )


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
        f"{title}Prediction",
        __base__=kinds[output.kind],
        __doc__=" ".join(notes),
        **name_classes(output.classes or ()),
    )
    predictions = list[prediction]
    return create_model(
        f"{title}Response",
        __base__=PredictionResponse,
        __doc__=PredictionResponse.__doc__,
        predictions=(predictions, ...),
    )
