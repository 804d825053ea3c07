"""The request-time functions against other sources, and against their own ONNX graphs."""

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import ndonnx
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from feast import OnDemandFeatureView
from request_features import (
    departure_time,
    flight_path,
    local_departure_time,
    minutes_since_arrival,
    path_over_ground,
    plane_rest,
)

from zeroskew.features.request_time import request_function_of
from zeroskew.features.trace_request_time import trace_request_function

NEW_YORK = ZoneInfo("America/New_York")
Instants = npt.NDArray[np.float64]


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def every_hour() -> Instants:
    start, end = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2007, 2038))
    return np.arange(start, end, 3600.0)


def test_local_time_equals_zoneinfo_at_every_hour_of_31_years() -> None:
    instants = every_hour()
    local = [datetime.fromtimestamp(instant, NEW_YORK) for instant in instants]
    features = local_departure_time(scheduled_departure=instants)
    np.testing.assert_array_equal(features["local_hour"], [float(moment.hour) for moment in local])
    np.testing.assert_array_equal(
        features["local_weekday"], [float(moment.weekday()) for moment in local]
    )
    np.testing.assert_array_equal(
        features["local_day_of_year"], [float(moment.timetuple().tm_yday) for moment in local]
    )


@pytest.mark.parametrize(
    ("instant", "hour", "weekday", "day_of_year"),
    [
        # Sunday 10 March 2013: 01:59:59 is followed by 03:00:00.
        ("2013-03-10T06:59:59+00:00", 1 + 3599 / 3600, 6, 69),
        ("2013-03-10T07:00:00+00:00", 3.0, 6, 69),
        # Sunday 3 November 2013: 01:59:59 is followed by 01:00:00.
        ("2013-11-03T05:59:59+00:00", 1 + 3599 / 3600, 6, 307),
        ("2013-11-03T06:00:00+00:00", 1.0, 6, 307),
        # The last second of a leap year, and its leap day.
        ("2013-01-01T04:59:59+00:00", 23 + 3599 / 3600, 0, 366),
        ("2012-02-29T17:15:00+00:00", 12.25, 2, 60),
        # The same instant at another offset.
        ("2013-10-01T10:17:00-04:00", 10 + 17 / 60, 1, 274),
        ("2013-10-01T16:17:00+02:00", 10 + 17 / 60, 1, 274),
    ],
)
def test_clock_changes_and_leap_days(
    instant: str, hour: float, weekday: int, day_of_year: int
) -> None:
    features = local_departure_time(scheduled_departure=np.array([seconds_of(instant)]))
    assert features["local_hour"][0] == pytest.approx(hour, abs=1e-12)
    assert features["local_weekday"][0] == weekday
    assert features["local_day_of_year"][0] == day_of_year


def test_unknown_instants_stay_unknown() -> None:
    with np.errstate(invalid="ignore"):
        features = local_departure_time(scheduled_departure=np.array([np.nan, np.inf, -np.inf]))
    for name, values in features.items():
        assert np.isnan(values).all(), name


def test_the_traced_graph_gives_the_same_bits() -> None:
    instants = np.append(every_hour()[::37] + 1234.0, np.nan)
    argument = ndonnx.argument(shape=("n_rows",), dtype=ndonnx.float64)
    traced: Any = local_departure_time(scheduled_departure=argument)
    graph = ndonnx.build({"scheduled_departure": argument}, traced)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    outputs = session.run(list(traced), {"scheduled_departure": instants})
    expected = local_departure_time(scheduled_departure=instants)
    for name, values in zip(traced, outputs, strict=True):
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.mark.parametrize("view", [departure_time, flight_path, plane_rest], ids=lambda v: v.name)
def test_every_function_is_traced_to_the_bit(view: OnDemandFeatureView) -> None:
    function = request_function_of(view)
    model = trace_request_function(function)
    assert [output.name for output in model.graph.output] == [field.name for field in view.features]


def path(
    origin: tuple[float, float],
    dest: tuple[float, float],
    wind: tuple[float, float] = (math.nan, math.nan),
) -> dict[str, float]:
    names = ["origin_latitude_degrees", "origin_longitude_degrees", "dest_latitude_degrees"]
    names += ["dest_longitude_degrees", "wind_direction_degrees", "wind_speed_mph"]
    values = [np.array([value]) for value in (*origin, *dest, *wind)]
    with np.errstate(invalid="ignore"):
        features = path_over_ground(**dict(zip(names, values, strict=True)))
    return {name: float(value[0]) for name, value in features.items()}


