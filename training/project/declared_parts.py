"""Which parts of a model's declaration a step reads, so that a later one sees an edit of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from zeroskew.contract.errors.project import StepError
from zeroskew.declarations.model_spec import ModelSpec

__all__ = ["read_parts", "require_same_parts"]

ReadingStep = Literal["dataset", "fit"]

_READ_BY: Final[Mapping[ReadingStep, set[str]]] = {
    "dataset": {
        "feature_service",
        "request",
        "columns",
        "labels",
        "split",
        "output",
        "when_stale",
        "when_store_down",
        "defaults",
    },
    "fit": {"family", "parameters", "n_rounds", "early_stopping_rounds"},
}
# What is said to callers alone, and the label's expression, which is written as text instead.
_UNREAD: Final[Any] = {
    "request": {"__all__": {"description", "example"}},
    "output": {"description"},
    "labels": {"label", "matures_after"},
}


def read_parts(spec: ModelSpec, step: ReadingStep) -> dict[str, str]:
    """Return the parts of a declaration that ``step`` reads, each by its name as text."""
    parts = spec.model_dump(include=_READ_BY[step], exclude=_UNREAD)
    if step == "dataset":
        parts["label"] = str(spec.labels.label)
    return {name: json.dumps(part, sort_keys=True, default=str) for name, part in parts.items()}


def require_same_parts(recorded: Mapping[str, str], spec: ModelSpec, step: ReadingStep) -> None:
    """Raise unless a model is declared as it was when ``step`` was run.

    Else a version would say of itself what it is not: another label, other classes.

    Raises
    ------
    StepError
        If a part differs.
    """
    changed = [name for name, part in read_parts(spec, step).items() if recorded.get(name) != part]
    if changed:
        raise StepError(
            f"Got {', '.join(changed)} edited in the declaration of {spec.name!r}, but expected "
            f"what `zeroskew {step}` read; run `zeroskew train {spec.name}` again"
        )
