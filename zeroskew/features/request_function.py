"""A request-time function with the names of what it takes and gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zeroskew.contract.errors.project import TrainingError

__all__ = ["ArrayFunction", "FloatArray", "RequestFunction", "RequestFunctionError", "StoredInput"]

FloatArray = npt.NDArray[np.float64]
ArrayFunction = Callable[..., Mapping[str, Any]]


class RequestFunctionError(TrainingError):
    """A request-time function, or a view said to be made of one, breaks its contract."""


class StoredInput(NamedTuple):
    """An argument of a request-time function that is a feature of a stored view."""

    view: str
    feature: str
    type: str

    @property
    def column(self) -> str:
        """The feature's full name in Feast's tables."""
        return f"{self.view}__{self.feature}"


@dataclass(frozen=True)
class RequestFunction:
    """A request-time function and the names it is known by.

    Parameters
    ----------
    name : str
        Name of the on-demand view.
    input_names : tuple of str
        Keyword arguments of `function`: request fields, then stored features.
    output_names : tuple of str
        Keys of what `function` returns, in the order of the view's schema.
    function : callable
        The function itself, written against the Array API.
    stored_inputs : tuple of StoredInput, optional
        Where the last of `input_names` come from, in their order.
    """

    name: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    function: ArrayFunction
    stored_inputs: tuple[StoredInput, ...] = ()

    def __post_init__(self) -> None:
        """Check that the function takes its inputs.

        Raises
        ------
        RequestFunctionError
            If it takes others.
        """
        try:
            inspect.signature(self.function).bind(**dict.fromkeys(self.input_names))
        except (TypeError, ValueError) as error:  # The latter of what has no signature.
            raise RequestFunctionError(
                f"Got request-time function {self.name!r} that does not take its view's inputs "
                f"({error}), but expected one with the arguments {list(self.input_names)}: what it "
                "takes, and no more, stands in its view's `inputs` and `sources`."
            ) from error

    @property
    def request_names(self) -> tuple[str, ...]:
        """Those of `input_names` that are request fields."""
        return self.input_names[: len(self.input_names) - len(self.stored_inputs)]

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
