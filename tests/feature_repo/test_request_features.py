"""The request-time function against zoneinfo, and against its own ONNX graph."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import ndonnx
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from request_features import departure_time, local_departure_time

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


def test_the_view_declares_what_the_function_returns() -> None:
    returned = local_departure_time(scheduled_departure=np.array([0.0]))
    assert [field.name for field in departure_time.features] == list(returned)
