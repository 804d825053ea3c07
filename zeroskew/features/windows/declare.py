"""A view whose features are windows over a table of events, as a Feast view.

Feast keeps what it does not know in tags: the view is an ordinary one whose table has raw events,
and the tag says what is computed of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from zeroskew.contract.errors.project import PlanError
from zeroskew.contract.errors.sentences import join_names
from zeroskew.contract.window_plan import (
    STATE,
    WINDOWS_TAG,
    EventCondition,
    EventInput,
    WindowFeature,
    WindowFunction,
    WindowPlan,
)

if TYPE_CHECKING:
    from feast import Entity, FeatureView, Field
    from feast.aggregation import Aggregation
    from feast.data_source import DataSource
    from feast.types import FeastType

__all__ = ["Window", "feast_type", "window_plan_of", "windowed_view"]

_UNITS: Final = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SPAN: Final = re.compile(r"([1-9][0-9]*)(us|ms|s|m|h|d|w)")
_MICROSECOND: Final = timedelta(microseconds=1)
_ALIASES: Final = {"var": "var_samp", "std": "std_samp", "avg": "mean", "nunique": "count_distinct"}
_COUNTS: Final = ("count", "count_distinct")
_OF_EVENTS: Final = ("count", "seconds_since_first", "seconds_since_last")
_OF_NUMBERS: Final = ("sum", "mean", "share", "var_samp", "var_pop", "std_samp", "std_pop")
_OF_ORDER: Final = ("min", "max")
_TYPES: Final = {
    "INT32": "INT64",
    "INT64": "INT64",
    "FLOAT": "DOUBLE",
    "DOUBLE": "DOUBLE",
    "BOOL": "BOOL",
    "STRING": "STRING",
    "UNIX_TIMESTAMP": "UNIX_TIMESTAMP",
}


@dataclass(frozen=True)
class Window:
    """One feature of a windowed view.

    Parameters
    ----------
    name
        The feature.
    function
        ``count``, ``sum``, ``mean``, ``share`` (the mean of a boolean), ``min``, ``max``,
        ``var_samp``, ``var_pop``, ``std_samp``, ``std_pop`` (``var`` and ``std`` are those of a
        sample), ``first``, ``last``, ``seconds_since_first``, ``seconds_since_last``,
        ``count_distinct``, ``most_frequent``.
    column
        The column of the events. ``count`` and the seconds do without: then of all events.
    over
        How long the window is, ``"30d"`` or a `timedelta`; ``None`` is for all events so far.
    where
        Conditions ``(column, op, value)`` that an event must meet for its value to count. An op is
        one of ``== != < <= > >= in is_null is_not_null``; the last two have no value.
    description, unit
        For whoever reads the catalog.

    Examples
    --------
    >>> Window("dollars_30d", "sum", "amount", over="30d", where=[("status", "==", "paid")]).over
    '30d'
    """

    name: str
    function: str
    column: str | None = None
    over: str | timedelta | None = None
    where: Sequence[tuple[Any, ...]] = ()
    description: str = ""
    unit: str | None = None


def windowed_view(
    *,
    name: str,
    source: DataSource,
    entities: Sequence[Entity],
    windows: Sequence[Window | Aggregation],
    columns: Mapping[str, FeastType] | None = None,
    event_id: str | None = None,
    hop: str | timedelta | None = None,
    max_events: int = 4096,
    ttl: timedelta | None = None,
    **others: Any,
) -> FeatureView:
    """Return a Feast view of windows over a table of events.

    The value of a feature at a time ``t`` is that of the events with event time in
    ``(t - over, t]`` that were known at ``t``, in training and in serving alike.

    Parameters
    ----------
    name, entities
        The view, and whose events they are; an entity has its ``value_type``.
    source
        A ``FileSource`` of events, perhaps behind a ``PushSource``: the join keys, the event's
        timestamp, and when it was known as ``created_timestamp_column``.
    windows, columns
        The features, each a `Window` or Feast's own ``Aggregation``; and the types of the events'
        columns that they name.
    event_id
        The one of `columns` that tells events apart. Of several rows with the same id, the one
        created last stands from then on. Without it each row is an event.
    hop
        Moves the start of each window back to a multiple of it.
    max_events, ttl
        How many events of an entity are held online at most; how old the newest may be.
    others
        Whatever a Feast ``FeatureView`` takes.

    Raises
    ------
    PlanError
        If a window cannot be computed; the message names view and window.
    """
    from feast import FeatureView

    types = _column_types(name, columns or {}, event_id)
    declared = [one if isinstance(one, Window) else _of_aggregation(one) for one in windows]
    options = {"event_id": event_id, "hop_us": _span_us(name, hop), "max_events": max_events}
    plan = _make_plan(name, declared, types, options)
    view = FeatureView(
        name=name,
        source=source,
        entities=list(entities),
        schema=_make_fields(entities, declared, plan),
        ttl=ttl,
        tags={**others.pop("tags", {}), WINDOWS_TAG: plan.model_dump_json(exclude_defaults=True)},
        **others,
    )
    _hide_state(view)
    return view


def _hide_state(view: FeatureView) -> None:
    """Take the state out of what a feature service copies: nobody asks for it by name.

    Feast's client refuses a service with a feature of one name in two views.
    """
    projection = view.projection
    projection.features = [one for one in projection.features if one.name != STATE]


def _make_fields(
    entities: Sequence[Entity], windows: Sequence[Window], plan: WindowPlan
) -> list[Field]:
    from feast import Field
    from feast.types import Bytes, from_value_type

    keys = [Field(name=one.join_key, dtype=from_value_type(one.value_type)) for one in entities]
    fields = [
        Field(
            name=window.name,
            dtype=feast_type(feature.type),
            description=window.description,
            tags=_tags(window),
        )
        for window, feature in zip(windows, plan.features, strict=True)
    ]
    state = Field(name=STATE, dtype=Bytes, description="The events behind the other features.")
    return [*keys, *fields, state]


def window_plan_of(view: Any) -> WindowPlan | None:
    """Return the plan of a Feast view, ``None`` for a view whose features stand in its table.

    Raises
    ------
    PlanError
        If its tag is not what `windowed_view` writes.
    """
    text = view.tags.get(WINDOWS_TAG)
    if text is None:
        return None
    try:
        return WindowPlan.model_validate_json(text)
    except ValidationError as error:
        raise PlanError(
            f"Got view {view.name!r} with a tag {WINDOWS_TAG!r} that is not of this release "
            f"({error.error_count()} errors), but expected what `windowed_view` writes; run "
            "`zeroskew apply`"
        ) from error


def _make_plan(
    view: str,
    windows: Sequence[Window],
    types: Mapping[str, str],
    options: Mapping[str, Any],
) -> WindowPlan:
    inputs: list[EventInput] = []
    features: list[dict[str, Any]] = []
    try:
        for window in windows:
            one = _make_input(view, window, types)
            if one not in inputs:
                inputs.append(one)
            features.append(_make_feature(view, window, one, inputs.index(one)))
        return WindowPlan(
            columns=types,
            inputs=tuple(inputs),
            features=tuple(WindowFeature.model_validate(one) for one in features),
            **options,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PlanError(f"View {view!r}: {first['msg'].removeprefix('Value error, ')}") from error


def _make_input(view: str, window: Window, types: Mapping[str, str]) -> EventInput:
    conditions = tuple(_make_condition(view, window, one, types) for one in window.where)
    if window.column is None:
        return EventInput(column=None, type="BOOL", where=conditions)
    return EventInput.model_validate(
        {
            "column": window.column,
            "type": _type_of(view, window, window.column, types),
            "where": conditions,
        }
    )


def _make_feature(view: str, window: Window, given: EventInput, place: int) -> dict[str, Any]:
    function = _ALIASES.get(window.function, window.function)
    known = [one.value for one in WindowFunction]
    if function not in known:
        raise _refuse(view, window, f"function {window.function!r}", f"one of {join_names(known)}")
    if given.column is None and function not in _OF_EVENTS:
        raise _refuse(view, window, f"no column for {function!r}", "one")
    takes = {
        **dict.fromkeys(_OF_NUMBERS, ("INT64", "DOUBLE", "BOOL")),
        **dict.fromkeys(_OF_ORDER, ("INT64", "DOUBLE", "BOOL", "UNIX_TIMESTAMP", "STRING")),
        "share": ("BOOL",),
    }.get(function)
    if takes is not None and given.type not in takes:
        raise _refuse(
            view, window, f"{function!r} of a column of type {given.type}", " or ".join(takes)
        )
    if function in _COUNTS or (function == "sum" and given.type != "DOUBLE"):
        kind = "INT64"
    elif function in ("min", "max", "first", "last", "most_frequent"):
        kind = given.type
    else:
        kind = "DOUBLE"
    return {
        "name": window.name,
        "function": function,
        "input": place,
        "window_us": _span_us(view, window.over),
        "type": kind,
    }


def _make_condition(
    view: str, window: Window, given: Sequence[Any], types: Mapping[str, str]
) -> EventCondition:
    if not 2 <= len(given) <= 3:
        raise _refuse(view, window, f"condition {given!r}", "(column, op, value)")
    column, op, *rest = given
    if op == "in" and not (rest and isinstance(rest[0], list | tuple | set) and rest[0]):
        raise _refuse(view, window, f"{given!r}", "a list of values behind 'in'")
    kind = _type_of(view, window, column, types)
    value = tuple(rest[0]) if op == "in" and rest else (rest[0] if rest else None)
    expected = {"INT64": (int,), "DOUBLE": (int, float), "BOOL": (bool,), "STRING": (str,)}
    for one in value if isinstance(value, tuple) else (value,):
        if one is not None and (type(one) not in expected.get(kind, ()) or one != one):
            raise _refuse(view, window, f"{one!r} for column {column!r}", f"a value of type {kind}")
    return EventCondition.model_validate({"column": column, "op": op, "value": value})


def _type_of(view: str, window: Window, column: str, types: Mapping[str, str]) -> str:
    if column not in types:
        raise _refuse(
            view, window, f"column {column!r}", f"one of columns={{...}}: {join_names(types)}"
        )
    return types[column]


def _refuse(view: str, window: Window, got: str, expected: str) -> PlanError:
    return PlanError(f"View {view!r}, window {window.name!r}: Got {got}, but expected {expected}")


def _column_types(view: str, columns: Mapping[str, Any], event_id: str | None) -> dict[str, str]:
    types = {}
    for column, dtype in columns.items():
        kind = dtype.to_value_type().name
        if kind not in _TYPES:
            raise PlanError(
                f"View {view!r}: Got column {column!r} of type {kind}, but expected one of "
                f"{join_names(_TYPES)}"
            )
        types[column] = _TYPES[kind]
    if event_id is not None and types.get(event_id) not in ("INT64", "STRING"):
        raise PlanError(
            f"View {view!r}: Got event_id {event_id!r} of type {types.get(event_id)}, but expected "
            "a column of columns={...} that is Int64 or String"
        )
    return types


def _of_aggregation(one: Aggregation) -> Window:
    name = one.resolved_name(one.time_window)
    return Window(name, one.function, one.column or None, over=one.time_window)


def _span_us(view: str, span: str | timedelta | None) -> int | None:
    """Return a span in microseconds.

    >>> _span_us("", "30d"), _span_us("", timedelta(seconds=1)), _span_us("", None)
    (2592000000000, 1000000, None)
    """
    if isinstance(span, timedelta):
        return span // _MICROSECOND
    if span is None:
        return None
    if not isinstance(span, str):
        raise PlanError(
            f"View {view!r}: Got a span of {span!r}, but expected text such as 30d, or a timedelta"
        )
    if (found := _SPAN.fullmatch(span)) is None:
        raise PlanError(
            f"View {view!r}: Got a span of {span!r}, but expected a number and one of "
            f"{join_names(_UNITS)}, such as 30d"
        )
    return int(found[1]) * (_UNITS[found[2]] // _MICROSECOND)


def feast_type(kind: str) -> FeastType:
    """Return Feast's type of a column of events, or of a feature."""
    from feast.types import Bool, Float64, Int64, String, UnixTimestamp

    return {
        "INT64": Int64,
        "DOUBLE": Float64,
        "BOOL": Bool,
        "STRING": String,
        "UNIX_TIMESTAMP": UnixTimestamp,
    }[kind]


def _tags(window: Window) -> dict[str, str]:
    tags = {"function": window.function, "unit": window.unit, "column": window.column}
    if window.over is not None:
        tags["window"] = str(window.over)
    return {name: value for name, value in tags.items() if value is not None}
