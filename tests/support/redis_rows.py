"""Rows in Redis whose every value names the entity that it belongs to."""

from __future__ import annotations

import redis
from feast.infra.online_stores.helpers import _mmh3
from google.protobuf.timestamp_pb2 import Timestamp

from zeroskew.online.reader import EntityLookup, ReadLayout, StoredFeatures, StoredView

__all__ = [
    "LAYOUT",
    "PROJECT",
    "assert_answers",
    "event_us_of",
    "feature_field",
    "keys_of",
    "time_field",
    "value_of",
    "write_entities",
]

PROJECT = "trial"
_EVENT_US = 1_380_629_820_123_456


def _view(name: str, *features: str) -> StoredView:
    return StoredView(name, f"{PROJECT}_{name}", features)


LAYOUT = ReadLayout(
    PROJECT,
    (
        EntityLookup((_view("carrier_stats", "mean", "size"), _view("carrier_year", "age"))),
        EntityLookup((_view("route", "flights", "share", "miles"),)),
    ),
)
"""Two lookups, three views, six features."""


def feature_field(view: StoredView, feature: str) -> bytes:
    """Return the field of a feature by Feast's own hash."""
    return bytes(_mmh3(f"{view.name}:{feature}"))


def time_field(view: StoredView) -> bytes:
    """Return the field of a view's event time."""
    return f"_ts:{view.name}".encode()


def event_us_of(number: int) -> int:
    """Return the event time of an entity's rows in microseconds."""
    return _EVENT_US + number


def write_entities(client: redis.Redis, *keys: bytes) -> None:
    """Write an entity of each lookup for every key; a value is its key and feature."""
    pipeline = client.pipeline(transaction=False)
    for number, key in enumerate(keys):
        time = Timestamp()
        time.FromMicroseconds(event_us_of(number))
        for place, lookup in enumerate(LAYOUT.lookups):
            mapping: dict[bytes, bytes] = {}
            for view in lookup.views:
                for feature in view.features:
                    mapping[feature_field(view, feature)] = value_of(_entity(place, key), feature)
                mapping[time_field(view)] = time.SerializeToString()
            pipeline.hset(_entity(place, key) + PROJECT.encode(), mapping=mapping)  # type: ignore[arg-type]  # redis-py takes bytes as fields
    pipeline.execute()


def _entity(place: int, key: bytes) -> bytes:
    return b"%d:%b" % (place, key)


def value_of(entity: bytes, feature: str) -> bytes:
    """Return the value that `write_entities` writes."""
    return b"%b|%b" % (entity, feature.encode())


def keys_of(*keys: bytes | None) -> list[list[bytes | None]]:
    """Return what to ask a reader for rows with these keys in every lookup."""
    return [
        [None if key is None else _entity(place, key) for key in keys]
        for place in range(len(LAYOUT.lookups))
    ]


def assert_answers(answer: StoredFeatures, *keys: bytes) -> None:
    """Check that every cell is of the key that was asked for."""
    expected = [
        [
            value_of(_entity(place, key), feature)
            for place, lookup in enumerate(LAYOUT.lookups)
            for view in lookup.views
            for feature in view.features
        ]
        for key in keys
    ]
    assert answer.cells == expected
