"""The bodies that Feast's clients send, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import ConfigDict, Field

from zeroskew.contract.errors.fields import describe, json_pointer
from zeroskew.contract.errors.service import FieldError, InvalidRequestError
from zeroskew.model.requests.body_documents import RequestDocument

__all__ = [
    "FeastLimits",
    "OnlineFeaturesRequest",
    "PushRequest",
    "PushTarget",
    "WriteRequest",
    "count_rows",
]

Columns = dict[str, list[Any]]
_ENTITIES = "One list a join key, all of one length; `null` matches nothing. Others are ignored."
_FRAME = "One list a column, all of one length: join keys, features, event times."


@dataclass(frozen=True, slots=True)
class FeastLimits:
    """How much one request may read or write; a cell is one value of one row."""

    max_rows: int
    max_cells: int
    max_text_length: int


# Not `oneOf`: generated clients have one type for this, and overlook what stands beside a union.
_ONE_OF_BOTH: Final[dict[str, Any]] = {
    "if": {
        "required": ["feature_service"],
        "properties": {"feature_service": {"type": "string"}},
    },
    "then": {"properties": {"features": {"maxItems": 0}}},
    "else": {"required": ["features"], "properties": {"features": {"minItems": 1}}},
}


_EACH_ONCE: Final[dict[str, Any]] = {
    "uniqueItems": True,
    "items": {"type": "string", "pattern": "^[^:]+:[^:]+$"},
}


class OnlineFeaturesRequest(RequestDocument):
    """Which features, of which entities."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_BOTH)

    entities: Columns = Field(description=_ENTITIES)
    feature_service: str | None = None
    features: list[str] = Field(
        default=[],
        description="`view:feature`, each once, without a service.",
        json_schema_extra=_EACH_ONCE,
    )
    full_feature_names: bool = Field(
        default=False, description="Whether features are named `view__feature`."
    )
    include_feature_view_version_metadata: bool = False


class PushTarget(StrEnum):
    """Where rows go: into the online store, into the lake's tables, or into both."""

    ONLINE = "online"
    OFFLINE = "offline"
    BOTH = "online_and_offline"


class _Frame(RequestDocument):
    df: Columns = Field(description=_FRAME)
    allow_registry_cache: bool = Field(default=True, description="Accepted; changes nothing.")
    transform_on_write: bool = Field(default=True, description="Accepted; changes nothing.")
    to: str | None = Field(
        default=None,
        description="`online_and_offline` unless said otherwise, and `online` for a view whose "
        "source is no table that rows can be added to.",
        json_schema_extra={"anyOf": [{"enum": list(PushTarget)}, {"type": "null"}]},
    )

    @property
    def target(self) -> PushTarget | None:
        """Where the rows go; ``None`` is both, or online where there is no table.

        Raises
        ------
        InvalidRequestError
            If it is no such place.
        """
        if self.to is None:
            return None
        try:
            return PushTarget(self.to)
        except ValueError:
            expected = f"one of {', '.join(PushTarget)}"
            raise _refused("/to", describe(self.to), expected) from None


class PushRequest(_Frame):
    """Rows for every view that a push source feeds."""

    push_source_name: str


class WriteRequest(_Frame):
    """Rows for one view."""

    feature_view_name: str


def count_rows(columns: Columns, pointer: str, n_cells_a_row: int, limits: FeastLimits) -> int:
    """Return the common length of some columns; 0 where there are none.

    Raises
    ------
    InvalidRequestError
        If lengths differ, or there are too many rows or cells.
    """
    first = next(iter(columns.values()), [])
    for name, values in columns.items():
        if len(values) != len(first):
            where = json_pointer(pointer, name)
            raise _refused(where, describe(values), f"a list of {len(first)}, as the first one")
    n_rows = len(first)
    if n_rows > limits.max_rows:
        raise _refused(pointer, f"{n_rows} rows", f"at most {limits.max_rows}")
    if n_rows * n_cells_a_row > limits.max_cells:
        cells = f"{n_rows} rows of {n_cells_a_row} values"
        raise _refused(pointer, cells, f"at most {limits.max_cells} values")
    return n_rows


def _refused(pointer: str, got: str, expected: str) -> InvalidRequestError:
    field = FieldError(pointer, got, expected)
    return InvalidRequestError(field.message, (field,))
