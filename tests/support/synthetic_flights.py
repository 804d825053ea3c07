"""A seeded stand-in for the flights lake: same size, same shapes, same awkward times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from feast import Entity, FeatureView
from feast.types import Float32

from tests.support.feast_repos import entity, view, write_months

__all__ = ["FLIGHTS_IN_2013", "LAKE_VIEWS", "LakeView", "definitions", "labels", "write_lake"]

FLIGHTS_IN_2013: Final = 336_776
_START: Final = datetime(2013, 1, 1, tzinfo=UTC)
_YEAR_US: Final = 365 * 24 * 3600 * 1_000_000
_MINUTE_US: Final = 60_000_000

_CARDINALITY: Final = {"carrier": 16, "origin": 3, "dest": 105, "tailnum": 4_044}


@dataclass(frozen=True)
class LakeView:
    """A view of the stand-in: how many rows, features and which ttl."""

    name: str
    keys: tuple[str, ...]
    n_rows: int
    n_features: int
    ttl: timedelta | None

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, distinct over all views."""
        return tuple(f"{self.name}_{number}" for number in range(self.n_features))


LAKE_VIEWS: Final = (
    LakeView("carrier_stats", ("carrier",), 120_000, 4, timedelta(days=2)),
    LakeView("origin_stats", ("origin",), 120_000, 3, timedelta(days=1)),
    LakeView("route_stats", ("origin", "dest"), 300_000, 4, timedelta(days=14)),
    LakeView("plane_stats", ("tailnum",), 300_000, 4, timedelta(days=30)),
    LakeView("plane_data", ("tailnum",), 8_000, 3, None),
)


def _codes(
    random: np.random.Generator, keys: tuple[str, ...], n_rows: int
) -> dict[str, npt.NDArray[np.str_]]:
    return {
        key: np.char.add(
            key[0].upper(), random.integers(_CARDINALITY[key], size=n_rows).astype("U")
        )
        for key in keys
    }


def labels(n_labels: int = FLIGHTS_IN_2013, *, seed: int = 7) -> pl.DataFrame:
    """Return labels in no order of time: keys (some planes unknown) and ``event_timestamp``."""
    random = np.random.default_rng(seed)
    minutes = random.integers(_YEAR_US // _MINUTE_US, size=n_labels)
    frame = pl.DataFrame(_codes(random, ("carrier", "origin", "dest", "tailnum"), n_labels))
    unknown = pl.Series(random.random(n_labels) < 0.01)
    return frame.with_columns(
        tailnum=pl.when(~unknown).then("tailnum"),
        event_timestamp=pl.Series(minutes * _MINUTE_US).cast(pl.Datetime("us", "UTC"))
        + (_START - datetime(1970, 1, 1, tzinfo=UTC)),
    )


def _rows(lake_view: LakeView, *, seed: int) -> pl.DataFrame:
    """Rows in order of time; one in a hundred is a correction written up to five days late."""
    random = np.random.default_rng(seed)
    instants = np.sort(random.integers(_YEAR_US // _MINUTE_US, size=lake_view.n_rows)) * _MINUTE_US
    lag = random.integers(0, 2, size=lake_view.n_rows) * _MINUTE_US
    late = random.random(lake_view.n_rows) < 0.01
    lag[late] += random.integers(5 * 24 * 60, size=int(late.sum())) * _MINUTE_US
    # Nulls are values, and a distinct microsecond keeps created times of one event apart.
    created = instants + lag + np.arange(lake_view.n_rows) % 1000
    values = random.normal(size=(lake_view.n_rows, lake_view.n_features)).astype(np.float32)
    offset = _START - datetime(1970, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame(_codes(random, lake_view.keys, lake_view.n_rows)).with_columns(
        event_timestamp=pl.Series(instants).cast(pl.Datetime("us", "UTC")) + offset,
        created=pl.Series(created).cast(pl.Datetime("us", "UTC")) + offset,
        **{
            name: pl.when(pl.Series(random.random(lake_view.n_rows) > 0.05)).then(
                pl.Series(values[:, column])
            )
            for column, name in enumerate(lake_view.features)
        },
    )
    return frame.unique([*lake_view.keys, "event_timestamp", "created"], maintain_order=True)


def write_lake(root: Path, *, scale: float = 1.0, seed: int = 11) -> Path:
    """Write ``<root>/<view>/year=2013/month=MM/part-0.parquet`` for all views.

    ``scale`` multiplies the rows of each view.
    """
    for number, lake_view in enumerate(LAKE_VIEWS):
        scaled = LakeView(
            lake_view.name,
            lake_view.keys,
            int(lake_view.n_rows * scale),
            lake_view.n_features,
            lake_view.ttl,
        )
        write_months(root / lake_view.name, _rows(scaled, seed=seed + number))
    return root


def definitions(root: Path, suffix: str = "") -> list[Entity | FeatureView]:
    """Return the Feast definitions of the stand-in; ``suffix`` is added to each folder."""
    entities = {key: entity(key) for key in _CARDINALITY}
    views = [
        view(
            lake_view.name,
            f"{root / lake_view.name}{suffix}",
            [entities[key] for key in lake_view.keys],
            dict.fromkeys(lake_view.features, Float32),
            ttl=lake_view.ttl,
        )
        for lake_view in LAKE_VIEWS
    ]
    return [*entities.values(), *views]
