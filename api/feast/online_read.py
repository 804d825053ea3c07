"""A list of features, turned into what the online store is asked and what the answer has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.feast.entity_columns import EntityColumns
from api.feast.on_demand import OnDemandGraph
from zeroskew.contract.errors.service import FieldError, InvalidRequestError
from zeroskew.contract.feature_catalog import CatalogView, OnDemandFeature
from zeroskew.contract.manifest import JoinKey, OnlineFeature
from zeroskew.online.reader import EntityLookup, ReadLayout, StoredFeatures, StoredView
from zeroskew.online.values.decode import ValueType
from zeroskew.online.values.nested_values import FeatureType, find_type
from zeroskew.online.windows.windowed_layout import WindowedLayout

__all__ = [
    "AnsweredFeature",
    "AskedComputation",
    "AskedFeature",
    "OnlineRead",
    "store_view",
    "value_kind",
]

FOREVER_US: Final = 2**62
"""A time to live that no event outlives; the event time of a missing cell stays below it."""


class AskedFeature(NamedTuple):
    """A feature that a request asks for, and where the request does."""

    view: CatalogView
    feature: OnlineFeature
    pointer: str


class AskedComputation(NamedTuple):
    """A feature of an on-demand view that a request asks for, and the view's name there."""

    graph: OnDemandGraph
    name: str
    feature: OnDemandFeature
    pointer: str


@dataclass(frozen=True, slots=True)
class AnsweredFeature:
    """A column of the answer: the position of its cells in a row, or the graph that gives it."""

    name: str
    full_name: str
    kind: FeatureType
    position: int
    graph: OnDemandGraph | None = None


@dataclass(frozen=True, slots=True)
class GraphInput:
    """A stored feature that a graph takes."""

    name: str
    kind: FeatureType
    position: int


class OnlineRead:
    """What one list of features reads and computes, compiled once.

    Parameters
    ----------
    project
        Feast's project.
    asked
        The features in the order of the answer.
    stored_inputs
        Those that the asked graphs take, whether they are asked for or not.

    Raises
    ------
    InvalidRequestError
        If there are none, or one is of a type that the service does not read.
    """

    def __init__(
        self,
        project: str,
        asked: Sequence[AskedFeature | AskedComputation],
        stored_inputs: Sequence[AskedFeature] = (),
    ) -> None:
        if not asked:
            raise InvalidRequestError(
                "Got no features, but expected features or a feature_service that has some."
            )
        self.versions = {
            one.view.name: one.view.version for one in asked if isinstance(one, AskedFeature)
        }
        """Feast's number of each view, by the name that the view has here."""
        stored = [*stored_inputs, *(one for one in asked if isinstance(one, AskedFeature))]
        views = _group_by_view(list({_reference(one): one for one in stored}.values()))
        by_keys: dict[tuple[JoinKey, ...], list[str]] = {}
        for name, features in views.items():
            by_keys.setdefault(features[0].view.join_keys, []).append(name)
        self.lookup_keys = tuple(by_keys)
        """The join keys of each of the layout's lookups."""
        self.key_fields = frozenset(key.field for keys in by_keys for key in keys)
        """What the entities of a request must have."""
        layout = ReadLayout(
            project,
            tuple(
                EntityLookup(tuple(store_view(*_projection(views[name])) for name in names))
                for names in by_keys.values()
            ),
        )
        self._windowed = WindowedLayout.of(layout)
        self.layout = layout if self._windowed is None else self._windowed.stored
        in_order = [one for names in by_keys.values() for name in names for one in views[name]]
        self.ttl_us: NDArray[np.int64] = np.array(
            [min(one.view.ttl_us or FOREVER_US, FOREVER_US) for one in in_order], np.int64
        )
        """The time to live of each cell of a row, int64 ``(n_features,)``."""
        places = {_reference(one): place for place, one in enumerate(in_order)}
        self.features = tuple(_answer(one, places) for one in asked)
        """The columns of the answer, behind those of the join keys."""
        self.graphs = tuple({id(f.graph): f.graph for f in self.features if f.graph}.values())
        """What computes those of them that are not stored."""
        self.graph_inputs = {
            _reference(one): GraphInput(
                one.feature.name,
                value_kind(one.view, one.feature, one.pointer),
                places[_reference(one)],
            )
            for one in stored_inputs
        }
        """The stored features that graphs take, by view and feature."""
        self.request_fields = frozenset(
            one.name for graph in self.graphs for one in graph.request_inputs
        )
        """What the entities of a request must have beside keys."""
        self.repeated_name = _find_repeated([one.name for one in self.features])
        """A name that two features have, unless they are told apart by their views."""

    def serialize_keys(self, entities: EntityColumns) -> list[list[bytes | None]]:
        """Return for each lookup the serialised entity key of each row."""
        return [entities.serialize_keys(keys) for keys in self.lookup_keys]

    def at(self, stored: StoredFeatures, now_us: int) -> StoredFeatures:
        """Return what was read for `layout` as it is at a moment: a cell for each feature."""
        return stored if self._windowed is None else self._windowed.at(stored, now_us)


def store_view(view: CatalogView, features: Sequence[OnlineFeature]) -> StoredView:
    """Return some features of a view as the stores know them."""
    return StoredView(
        name=view.name,
        table=view.table,
        features=tuple(feature.name for feature in features),
        windows=view.windows,
    )


def value_kind(view: CatalogView, feature: OnlineFeature, pointer: str) -> FeatureType:
    """Return the type of a feature.

    Raises
    ------
    InvalidRequestError
        If it is none that the service reads and writes.
    """
    kind = find_type(feature.type)
    if kind is None:
        got = f"feature {view.name}:{feature.name} of type {feature.type}"
        field = FieldError(pointer, got, "a single value, a list, a map or a struct")
        raise InvalidRequestError(field.message, (field,))
    return kind


def _group_by_view(asked: Sequence[AskedFeature]) -> dict[str, list[AskedFeature]]:
    views: dict[str, list[AskedFeature]] = {}
    for one in asked:
        views.setdefault(one.view.name, []).append(one)
    return views


def _projection(asked: Sequence[AskedFeature]) -> tuple[CatalogView, list[OnlineFeature]]:
    return asked[0].view, [one.feature for one in asked]


def _reference(asked: AskedFeature) -> tuple[str, str]:
    return asked.view.name, asked.feature.name


def _answer(
    asked: AskedFeature | AskedComputation, places: Mapping[tuple[str, str], int]
) -> AnsweredFeature:
    if isinstance(asked, AskedComputation):
        name = asked.feature.name
        kind = ValueType[asked.feature.type]
        return AnsweredFeature(name, f"{asked.name}__{name}", kind, -1, asked.graph)
    view, feature, pointer = asked
    return AnsweredFeature(
        name=feature.name,
        full_name=f"{view.name}__{feature.name}",
        kind=value_kind(view, feature, pointer),
        position=places[_reference(asked)],
    )


def _find_repeated(names: Sequence[str]) -> str | None:
    return next((name for name, n in Counter(names).items() if n > 1), None)
