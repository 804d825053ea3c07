"""The fields of an answer of classes, in a schema that names the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

__all__ = ["name_classes"]


def name_classes(classes: Sequence[str]) -> dict[str, Any]:
    """Return the fields of an answer whose schema names the model's own classes."""
    if not classes:
        return {}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    by_class: dict[str, Any] = {
        "properties": dict.fromkeys(classes, share),
        "required": list(classes),
        "additionalProperties": False,
    }
    return {
        "probabilities": (
            dict[str, float],
            Field(description="By class.", json_schema_extra=by_class),
        ),
        "label": (
            str,
            Field(description="The likeliest class.", json_schema_extra={"enum": list(classes)}),
        ),
    }
