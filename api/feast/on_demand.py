"""Features that are computed when they are asked for, by graphs of the catalog."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api.feast.column_values import RefusedFields, parse_column, parse_instants
from zeroskew.contract.errors.fields import json_pointer
from zeroskew.contract.errors.service import (
    FeatureCatalogRefusedError,
    FieldError,
    MissingRequestDataError,
    ModelRefusedError,
    OnlineValueError,
)
from zeroskew.contract.feature_catalog import OnDemandInput, OnDemandView
from zeroskew.contract.number_bounds import EXACT_FLOAT
from zeroskew.model.model_session import open_session
from zeroskew.online.values.decode import ValueType

__all__ = ["OnDemandGraph"]

_INPUTS: Final = frozenset(
    {
        ValueType.BOOL,
        ValueType.INT32,
        ValueType.INT64,
        ValueType.FLOAT,
        ValueType.DOUBLE,
        ValueType.UNIX_TIMESTAMP,
    }
)
Floats = NDArray[np.float64]


class OnDemandGraph:
    """An on-demand view whose graph has passed the checks that a model's has to pass.

    Parameters
    ----------
    view
        As the catalog has it.

    Raises
    ------
    FeatureCatalogRefusedError
        If the graph is none that only calculates, or not of these inputs and outputs.
    """

    def __init__(self, view: OnDemandView) -> None:
        self.view = view
        try:
            self._session = open_session(base64.b64decode(view.graph, validate=True))
            self._check()
            self.compute({one.name: np.zeros(2) for one in view.inputs})
        except Exception as error:  # The runtime's exceptions have no common root but this.
            raise self._refused() from error

    @property
    def request_inputs(self) -> tuple[OnDemandInput, ...]:
        """What a request must give."""
        return tuple(one for one in self.view.inputs if one.view is None)

    def parse_request(self, columns: Mapping[str, Sequence[Any]], findings: RefusedFields) -> Any:
        """Return the request's fields, float64 ``(n_rows,)`` by name.

        Raises
        ------
        MissingRequestDataError
            If the request lacks one.
        """
        missing = [one for one in self.request_inputs if one.name not in columns]
        if missing:
            expected = f"a list of values of type {missing[0].type}"
            fields = tuple(
                FieldError(json_pointer("/entities", one.name), "nothing", expected)
                for one in missing
            )
            raise MissingRequestDataError(
                f"{fields[0].message} On-demand view {self.view.name!r} needs it.", fields
            )
        return {one.name: _parse(one, columns[one.name], findings) for one in self.request_inputs}

    def compute(self, inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return the features by name, float64 ``(n_rows,)``; NaN is null.

        Parameters
        ----------
        inputs
            Float64 ``(n_rows,)`` by name, NaN where there is no value.
        """
        names = [feature.output for feature in self.view.features]
        results = self._session.run(names, {one.name: inputs[one.name] for one in self.view.inputs})
        return {
            feature.name: np.asarray(result, np.float64)
            for feature, result in zip(self.view.features, results, strict=True)
        }

    def to_input(self, name: str, values: Sequence[Any]) -> Floats:
        """Return a stored feature's values as the graph takes them; ``None`` is NaN.

        Raises
        ------
        OnlineValueError
            If one is a whole number that float64 does not hold.
        """
        if any(type(value) is int and abs(value) > EXACT_FLOAT for value in values):
            raise OnlineValueError(
                f"Got a stored {name!r} beyond 2^53, from which on-demand view {self.view.name!r} "
                "cannot be computed exactly."
            )
        return np.array(values, np.float64)

    def _check(self) -> None:
        taken = {node.name: node for node in self._session.get_inputs()}
        given = {node.name: node for node in self._session.get_outputs()}
        wanted = {feature.output for feature in self.view.features}
        kinds = {node.type for node in (*taken.values(), *given.values())}
        is_flat = all(len(node.shape) == 1 for node in taken.values())
        if (
            taken.keys() != {one.name for one in self.view.inputs}
            or not given.keys() >= wanted
            or kinds != {"tensor(double)"}
            or not is_flat
            or not all(ValueType[one.type] in _INPUTS for one in self.view.inputs)
        ):
            raise ModelRefusedError(f"Got another graph than {self.view.name!r} says.")

    def _refused(self) -> FeatureCatalogRefusedError:
        return FeatureCatalogRefusedError(
            f"Got a feature catalog whose on-demand view {self.view.name!r} has no graph that can "
            "be used; run `zeroskew apply` of this release."
        )


def _parse(one: OnDemandInput, values: Sequence[Any], findings: RefusedFields) -> Floats:
    pointer = json_pointer("/entities", one.name)
    if one.type == ValueType.UNIX_TIMESTAMP.name and not any(type(v) is int for v in values):
        # The fraction of a second counts, as it does for a model.
        instants = parse_instants(values, pointer, findings)
        return np.array([None if us is None else us / 1e6 for us in instants], np.float64)
    parsed = parse_column(values, ValueType[one.type], pointer, findings)
    for row, value in enumerate(parsed):
        if type(value) is int and abs(value) > EXACT_FLOAT:
            findings.add(json_pointer(pointer, row), str(value), "a number of at most 2^53")
    return np.array(parsed, np.float64)
