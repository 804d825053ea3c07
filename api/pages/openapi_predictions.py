"""How the OpenAPI document tells what a prediction takes and answers: instances, or columns.

Each form has types of its own, so that a generated client knows what it sends and reads. Those of
columns are made of those of instances: the service parses both by one type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.v1.outputs import OneOutputResponse
from zeroskew.contract.manifest import Manifest
from zeroskew.model.requests.body_documents import SCHEMAS
from zeroskew.model.requests.v1_documents import SIGNATURE

__all__ = [
    "ANY_ANSWER",
    "ANY_REQUEST",
    "add_answer_columns",
    "add_request_columns",
    "answer_content",
    "describe_any_request",
    "request_content",
    "request_examples",
]

ANY_REQUEST: Final = "PredictionRequest"
"""The type of instances of any model."""

ANY_ANSWER: Final = "PredictionResponse"
_SIGNATURE_NAME: Final = {
    "type": "string",
    "enum": [SIGNATURE],
    "description": "TensorFlow Serving's name for what a request asks for; a model has just one.",
}
_OF_THE_COLUMN: Final = ("title", "description")
_NOT_OF_ITEMS: Final = frozenset({*_OF_THE_COLUMN, "default", "examples"})


def describe_any_request() -> dict[str, Any]:
    """Return the types of instances whose model is not known, by their names."""
    instances = {"type": "array", "minItems": 1, "items": {"$ref": f"{SCHEMAS}Instance"}}
    return {
        "Instance": {
            "type": "object",
            "description": "One instance, with the fields of its model.",
            "additionalProperties": True,
        },
        ANY_REQUEST: {
            "type": "object",
            "description": "Instances to score, one prediction each.",
            "required": ["instances"],
            "additionalProperties": False,
            "properties": {"instances": instances},
        },
    }


def add_request_columns(schemas: dict[str, Any], request: str) -> None:
    """Add the type of a request in columns to `schemas`, and to that in rows a signature's name.

    Parameters
    ----------
    schemas
        The document's types by their names.
    request
        The name of the type of a request with instances, which is among them.
    """
    rows = schemas[request]["properties"]["instances"]
    schemas[request]["properties"]["signature_name"] = _SIGNATURE_NAME
    named = _name_columns(request)
    columns = named.removesuffix("Request")
    schemas[columns] = _to_columns(_resolve(schemas, rows["items"]), rows)
    schemas[named] = {
        "type": "object",
        "description": "Instances to score, as columns.",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": _allow_bare_list(schemas[columns], {"$ref": SCHEMAS + columns}),
            "signature_name": _SIGNATURE_NAME,
        },
    }


def add_answer_columns(schemas: dict[str, Any], answer: str) -> None:
    """Add to `schemas` the type of an answer in columns, by that of one with predictions."""
    scored = schemas[answer]
    properties = dict(scored["properties"])
    outputs = _to_outputs(schemas, properties.pop("predictions"))
    schemas[_name_columns(answer)] = scored | {
        "title": _name_columns(answer),
        "description": "The scores of instances that came as columns, in their order.",
        "required": [name for name in scored["required"] if name != "predictions"] + ["outputs"],
        "properties": properties | {"outputs": outputs},
    }


def request_content(request: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of the body of a prediction, whose types have been added."""
    described = {"schema": _union(request)}
    return {"application/json": described | ({"examples": examples} if examples else {})}


def request_examples(manifest: Manifest) -> dict[str, Any]:
    """Return a model's example in both forms, as OpenAPI has examples."""
    columns = {name: [value] for name, value in manifest.example.items()}
    return {
        "instances": {"value": {"instances": [dict(manifest.example)]}},
        "columns": {"value": {"inputs": columns}},
    }


def answer_content(answer: str) -> dict[str, Any]:
    """Return what is told of the answer to a prediction, whose types have been added."""
    return {"application/json": {"schema": _union(answer, OneOutputResponse.__name__)}}


def _union(*names: str) -> dict[str, Any]:
    """Return the union of types and their sisters of columns."""
    both = [one for name in names for one in (name, _name_columns(name))]
    return {"anyOf": [{"$ref": SCHEMAS + name} for name in both]}


def _name_columns(name: str) -> str:
    """Return the name of a type's sister of columns.

    >>> _name_columns("ArrivalDelayV1Request"), _name_columns("PredictionResponse")
    ('ArrivalDelayV1ColumnsRequest', 'PredictionColumnsResponse')
    """
    kind = "Request" if name.endswith("Request") else "Response"
    return f"{name.removesuffix(kind)}Columns{kind}"


def _resolve(schemas: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].removeprefix(SCHEMAS)]
    return found


def _to_columns(row: Mapping[str, Any], bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object's type as that of an object of lists, each as long as `bounds` says."""
    described = {"type": "object", "description": "A list for each field, all of one length."}
    if "properties" not in row:
        columns = {"type": "array", "items": {}, "minItems": 1}
        return described | {"minProperties": 1, "additionalProperties": columns}
    return described | {
        "required": row["required"],
        "additionalProperties": False,
        "properties": {
            name: _to_column(field, bounds) for name, field in row["properties"].items()
        },
    }


def _to_column(field: Mapping[str, Any], bounds: Mapping[str, Any]) -> dict[str, Any]:
    items = {name: value for name, value in field.items() if name not in _NOT_OF_ITEMS}
    told = {name: field[name] for name in _OF_THE_COLUMN if name in field}
    lengths = {name: bounds[name] for name in ("minItems", "maxItems") if name in bounds}
    return told | {"type": "array", "items": items} | lengths


def _allow_bare_list(columns: Mapping[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """Return the type of `inputs`: a model with one field takes its column alone, too."""
    required = columns.get("required", ())
    return {"anyOf": [named, columns["properties"][required[0]]]} if len(required) == 1 else named


def _to_outputs(schemas: Mapping[str, Any], predictions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the type of `outputs`: a list of what is one value, or else a list for each."""
    if "items" not in predictions:
        return {"anyOf": predictions["anyOf"]}
    if "$ref" not in predictions["items"]:
        return {
            "anyOf": [
                {"type": "array", "items": {"type": "number"}},
                {"type": "object", "additionalProperties": {"type": "array", "items": {}}},
            ]
        }
    kind = _resolve(schemas, predictions["items"])
    if len(kind["properties"]) == 1:
        (only,) = kind["properties"].values()
        return _to_column(only, {})
    return _to_columns(kind, {})
