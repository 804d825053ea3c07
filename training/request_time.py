"""Request-time features: functions written once against the Array API.

Feast's on-demand view calls such a function with numpy arrays; the exporter traces the same
function into the graph (`training.trace_request_time`). A function takes one float64 array
for each of its inputs, by keyword, and returns a mapping of float64 arrays of the same shape:

    def local_departure_time(scheduled_departure):
        xp = scheduled_departure.__array_namespace__()
        return {"utc_hour": xp.floor(xp.remainder(scheduled_departure, 86400.0) / 3600.0)}
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from feast import Field, OnDemandFeatureView, RequestSource
from feast.transformation.udf_rehydrate import rehydrate_udf_from_source
from feast.types import Bool, Float32, Float64, Int32, Int64, UnixTimestamp

from training.errors import TrainingError

__all__ = [
    "RequestFunction",
    "RequestFunctionError",
    "compute_request_features",
    "request_function_of",
    "request_time_view",
]

FloatArray = npt.NDArray[np.float64]
ArrayFunction = Callable[..., Mapping[str, Any]]

_INPUT_TYPES: Final = (Bool, Int32, Int64, Float32, Float64, UnixTimestamp)
_UDF_NAME: Final = "request_time_features"


class RequestFunctionError(TrainingError):
    """A request-time function, or a view said to be made of one, breaks its contract."""


@dataclass(frozen=True)
class RequestFunction:
    """A request-time function and the names it is known by.

    Parameters
    ----------
    name : str
        Name of the on-demand view.
    input_names : tuple of str
        Keyword arguments of `function`: request fields.
    output_names : tuple of str
        Keys of what `function` returns, in the order of the view's schema.
    function : callable
        The function itself, written against the Array API.
    """

    name: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    function: ArrayFunction

    def evaluate(self, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Call the function with numpy arrays and check what it returns.

        Parameters
        ----------
        inputs : mapping of str to numpy.ndarray
            One float64 array ``(n_rows,)`` for each of `input_names`; NaN is null. Keys
            beyond those are ignored. Empty arrays are allowed.

        Returns
        -------
        dict of str to numpy.ndarray
            One float64 array ``(n_rows,)`` for each of `output_names`, in that order.

        Raises
        ------
        RequestFunctionError
            If the function raises, or returns other names, types or shapes.
        """
        arguments = {name: inputs[name] for name in self.input_names}
        try:
            with np.errstate(all="ignore"):
                outputs = self.function(**arguments)
        except RequestFunctionError:
            raise
        except Exception as error:
            raise RequestFunctionError(
                f"Got {type(error).__name__} ({error}) from request-time function {self.name!r}, "
                "but expected array operations without branches on values."
            ) from error
        self.check_output_names(outputs)
        shape = arguments[self.input_names[0]].shape
        return {name: self._checked(name, outputs[name], shape) for name in self.output_names}

    def select(self, output_names: Sequence[str]) -> RequestFunction:
        """Return the function that gives only `output_names`, in that order.

        Raises
        ------
        RequestFunctionError
            If one of them is not among `output_names` of this one.
        """
        if unknown := sorted(set(output_names) - set(self.output_names)):
            raise RequestFunctionError(
                f"Got outputs {unknown} of request-time function {self.name!r}, "
                f"but expected some of {sorted(self.output_names)}."
            )

        def give_selected(**inputs: Any) -> dict[str, Any]:
            outputs = self.function(**inputs)
            self.check_output_names(outputs)
            return {name: outputs[name] for name in output_names}

        return replace(self, output_names=tuple(output_names), function=give_selected)

    def check_output_names(self, outputs: object) -> None:
        """Raise `RequestFunctionError` unless `outputs` is a mapping of `output_names`."""
        got = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        if got != sorted(self.output_names):
            raise RequestFunctionError(
                f"Got {got} from request-time function {self.name!r}, "
                f"but expected a mapping of {sorted(self.output_names)}."
            )

    def _checked(self, name: str, output: object, shape: tuple[int, ...]) -> FloatArray:
        if isinstance(output, np.ndarray) and output.dtype == np.float64 and output.shape == shape:
            return output
        got = (
            f"{output.dtype} of shape {output.shape}"
            if isinstance(output, np.ndarray)
            else type(output).__name__
        )
        raise RequestFunctionError(
            f"Got {got} for output {name!r} of request-time function {self.name!r}, "
            f"but expected a float64 array of shape {shape}."
        )


