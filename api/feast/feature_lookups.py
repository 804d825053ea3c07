"""Answers Feast's clients with the features that are online, in the words of Feast's server."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api.feast.catalog_index import CatalogIndex
from api.feast.column_values import RefusedFields
from api.feast.entity_columns import EntityColumns
from api.feast.feature_catalogs import FeatureCatalogs
from api.feast.online_read import AnsweredFeature, OnlineRead
from api.feast.request_bodies import FeastLimits, OnlineFeaturesRequest, count_rows
from zeroskew.contract.errors.fields import json_pointer
from zeroskew.contract.errors.service import (
    FeatureNameCollisionError,
    FieldError,
    InvalidRequestError,
    OnlineValueError,
)
from zeroskew.contract.number_bounds import EXACT_FLOAT
from zeroskew.contract.time.clock import Clock
from zeroskew.contract.time.epoch import NEVER_US, from_epoch_us
from zeroskew.online.reader import Cell, OnlineFeatureReader
from zeroskew.online.values.decode import BYTES_TYPES, ValueType
from zeroskew.online.values.nested_values import FeatureType, decode_feature

__all__ = ["FeatureLookups"]

Floats = NDArray[np.float64]
_WHOLE_BITS: Final[dict[FeatureType, int]] = {ValueType.INT32: 32, ValueType.INT64: 64}
_WITHOUT_BYTES: Final = frozenset(ValueType) - BYTES_TYPES
_PRESENT: Final = "PRESENT"
_NULL: Final = "NULL_VALUE"
_NOT_FOUND: Final = "NOT_FOUND"
_OUTSIDE: Final = "OUTSIDE_MAX_AGE"


class FeatureLookups:
    """Looks features up by entity, for a feature service or a list of features.

    Parameters
    ----------
    catalogs
        Where the project's views and services are known.
    reader
        Reads the online store.
    clock
        The time that values must be live at.
    limits
        How much a request may ask for.
    """

    def __init__(
        self,
        *,
        catalogs: FeatureCatalogs,
        reader: OnlineFeatureReader,
        clock: Clock,
        limits: FeastLimits,
    ) -> None:
        self._catalogs = catalogs
        self._reader = reader
        self._clock = clock
        self._limits = limits

    async def look_up(self, request: OnlineFeaturesRequest) -> dict[str, Any]:
        """Return what Feast's server answers: metadata, and one result a join key and feature.

        A value that is not live has the status ``OUTSIDE_MAX_AGE`` and is null.

        Raises
        ------
        InvalidRequestError, NotFoundError
            If the request cannot be answered as it is.
        UnavailableError
            If the catalog or the online store cannot be read, or holds something unexpected.
        """
        catalog = await self._catalogs.current()
        read = _find_read(catalog, request)
        columns = _name_columns(catalog, read, request.entities)
        n_rows = count_rows(columns, "/entities", len(read.features), self._limits)
        findings = RefusedFields()
        given = [graph.parse_request(columns, findings) for graph in read.graphs]
        entities = EntityColumns(
            columns,
            (key for keys in read.lookup_keys for key in keys),
            "/entities",
            self._limits.max_text_length,
            findings,
        )
        findings.raise_any()
        keys = read.serialize_keys(entities)
        event_us: NDArray[np.int64] = np.empty((n_rows, 0), np.int64)
        cells: list[list[Cell]] = [[]] * n_rows
        stored = await self._reader.read(read.layout, keys) if keys else None
        now_us = self._clock.now_us()
        if stored is not None:
            stored = read.at(stored, now_us)
            event_us, cells = stored.event_us, stored.cells
        echoed = {name: v for name, v in columns.items() if name in read.key_fields}
        return {
            "metadata": _describe_columns(read, request, list(echoed)),
            "results": [
                *(_echo(values) for values in echoed.values()),
                *_describe_features(read, event_us, cells, given, now_us),
            ],
        }


def _find_read(catalog: CatalogIndex, request: OnlineFeaturesRequest) -> OnlineRead:
    if request.feature_service is not None:
        if request.features:
            raise InvalidRequestError("Got features and a feature_service, but expected one.")
        read = catalog.read_of_service(request.feature_service)
    else:
        read = catalog.read_of_features(request.features)
    if read.repeated_name is not None and not request.full_feature_names:
        got = f"two features named {read.repeated_name!r}"
        field = FieldError("/full_feature_names", got, "true, which tells them apart")
        raise FeatureNameCollisionError(field.message, (field,))
    return read


def _name_columns(
    catalog: CatalogIndex, read: OnlineRead, entities: Mapping[str, list[Any]]
) -> dict[str, list[Any]]:
    """Return the columns of a request, those that have an entity's name under its join key's.

    Raises
    ------
    InvalidRequestError
        If a join key is there by both names.
    """
    columns: dict[str, list[Any]] = {}
    for name, values in entities.items():
        own_name = name
        if name not in read.key_fields | read.request_fields:
            join_key = catalog.join_keys.get(name, name)
            own_name = join_key if join_key in read.key_fields else name
        if own_name in columns or (own_name != name and own_name in entities):
            field = FieldError(json_pointer("/entities", name), f"{own_name!r} once more", "one")
            raise InvalidRequestError(field.message, (field,))
        columns[own_name] = values
    return columns


def _describe_columns(
    read: OnlineRead, request: OnlineFeaturesRequest, keys: list[str]
) -> dict[str, Any]:
    features = [
        feature.full_name if request.full_feature_names else feature.name
        for feature in read.features
    ]
    metadata: dict[str, Any] = {"feature_names": keys + features}
    if request.include_feature_view_version_metadata:
        metadata["feature_view_metadata"] = [
            {"name": name, "version": version} if version else {"name": name}
            for name, version in read.versions.items()
        ]
    return metadata


def _echo(keys: Sequence[Any]) -> dict[str, Any]:
    never = _format_instant(NEVER_US)
    return {
        "values": keys,
        "statuses": [_NULL if key is None else _PRESENT for key in keys],
        "event_timestamps": [never] * len(keys),
    }


def _describe_features(
    read: OnlineRead,
    event_us: NDArray[np.int64],
    cells: Sequence[Sequence[Cell]],
    given: Sequence[Mapping[str, Floats]],
    now_us: int,
) -> Iterable[dict[str, Any]]:
    is_live = (event_us >= now_us - read.ttl_us) & (event_us <= now_us)
    times = {int(us): _format_instant(int(us)) for us in np.unique(event_us)}
    computed = _compute(read, cells, is_live, given)
    for feature in read.features:
        if feature.graph is not None:
            yield _describe_computed(feature, computed[id(feature.graph)][feature.name])
            continue
        column_us = event_us[:, feature.position]
        yield {
            **_describe_values(feature, cells, column_us, is_live[:, feature.position]),
            "event_timestamps": [times[us] for us in column_us.tolist()],
        }


def _compute(
    read: OnlineRead,
    rows: Sequence[Sequence[Cell]],
    is_live: NDArray[np.bool_],
    given: Sequence[Mapping[str, Floats]],
) -> dict[int, dict[str, Floats]]:
    """Return what the graphs give, by graph and feature; a value that is not live is none."""
    results = {}
    for graph, of_request in zip(read.graphs, given, strict=True):
        inputs = dict(of_request)
        for one in graph.view.inputs:
            if one.view is None:
                continue
            taken = read.graph_inputs[one.view, one.name]
            values = [
                decode_feature(cell, taken.kind) if live and cell else None
                for cell, live in zip(
                    (row[taken.position] for row in rows),
                    is_live[:, taken.position].tolist(),
                    strict=True,
                )
            ]
            inputs[one.name] = graph.to_input(one.name, values)
        results[id(graph)] = graph.compute(inputs)
    return results


def _describe_computed(feature: AnsweredFeature, values: Floats) -> dict[str, Any]:
    if feature.kind is ValueType.FLOAT:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    told: list[float | int | None] = [None if v != v else v for v in values.tolist()]
    if feature.kind in _WHOLE_BITS:
        told = _as_wholes(feature, told)
    return {
        "values": told,
        "statuses": [_NULL if value is None else _PRESENT for value in told],
        "event_timestamps": [_format_instant(NEVER_US)] * len(told),
    }


def _as_wholes(
    feature: AnsweredFeature, values: Sequence[float | None]
) -> list[float | int | None]:
    """Return whole numbers.

    Raises
    ------
    OnlineValueError
        If float64, in which graphs calculate, may have rounded one, or it is none.
    """
    largest = min(EXACT_FLOAT, (1 << _WHOLE_BITS[feature.kind] - 1) - 1)
    if any(value is not None and not abs(value) <= largest for value in values):
        raise OnlineValueError(
            f"Got a computed {feature.name!r} beyond {largest}, but expected a whole number that "
            "can be computed exactly."
        )
    return [None if value is None else int(value) for value in values]


def _describe_values(
    feature: AnsweredFeature,
    rows: Sequence[Sequence[Cell]],
    event_us: NDArray[np.int64],
    is_live: NDArray[np.bool_],
) -> dict[str, Any]:
    values: list[Any] = []
    statuses: list[str] = []
    for row, us, live in zip(rows, event_us.tolist(), is_live.tolist(), strict=True):
        value, status = None, _NOT_FOUND
        if us != NEVER_US:
            cell = row[feature.position]
            value = decode_feature(cell, feature.kind) if live and cell else None
            status = _OUTSIDE if not live else _NULL if value is None else _PRESENT
        values.append(value)
        statuses.append(status)
    if feature.kind not in _WITHOUT_BYTES:
        values = [_bytes_as_text(value) for value in values]
    return {"values": values, "statuses": statuses}


def _bytes_as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: _bytes_as_text(one) for key, one in value.items()}
    return [_bytes_as_text(one) for one in value] if isinstance(value, list) else value


def _format_instant(event_us: int) -> str:
    """Return an event time as Feast's server does; where there is none, the epoch."""
    if event_us == NEVER_US:
        return "1970-01-01T00:00:00Z"
    instant = from_epoch_us(event_us)
    places = "seconds"
    if instant.microsecond:
        places = "microseconds" if instant.microsecond % 1000 else "milliseconds"
    return instant.replace(tzinfo=None).isoformat(timespec=places) + "Z"