JFK, LAX = (40.639751, -73.778925), (33.942536, -118.408075)


def test_new_york_to_los_angeles() -> None:
    """3,975 km on the sphere, and 273.9 degrees: north of west, although it lies south."""
    got = path(JFK, LAX, wind=(273.9, 10.0))
    assert got["great_circle_miles"] == pytest.approx(2470, abs=1)
    assert got["initial_course_degrees"] == pytest.approx(273.9, abs=0.1)
    assert got["headwind_mph"] == pytest.approx(10.0, abs=1e-3)


def test_paths_agree_with_the_haversine_and_with_bearings_of_the_math_module() -> None:
    rng = np.random.default_rng(2)
    for _ in range(2_000):
        origin, dest = ((rng.uniform(-89, 89), rng.uniform(-180, 180)) for _ in range(2))
        direction, speed = rng.uniform(0, 360), rng.uniform(0, 60)
        (p, a), (q, b) = (tuple(map(math.radians, place)) for place in (origin, dest))
        haversine = (
            math.sin((q - p) / 2) ** 2 + math.cos(p) * math.cos(q) * math.sin((b - a) / 2) ** 2
        )
        north = math.cos(p) * math.sin(q) - math.sin(p) * math.cos(q) * math.cos(b - a)
        course = math.degrees(math.atan2(math.sin(b - a) * math.cos(q), north)) % 360
        got = path(origin, dest, (direction, speed))
        assert got["great_circle_miles"] == pytest.approx(
            2 * 3958.7613 * math.asin(math.sqrt(haversine)), rel=1e-7
        )
        assert got["initial_course_degrees"] == pytest.approx(course, abs=1e-9)
        headwind = speed * math.cos(math.radians(direction - course))
        assert got["headwind_mph"] == pytest.approx(headwind, abs=1e-9)


@pytest.mark.parametrize(
    ("origin", "dest", "wind", "miles", "course", "headwind"),
    [
        # Along a meridian and along the equator, a quarter of the globe each.
        ((0, 0), (90, 0), (0.0, 20.0), math.pi / 2 * 3958.7613, 0.0, 20.0),
        ((0, 0), (0, 90), (270.0, 20.0), math.pi / 2 * 3958.7613, 90.0, -20.0),
        ((0, 0), (0, -90), (0.0, 20.0), math.pi / 2 * 3958.7613, 270.0, 0.0),
        ((0, 170), (0, -100), (math.nan, 20.0), math.pi / 2 * 3958.7613, 90.0, math.nan),
        # Without wind its direction does not matter; from a place to itself there is no way.
        ((0, 0), (0, 90), (math.nan, 0.0), math.pi / 2 * 3958.7613, 90.0, 0.0),
        ((40, -74), (40, -74), (10.0, 20.0), 0.0, math.nan, math.nan),
        # What is unknown stays unknown.
        ((40, math.nan), (30, -90), (10.0, 20.0), math.nan, math.nan, math.nan),
        ((40, -74), (30, math.inf), (10.0, 0.0), math.nan, math.nan, 0.0),
    ],
)
def test_paths_by_hand(
    origin: tuple[float, float],
    dest: tuple[float, float],
    wind: tuple[float, float],
    miles: float,
    course: float,
    headwind: float,
) -> None:
    got = list(path(origin, dest, wind).values())
    assert got == pytest.approx([miles, course, headwind], rel=1e-12, abs=1e-9, nan_ok=True)


def test_minutes_since_arrival() -> None:
    departures = np.array([seconds_of("2013-06-14T19:00:00+00:00"), 0.0, np.nan])
    arrivals = np.array([seconds_of("2013-06-14T16:50:00+00:00"), np.nan, 0.0])
    got = minutes_since_arrival(departures, arrivals)["minutes_since_last_arrival"]
    np.testing.assert_array_equal(got, [130.0, np.nan, np.nan])


def test_the_view_declares_what_the_function_returns() -> None:
    returned = local_departure_time(scheduled_departure=np.array([0.0]))
    assert [field.name for field in departure_time.features] == list(returned)