def request_time_view(
    *,
    name: str,
    function: ArrayFunction,
    inputs: Sequence[Field],
    outputs: Sequence[Field],
    description: str = "",
) -> OnDemandFeatureView:
    """Make the on-demand feature view that computes `function` from a request.

    The view stores no arithmetic: its source text imports this module and names `function`
    as ``module:function``, so that it runs wherever that module can be imported.

    Parameters
    ----------
    name : str
        Name of the view.
    function : callable
        A function at the top level of a module that can be imported, as the module
        docstring describes.
    inputs : sequence of feast.Field
        The function's arguments: ``Bool``, ``Int32``, ``Int64``, ``Float32``, ``Float64`` or
        ``UnixTimestamp``. Timestamps reach the function as seconds since the Unix epoch,
        cut off below the microsecond; without a time zone they are UTC. Nulls are NaN.
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
        If a field's type is not one of the above, or `function` cannot be imported.
    """
    _check_fields(name, inputs, outputs)
    source = _udf_source(_reference_to(function, name), inputs, outputs)
    return OnDemandFeatureView(
        name=name,
        description=description,
        sources=[RequestSource(name=f"{name}_request", schema=list(inputs))],
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
    if reference is None or text != _udf_source(reference[1], inputs, view.features):
        raise RequestFunctionError(
            f"Got the on-demand feature view {view.name!r}, "
            "but expected one made by request_time_view."
        )
    return RequestFunction(
        name=view.name,
        input_names=tuple(field.name for field in inputs),
        output_names=tuple(field.name for field in view.features),
        function=_import_function(reference[1]),
    )


def compute_request_features(
    frame: pd.DataFrame, *, function: str, inputs: Mapping[str, str], outputs: Sequence[str]
) -> pd.DataFrame:
    """Compute a request-time view's features: what the view's function in Feast calls.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns of the request among others, one row a request. May be empty.
    function : str
        The request-time function as ``module:function``.
    inputs : mapping of str to str
        Name and Feast type of each input.
    outputs : sequence of str
        Names of the features.

    Returns
    -------
    pandas.DataFrame
        One float64 column for each of `outputs`, on a fresh index; NaN is null.

    Raises
    ------
    RequestFunctionError
        If the function breaks its contract.
    """
    arrays = {
        name: _seconds_since_epoch(frame[name])
        if feast_type == str(UnixTimestamp)
        else frame[name].to_numpy(np.float64, na_value=np.nan)
        for name, feast_type in inputs.items()
    }
    request_function = RequestFunction(
        name=function,
        input_names=tuple(inputs),
        output_names=tuple(outputs),
        function=_import_function(function),
    )
    return pd.DataFrame(request_function.evaluate(arrays))


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


def _check_fields(name: str, inputs: Sequence[Field], outputs: Sequence[Field]) -> None:
    if not inputs or not outputs:
        raise RequestFunctionError(
            f"Got {len(inputs)} inputs and {len(outputs)} outputs for request-time view {name!r}, "
            "but expected at least one of each."
        )
    for field in inputs:
        if field.dtype not in _INPUT_TYPES:
            raise RequestFunctionError(
                f"Got type {field.dtype} for input {field.name!r} of request-time view {name!r}, "
                f"but expected one of {', '.join(map(str, _INPUT_TYPES))}."
            )
    for field in outputs:
        if field != Field(name=field.name, dtype=Float64):
            raise RequestFunctionError(
                f"Got type {field.dtype}, description {field.description!r} and tags {field.tags} "
                f"for output {field.name!r} of request-time view {name!r}, "
                "but expected a plain Float64 field."
            )


def _udf_source(reference: str, inputs: Sequence[Field], outputs: Sequence[Field]) -> str:
    types = {field.name: str(field.dtype) for field in inputs}
    names = [field.name for field in outputs]
    return (
        f"def {_UDF_NAME}(frame):\n"
        "    from training.request_time import compute_request_features\n"
        "    return compute_request_features(\n"
        f'        frame, function="{reference}", inputs={types!r}, outputs={names!r}\n'
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
