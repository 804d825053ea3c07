"""Answers Feast's clients with the features that are online, in the words of Feast's server."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api.errors import FieldError, InvalidRequestError
from api.feast_protocol.catalog_index import CatalogIndex
from api.feast_protocol.column_values import Findings
from api.feast_protocol.entity_columns import EntityColumns
from api.feast_protocol.feature_catalogs import FeatureCatalogs
from api.feast_protocol.online_read import AnsweredFeature, OnlineRead
from api.feast_protocol.request_bodies import FeastLimits, OnlineFeaturesRequest, count_rows
from api.prediction.clock import Clock, to_epoch_us
from api.prediction.nested_values import decode_feature
from api.prediction.online_features import NEVER_US, Cell, OnlineFeatureReader, StoredFeatures
from api.prediction.value_codec import BYTES_TYPES, ValueType

__all__ = ["FeatureLookups"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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
        read = _find_read(await self._catalogs.current(), request)
        count_rows(request.entities, "/entities", len(read.features), self._limits)
        findings = Findings()
        entities = EntityColumns(
            request.entities,
            (key for keys in read.lookup_keys for key in keys),
            "/entities",
            self._limits.max_text_length,
            findings,
        )
        findings.raise_any()
        stored = await self._reader.read(read.layout, read.serialize_keys(entities))
        echoed = {name: v for name, v in request.entities.items() if name in read.key_fields}
        now_us = to_epoch_us(self._clock.now())
        return {
            "metadata": _describe_columns(read, request, list(echoed)),
            "results": [
                *(_echo(values) for values in echoed.values()),
                *_describe_features(read, stored, now_us),
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
        raise InvalidRequestError(field.message, (field,))
    return read


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
    read: OnlineRead, stored: StoredFeatures, now_us: int
) -> Iterable[dict[str, Any]]:
    event_us, cells = stored.event_us, stored.cells
    is_live = (event_us >= now_us - read.ttl_us) & (event_us <= now_us)
    times = {int(us): _format_instant(int(us)) for us in np.unique(event_us)}
    for feature in read.features:
        column_us = event_us[:, feature.position]
        yield {
            **_describe_values(feature, cells, column_us, is_live[:, feature.position]),
            "event_timestamps": [times[us] for us in column_us.tolist()],
        }


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
    instant = _EPOCH + timedelta(microseconds=event_us)
    places = "seconds"
    if instant.microsecond:
        places = "microseconds" if instant.microsecond % 1000 else "milliseconds"
    return instant.replace(tzinfo=None).isoformat(timespec=places) + "Z"
