"""Request-time features: functions written once against the Array API.

Feast's on-demand view calls such a function with numpy arrays; the exporter traces the same
function into the graph (`zeroskew.features.trace_request_time`). A function takes one float64 array
for each of its inputs, by keyword, and returns a mapping of float64 arrays of the same shape:

    def local_departure_time(scheduled_departure):
        xp = scheduled_departure.__array_namespace__()
        return {"utc_hour": xp.floor(xp.remainder(scheduled_departure, 86400.0) / 3600.0)}

Arguments are fields of the request and features of stored views. A feature goes by its own
name, as it was known at the row's time: null, and what its view's ttl has made null, is NaN.

An input named ``as_of`` is the moment of the prediction, so that "days since" needs no field of
the caller's: in training the label row's ``event_timestamp``, in serving the answer's ``as_of``:

    def days_since_order(as_of, last_ordered_at):
        return {"days_since_order": (as_of - last_ordered_at) / 86400.0}

``Field(name="as_of", dtype=UnixTimestamp)`` is given by training and the service themselves; who
asks Feast's SDK gives it. The SDK cuts timestamps of a request off below the second where it is
asked online, which training and the service do not; those of stored features are cut off so
everywhere, because Feast's online stores keep no more.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import pandas as pd
from feast import FeatureView, Field, OnDemandFeatureView, RequestSource
from feast.feature_view_projection import FeatureViewProjection
from feast.transformation.udf_rehydrate import rehydrate_udf_from_source
from feast.types import Bool, Float32, Float64, Int32, Int64, UnixTimestamp

from zeroskew.contract.manifest import AS_OF
from zeroskew.features.request_function import (
    ArrayFunction,
    FloatArray,
    RequestFunction,
    RequestFunctionError,
    StoredInput,
)

__all__ = ["compute_request_features", "request_function_of", "request_time_view"]

_INPUT_TYPES: Final = (Bool, Int32, Int64, Float32, Float64, UnixTimestamp)
_UDF_NAME: Final = "request_time_features"


def request_time_view(
    *,
    name: str,
    function: ArrayFunction,
    inputs: Sequence[Field] = (),
    sources: Sequence[FeatureView | FeatureViewProjection] = (),
    outputs: Sequence[Field],
    description: str = "",
) -> OnDemandFeatureView:
    """Make the on-demand feature view that computes `function` from a request and features.

    The view stores no arithmetic: its source text imports this module and names `function`
    as ``module:function``, so that it runs wherever that module can be imported.

    Parameters
    ----------
    name : str
        Name of the view.
    function : callable
        A function at the top level of a module that can be imported, as the module
        docstring describes.
    inputs : sequence of feast.Field, optional
        The arguments that a request gives: ``Bool``, ``Int32``, ``Int64``, ``Float32``,
        ``Float64`` or ``UnixTimestamp``. Timestamps reach the function as seconds since the
        Unix epoch, cut off below the microsecond; without a zone they are UTC. Nulls are NaN.
    sources : sequence of feast.FeatureView or FeatureViewProjection, optional
        Views, or selections such as ``view[["feature"]]``, all of whose features are arguments
        by their own names, of the same types. Each view once, under its own name and keys: of
        two projections of a view Feast keeps the last, and looks for an aliased one in vain.
    outputs : sequence of feast.Field
        What the function returns, all ``Float64``. Without description and tags, because
        Feast's inference takes a field that has them for another one.
    description : str, optional
        Description of the view.

    Returns
    -------
    feast.OnDemandFeatureView
        A view in pandas mode whose function survives Feast's registry.

    Raises
    ------
    RequestFunctionError
        If a field's type is not one of the above, two arguments share a name, a source is
        none that Feast reads rightly, or `function` cannot be imported.
    """
    projections = [_projection_of(name, source) for source in sources]
    _check_sources(name, projections)
    _check_fields(name, inputs, projections, outputs)
    source = _udf_source(_reference_to(function, name), inputs, projections, outputs)
    request = [RequestSource(name=f"{name}_request", schema=list(inputs))] if inputs else []
    return OnDemandFeatureView(
        name=name,
        description=description,
        sources=[*request, *projections],
        schema=list(outputs),
        mode="pandas",
        udf=rehydrate_udf_from_source(source, preferred_name=_UDF_NAME),
        udf_string=source,
    )


def request_function_of(view: OnDemandFeatureView) -> RequestFunction:
    """Return the function that `request_time_view` made `view` from.

    Parameters
    ----------
    view : feast.OnDemandFeatureView
        A view as defined, or as read from a registry.

    Returns
    -------
    RequestFunction
        The imported function under the view's name.

    Raises
    ------
    RequestFunctionError
        If the view was made in another way: its arithmetic cannot be traced.
    """
    text = getattr(view.feature_transformation, "udf_string", "") or ""
    reference = re.search(r'function="([\w.]+:\w+)"', text)
    inputs = [field for source in view.source_request_sources.values() for field in source.schema]
    projections = list(view.source_feature_view_projections.values())
    if reference is None or text != _udf_source(reference[1], inputs, projections, view.features):
        raise RequestFunctionError(
            f"Got the on-demand feature view {view.name!r}, "
            "but expected one made by request_time_view; if it is, an older release registered it: "
            "run `zeroskew apply`"
        )
    stored = _stored_inputs(projections)
    return RequestFunction(
        name=view.name,
        input_names=(*(field.name for field in inputs), *(one.feature for one in stored)),
        output_names=tuple(field.name for field in view.features),
        function=_import_function(reference[1]),
        stored_inputs=stored,
    )


def compute_request_features(
    frame: pd.DataFrame,
    *,
    function: str,
    inputs: Mapping[str, str],
    outputs: Sequence[str],
    stored: Sequence[tuple[str, str, str]] = (),
) -> pd.DataFrame:
    """Compute a request-time view's features: what the view's function in Feast calls.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns of the request and ``view__feature`` ones among others, one row a request.
        May be empty.
    function : str
        The request-time function as ``module:function``.
    inputs : mapping of str to str
        Name and Feast type of each input.
    outputs : sequence of str
        Names of the features.
    stored : sequence of tuple, optional
        View, feature and Feast type of each input that is a stored feature.

    Returns
    -------
    pandas.DataFrame
        One float64 column for each of `outputs`, on a fresh index; NaN is null.

    Raises
    ------
    RequestFunctionError
        If the function breaks its contract.
    """
    arrays = {name: _as_float64(frame[name], kind) for name, kind in inputs.items()}
    stored_inputs = tuple(StoredInput(*one) for one in stored)
    for one in stored_inputs:
        values = _as_float64(frame[one.column], one.type)
        is_instant = one.type == str(UnixTimestamp)
        arrays[one.feature] = np.floor(values) if is_instant else values
    request_function = RequestFunction(
        name=function,
        input_names=tuple(arrays),
        output_names=tuple(outputs),
        function=_import_function(function),
        stored_inputs=stored_inputs,
    )
    return pd.DataFrame(request_function.evaluate(arrays))


def _as_float64(column: pd.Series[Any], feast_type: str) -> FloatArray:
    if feast_type == str(UnixTimestamp):
        return _seconds_since_epoch(column)
    return column.to_numpy(np.float64, na_value=np.nan)


def _seconds_since_epoch(column: pd.Series[Any]) -> FloatArray:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(np.float64, na_value=np.nan)
    instants = (
        pd.to_datetime(column, utc=True, format="ISO8601")
        .dt.tz_localize(None)
        .to_numpy("datetime64[us]")
    )
    seconds = instants.astype(np.int64).astype(np.float64) / 1e6
    seconds[np.isnat(instants)] = np.nan
    return seconds


def _projection_of(name: str, source: FeatureView | FeatureViewProjection) -> FeatureViewProjection:
    if isinstance(source, FeatureViewProjection):
        return source
    if isinstance(source, FeatureView):
        return source.projection
    raise RequestFunctionError(
        f"Got {type(source).__name__} as source of request-time view {name!r}, "
        "but expected a feature view or a projection of one."
    )


def _check_sources(name: str, projections: Sequence[FeatureViewProjection]) -> None:
    of = f"of request-time view {name!r}"
    for projection in projections:
        if projection.name_to_use() != projection.name or projection.join_key_map:
            raise RequestFunctionError(
                f"Got view {projection.name!r} under another name, key or version as source {of}, "
                "but expected it as it is: Feast reads no others there. Define a view of its own."
            )
        if not projection.features:
            raise RequestFunctionError(
                f"Got no features in source {projection.name!r} {of}, "
                "but expected a view that declares them in its schema."
            )
    if repeated := _repeated([projection.name for projection in projections]):
        raise RequestFunctionError(
            f"Got views {repeated} more than once as sources {of}, but expected each once: "
            "Feast keeps the last. Select all of a view's features together."
        )


def _check_fields(
    name: str,
    inputs: Sequence[Field],
    projections: Sequence[FeatureViewProjection],
    outputs: Sequence[Field],
) -> None:
    arguments = [*inputs, *chain.from_iterable(one.features for one in projections)]
    if not arguments or not outputs:
        raise RequestFunctionError(
            f"Got {len(arguments)} inputs and {len(outputs)} outputs for request-time view "
            f"{name!r}, but expected at least one of each."
        )
    if repeated := _repeated([field.name for field in (*arguments, *outputs)]):
        raise RequestFunctionError(
            f"Got inputs or outputs {repeated} of request-time view {name!r} more than once, "
            "but expected distinct names: Feast mixes up those that are the same."
        )
    for field in arguments:
        if field.dtype not in _INPUT_TYPES:
            raise RequestFunctionError(
                f"Got type {field.dtype} for input {field.name!r} of request-time view {name!r}, "
                f"but expected one of {', '.join(map(str, _INPUT_TYPES))}; of a view's features "
                'select those that the function takes: sources=[view[["feature"]]].'
            )
    if AS_OF in [field.name for field in (*arguments[len(inputs) :], *outputs)] or any(
        field.name == AS_OF and field.dtype != UnixTimestamp for field in inputs
    ):
        raise RequestFunctionError(
            f"Got a feature, an output or an input of another type named {AS_OF!r} of request-time "
            f"view {name!r}, but expected it as an input of type UnixTimestamp alone: it is the "
            "moment of the prediction."
        )
    for field in outputs:
        if field != Field(name=field.name, dtype=Float64):
            raise RequestFunctionError(
                f"Got type {field.dtype}, description {field.description!r} and tags {field.tags} "
                f"for output {field.name!r} of request-time view {name!r}, "
                "but expected a plain Float64 field."
            )


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _stored_inputs(projections: Sequence[FeatureViewProjection]) -> tuple[StoredInput, ...]:
    """Return the features of all sources, in one order whatever order they are declared in."""
    return tuple(
        StoredInput(projection.name, field.name, str(field.dtype))
        for projection in sorted(projections, key=lambda one: one.name)
        for field in sorted(projection.features, key=lambda one: one.name)
    )


def _udf_source(
    reference: str,
    inputs: Sequence[Field],
    projections: Sequence[FeatureViewProjection],
    outputs: Sequence[Field],
) -> str:
    types = {field.name: str(field.dtype) for field in inputs}
    names = [field.name for field in outputs]
    stored = [tuple(one) for one in _stored_inputs(projections)]
    more = f", stored={stored!r}" if stored else ""
    return (
        f"def {_UDF_NAME}(frame):\n"
        "    from zeroskew.features.request_time import compute_request_features\n"
        "    return compute_request_features(\n"
        f'        frame, function="{reference}", inputs={types!r}, outputs={names!r}{more}\n'
        "    )\n"
    )


def _reference_to(function: ArrayFunction, view_name: str) -> str:
    module, qualified_name = function.__module__, function.__qualname__
    if module == "__main__" or not qualified_name.isidentifier():
        raise RequestFunctionError(
            f"Got {module}:{qualified_name} as function of request-time view {view_name!r}, "
            "but expected a function at the top level of a module that can be imported."
        )
    return f"{module}:{qualified_name}"


def _import_function(reference: str) -> ArrayFunction:
    module, name = reference.split(":")
    function: ArrayFunction = getattr(importlib.import_module(module), name)
    return function
