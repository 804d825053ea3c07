"""The other forms of a V1 request: columns for rows, and a signature's name.

TensorFlow Serving's clients send the same instances as columns, in ``inputs``, and read columns
from ``outputs`` (https://www.tensorflow.org/tfx/serving/api_rest). They may name the signature
that they mean; a model has just one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from zeroskew.contract.errors.fields import describe, json_pointer
from zeroskew.contract.errors.service import FieldError, InvalidInstancesError
from zeroskew.model.requests.strict_json import parse_strict_json
from zeroskew.model.requests.v1_documents import SIGNATURE

__all__ = ["OtherForm", "move_pointers_to_columns", "read_other_form", "to_outputs"]

_ROWS: Final = "instances"
_COLUMNS: Final = "inputs"
_SIGNATURE_NAME: Final = "signature_name"


class OtherForm(NamedTuple):
    """The instances of a request in another form, and whether they came as columns."""

    instances: list[Any]
    is_columnar: bool


def read_other_form(body: bytes, fields: Sequence[str], max_instances: int) -> OtherForm | None:
    """Return the instances of a body that has ``inputs`` or ``signature_name``.

    Parameters
    ----------
    body
        A request's body.
    fields
        The names of the model's request fields; a model with one takes its column as a list.
    max_instances
        How many rows the columns may have.

    Returns
    -------
    OtherForm or None
        ``None`` where the body has neither, or is no JSON object.

    Raises
    ------
    MalformedJsonError
        If it is not JSON, or an object in it has a name twice.
    InvalidInstancesError
        If the signature is another one, or the columns are not lists of one length.
    """
    if b"inputs" not in body and b"signature_name" not in body:
        return None
    document = parse_strict_json(body)
    if not isinstance(document, dict) or not {_COLUMNS, _SIGNATURE_NAME} & document.keys():
        return None
    unknown = sorted(document.keys() - {_ROWS, _COLUMNS, _SIGNATURE_NAME})
    if unknown:
        raise _refused(json_pointer("", unknown[0]), "an unknown name", "only those of a request")
    signature = document.get(_SIGNATURE_NAME, SIGNATURE)
    if signature != SIGNATURE:
        raise _refused(f"/{_SIGNATURE_NAME}", describe(signature), repr(SIGNATURE))
    if (_ROWS in document) == (_COLUMNS in document):
        got = "both" if _ROWS in document else "nothing"
        raise _refused("", f"{got} of instances and inputs", "one of them")
    if _ROWS in document:
        rows = document[_ROWS]
        if not isinstance(rows, list):
            raise _refused(f"/{_ROWS}", describe(rows), "a list")
        return OtherForm(rows, is_columnar=False)
    return OtherForm(_to_rows(document[_COLUMNS], fields, max_instances), is_columnar=True)


def move_pointers_to_columns(fields: Sequence[FieldError]) -> tuple[FieldError, ...]:
    """Return what is wrong with instances as what is wrong with the columns they came from."""
    return tuple(
        FieldError(_to_column_pointer(field.pointer), field.got, field.expected) for field in fields
    )


def to_outputs(predictions: Sequence[Mapping[str, Any]]) -> Any:
    """Return predictions as columns; where each is one number only, as a list.

    >>> to_outputs([{"value": 1.5}, {"value": 2.5}])
    [1.5, 2.5]
    >>> to_outputs([{"probability": 0.5, "label": True}])
    {'probability': [0.5], 'label': [True]}
    """
    names = list(predictions[0])
    columns = {name: [prediction[name] for prediction in predictions] for name in names}
    return columns[names[0]] if len(names) == 1 else columns


def _to_rows(columns: Any, fields: Sequence[str], max_instances: int) -> list[dict[str, Any]]:
    if isinstance(columns, list) and len(fields) == 1:
        columns = {fields[0]: columns}
    if not isinstance(columns, dict):
        raise _refused(f"/{_COLUMNS}", describe(columns), "an object with a list for each field")
    for name, column in columns.items():
        if not isinstance(column, list):
            raise _refused(json_pointer(f"/{_COLUMNS}", name), describe(column), "a list")
    lengths = {name: len(column) for name, column in columns.items()}
    first = next(iter(lengths), None)
    for name, length in lengths.items():
        pointer = json_pointer(f"/{_COLUMNS}", name)
        if length != lengths[first]:
            expected = f"as many as {first!r} has, {lengths[first]}"
            raise _refused(pointer, f"{length} values", expected)
        if not 0 < length <= max_instances:
            raise _refused(pointer, f"{length} values", f"1 to {max_instances}")
    if first is None:
        raise _refused(f"/{_COLUMNS}", "no columns", "one for each field")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _to_column_pointer(pointer: str) -> str:
    """Return ``/inputs/carrier/3`` for ``/instances/3/carrier``."""
    _, _, *place = pointer.split("/")
    if not place:
        return f"/{_COLUMNS}"
    row, *name = place
    return "/".join(["", _COLUMNS, *name, row])


def _refused(pointer: str, got: str, expected: str) -> InvalidInstancesError:
    found = FieldError(pointer, got, expected)
    return InvalidInstancesError(found.message, (found,))
