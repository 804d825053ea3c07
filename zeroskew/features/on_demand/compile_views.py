"""On-demand views as the catalog has them: what each takes, and the graph that computes it."""

from __future__ import annotations

import base64
from collections.abc import Container
from typing import Any, Final

from zeroskew.contract.errors.project import PlanError
from zeroskew.contract.feature_catalog import OnDemandFeature, OnDemandInput, OnDemandView
from zeroskew.features.on_demand.trace_pandas import trace_pandas_view
from zeroskew.features.request_function import RequestFunctionError
from zeroskew.features.request_time import request_function_of
from zeroskew.features.trace_request_time import trace_request_function

__all__ = ["compile_on_demand_view"]

_NUMBERS: Final = ("BOOL", "INT32", "INT64", "FLOAT", "DOUBLE")
_OUTPUT_TYPES: Final = ("DOUBLE", "FLOAT", "INT32", "INT64")
_ADVICE: Final = "make it with `request_time_view`, or ask Feast's own server for it"


def compile_on_demand_view(view: Any, stored: Container[str]) -> OnDemandView:
    """Compile a view whose function is one of `request_time_view`, or only calculates.

    Parameters
    ----------
    view
        Feast's ``OnDemandFeatureView`` as registered.
    stored
        The names of the views that the service reads.

    Raises
    ------
    PlanError
        If its features cannot be computed without running its code; the message says why.
    """
    if view.write_to_online_store:
        raise PlanError("Feast computes it when rows are written, and the service does not")
    inputs = _inputs_of(view)
    for one in inputs:
        if one.view is not None and one.view not in stored:
            raise PlanError(f"it reads view {one.view!r}, which cannot be served")
    try:
        function = request_function_of(view)
    except RequestFunctionError:
        function = None
    try:
        if function is not None:
            outputs = function.output_names
            content = trace_request_function(function).SerializeToString()
        else:
            _check_traceable(view)
            numbers = {one.name: one.type for one in inputs if one.type in _NUMBERS}
            outputs = tuple(f"output_{feature.name}" for feature in view.features)
            content, read = trace_pandas_view(view, numbers)
            inputs = tuple(one for one in inputs if one.name in read)
    except RequestFunctionError as error:
        raise PlanError(
            f"it is computed on demand by code, which the service does not run, and {error}; "
            f"{_ADVICE}"
        ) from error
    return OnDemandView(
        name=view.name,
        inputs=inputs,
        features=tuple(
            OnDemandFeature(
                name=feature.name, type=feature.dtype.to_value_type().name, output=output
            )
            for feature, output in zip(view.features, outputs, strict=True)
        ),
        graph=base64.b64encode(content).decode(),
    )


def _inputs_of(view: Any) -> tuple[OnDemandInput, ...]:
    """Return the request's fields and the stored features that a view takes.

    Raises
    ------
    PlanError
        If two have one name, or a source has another name there than by itself.
    """
    request = [
        OnDemandInput(name=field.name, type=field.dtype.to_value_type().name)
        for source in view.source_request_sources.values()
        for field in source.schema
    ]
    stored = []
    for projection in view.source_feature_view_projections.values():
        if projection.name_to_use() != projection.name or projection.join_key_map:
            raise PlanError(f"it reads view {projection.name!r} under another name or key")
        stored += [
            OnDemandInput(
                name=feature.name, type=feature.dtype.to_value_type().name, view=projection.name
            )
            for feature in projection.features
        ]
    names = [one.name for one in (*request, *stored)]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise PlanError(f"it takes two inputs named {repeated[0]!r}")
    return (*request, *stored)


def _check_traceable(view: Any) -> None:
    """Refuse what is not a function of numbers to numbers before it is run."""
    if view.mode != "pandas":
        raise RequestFunctionError(f"its mode is {view.mode!r} and not 'pandas'")
    for feature in view.features:
        kind = feature.dtype.to_value_type().name
        if kind not in _OUTPUT_TYPES:
            raise RequestFunctionError(f"it gives {feature.name!r} of type {kind}")
