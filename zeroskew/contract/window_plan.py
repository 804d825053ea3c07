"""What a windowed view computes of its events: plain data, in the manifest and in Feast's tags.

The value at a time ``t`` is that of the events with event time in ``(t - window, t]`` that were
known at ``t``. A null counts for nothing, and neither does a NaN.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from zeroskew.contract.frozen_model import FrozenModel

__all__ = [
    "STATE",
    "WINDOWS_TAG",
    "EventCondition",
    "EventInput",
    "WindowFeature",
    "WindowFunction",
    "WindowPlan",
]

STATE: Final = "window_state"
"""The feature of a windowed view that holds an entity's events in the online store."""
WINDOWS_TAG: Final = "zeroskew.windows"
"""The tag by which Feast's registry keeps the plan of a view."""

InputType = Literal["INT64", "DOUBLE", "BOOL", "STRING", "UNIX_TIMESTAMP"]

LONGEST_WINDOW_US: Final = 2**61
"""So that a time less a window is a 64-bit number."""


class WindowFunction(StrEnum):
    """What is computed of the values in a window.

    Of an empty window ``count``, ``sum`` and ``count_distinct`` are 0, the others null.
    """

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    SHARE = "share"
    MIN = "min"
    MAX = "max"
    VARIANCE = "var_samp"
    VARIANCE_POPULATION = "var_pop"
    DEVIATION = "std_samp"
    DEVIATION_POPULATION = "std_pop"
    FIRST = "first"
    LAST = "last"
    SINCE_FIRST = "seconds_since_first"
    SINCE_LAST = "seconds_since_last"
    COUNT_DISTINCT = "count_distinct"
    MOST_FREQUENT = "most_frequent"


class EventCondition(FrozenModel):
    """A condition that an event meets, or its value counts for nothing.

    A null meets only ``is_null``. Text is compared by its code points, a boolean is no number.
    """

    column: str
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "is_null", "is_not_null"]
    value: str | bool | int | float | tuple[str | int | float, ...] | None = None

    @model_validator(mode="after")
    def _check_value(self) -> Self:
        unary = self.op in ("is_null", "is_not_null")
        if unary != (self.value is None) or (self.op == "in") != isinstance(self.value, tuple):
            raise ValueError(
                f"Got condition {self.column!r} {self.op} {self.value!r}, but expected "
                + ("no value" if unary else "a list" if self.op == "in" else "one value")
            )
        return self


class EventInput(FrozenModel):
    """What events give to features: a column's values where the conditions hold.

    ``column`` ``None`` asks for events, whatever they say.
    """

    column: str | None
    type: InputType
    where: tuple[EventCondition, ...] = ()


class WindowFeature(FrozenModel):
    """One feature: a function of the values of an input in a window.

    ``window_us`` is the window's length in microseconds, ``None`` for all events up to the moment.
    """

    name: str
    function: WindowFunction
    input: int = Field(ge=0)
    window_us: int | None = Field(default=None, gt=0, le=LONGEST_WINDOW_US)
    type: InputType


class WindowPlan(FrozenModel):
    """All that a view computes.

    ``columns`` are those of the events that a feature or a condition reads, with their types.
    ``hop_us``, where it is set, moves the start of each window back to a multiple of it since the
    Unix epoch.
    ``event_id`` names the column that tells events apart: of those with the same one the latest
    created stands; without it each row is an event of its own.
    ``max_events`` bounds how many events of an entity its state holds.
    """

    columns: dict[str, InputType]
    inputs: tuple[EventInput, ...] = Field(min_length=1)
    features: tuple[WindowFeature, ...] = Field(min_length=1)
    hop_us: int | None = Field(default=None, gt=0, le=LONGEST_WINDOW_US)
    event_id: str | None = None
    max_events: int = Field(default=4096, gt=0)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [STATE, *(feature.name for feature in self.features)]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"Got two features {repeated[0]!r}, but expected a name for each")
        return self

    @model_validator(mode="after")
    def _check_inputs(self) -> Self:
        for feature in self.features:
            if feature.input >= len(self.inputs):
                raise ValueError(
                    f"Got input {feature.input} of feature {feature.name!r}, but expected one of "
                    f"{len(self.inputs)}"
                )
        return self

    @property
    def longest_us(self) -> int | None:
        """The longest window but the endless ones; ``None`` where all are endless."""
        return max((one.window_us for one in self.features if one.window_us), default=None)
