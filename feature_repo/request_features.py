"""Features computed from the request and from stored features, written against the Array API.

Feast's on-demand view calls the function with numpy arrays; the exporter traces the same
function into the model's graph.
"""

from __future__ import annotations

from typing import Any, Final

from feast import Field
from feast.types import Float64, UnixTimestamp
from feature_views import destination_airport, origin_airport, origin_weather, plane_performance

from zeroskew import arctan2, request_time_view, sin_cos_degrees

__all__ = [
    "departure_time",
    "flight_path",
    "local_departure_time",
    "minutes_since_arrival",
    "path_over_ground",
    "plane_rest",
]

HOUR: Final = 3600.0
DAY: Final = 86400.0
STANDARD_OFFSET: Final = 5 * HOUR
"""New York's standard time is five hours behind UTC."""

MARCH_1_1900: Final = -25508.0
"""Days from 1970-01-01 to 1900-03-01. A year counted from 1 March ends with its leap day."""

MARCH_TO_NOVEMBER: Final = 245.0
"""Days from 1 March to 1 November."""

MARCH_TO_JANUARY: Final = 306.0
"""Days from 1 March to the next 1 January."""


EARTH_RADIUS_MILES: Final = 3958.7613
"""The mean radius, 6371.0088 km (IUGG), in statute miles."""

DEGREES_PER_RADIAN: Final = 57.29577951308232


def local_departure_time(scheduled_departure: Any) -> dict[str, Any]:
    """Read New York's wall clock and calendar at an instant.

    Daylight saving follows the rule in force since 2007: from the second Sunday of March to
    the first Sunday of November, both at 02:00 local time. Days are counted on the Julian
    calendar's four-year cycle, which holds from 1901 to February 2100. Remainders are taken
    as ``a - floor(a / b) * b``, which is exact here and traces to four nodes.

    Parameters
    ----------
    scheduled_departure : array of float64, any shape
        Seconds since 1970-01-01 UTC. NaN and infinity give NaN.

    Returns
    -------
    dict of str to array of float64
        ``local_hour``, hours since midnight on the wall clock, with its fraction, in
        ``[0, 24)``; ``local_weekday``, Monday 0 to Sunday 6; ``local_day_of_year``, 1 to 366.
    """
    xp = scheduled_departure.__array_namespace__()
    standard = scheduled_departure - STANDARD_OFFSET
    years = xp.floor((4.0 * (xp.floor(standard / DAY) - MARCH_1_1900) + 3.0) / 1461.0)
    march_1 = xp.floor(years * 1461.0 / 4.0) + MARCH_1_1900
    summer_start = (_sunday_from(xp, march_1) + 7.0) * DAY + 2.0 * HOUR
    summer_end = _sunday_from(xp, march_1 + MARCH_TO_NOVEMBER) * DAY + HOUR
    is_summer = xp.logical_and(standard >= summer_start, standard < summer_end)
    local = xp.where(is_summer, standard + HOUR, standard)
    local_day = xp.floor(local / DAY)
    since_march = local_day - march_1
    leap_day = xp.floor(years / 4.0) - xp.floor((years - 1.0) / 4.0)
    return {
        "local_hour": (local - local_day * DAY) / HOUR,
        "local_weekday": _remainder(xp, local_day + 3.0, 7.0),
        "local_day_of_year": xp.where(
            since_march >= MARCH_TO_JANUARY,
            since_march - MARCH_TO_JANUARY + 1.0,
            since_march + 60.0 + leap_day,
        ),
    }


def _remainder(xp: Any, dividend: Any, divisor: float) -> Any:
    return dividend - xp.floor(dividend / divisor) * divisor


def _sunday_from(xp: Any, day: Any) -> Any:
    """Return the first Sunday from `day` on: 1970-01-04 was one."""
    return day + _remainder(xp, 3.0 - day, 7.0)


def path_over_ground(
    origin_latitude_degrees: Any,
    origin_longitude_degrees: Any,
    dest_latitude_degrees: Any,
    dest_longitude_degrees: Any,
    wind_direction_degrees: Any,
    wind_speed_mph: Any,
) -> dict[str, Any]:
    """Measure the shortest way over the globe, and the wind against it at its beginning.

    On a sphere, with latitudes p, q and the difference d of longitudes::

        east  = cos(q) sin(d)
        north = cos(p) sin(q) - sin(p) cos(q) cos(d)
        distance = R atan2(sqrt(east^2 + north^2), sin(p) sin(q) + cos(p) cos(q) cos(d))
        course   = atan2(east, north)
        headwind = speed (cos(from) north + sin(from) east) / sqrt(east^2 + north^2)

    (Vincenty's formula for equal axes, which is exact at all distances.)

    Parameters
    ----------
    origin_latitude_degrees, origin_longitude_degrees : array of float64, ``(n_rows,)``
        North and east are positive.
    dest_latitude_degrees, dest_longitude_degrees : array of float64, ``(n_rows,)``
        The same of the destination.
    wind_direction_degrees, wind_speed_mph : array of float64, ``(n_rows,)``
        Where the wind comes from, and its speed. Without wind its direction does not matter.

    Returns
    -------
    dict of str to array of float64
        ``great_circle_miles``; ``initial_course_degrees`` in ``[0, 360]``, clockwise from
        north; ``headwind_mph``, negative from behind. NaN where an input that it needs is NaN
        or infinite; course and headwind also from a place to itself.
    """
    xp = origin_latitude_degrees.__array_namespace__()
    # Stacked, because each operation of a graph costs the same for one row as for four.
    sines, cosines = sin_cos_degrees(
        xp.stack(
            [
                origin_latitude_degrees,
                dest_latitude_degrees,
                dest_longitude_degrees - origin_longitude_degrees,
                wind_direction_degrees,
            ]
        )
    )
    sin_p, sin_q, sin_d, sin_from = (sines[i, ...] for i in range(4))
    cos_p, cos_q, cos_d, cos_from = (cosines[i, ...] for i in range(4))
    along = cos_q * cos_d
    east, north = cos_q * sin_d, cos_p * sin_q - sin_p * along
    across = xp.sqrt(east * east + north * north)
    angles = arctan2(xp.stack([across, east]), xp.stack([sin_p * sin_q + cos_p * along, north]))
    course = angles[1, ...] * DEGREES_PER_RADIAN
    unknown = xp.asarray(float("nan"))
    headwind = wind_speed_mph * ((cos_from * north + sin_from * east) / across)
    return {
        "great_circle_miles": angles[0, ...] * EARTH_RADIUS_MILES,
        "initial_course_degrees": xp.where(
            across > 0.0, xp.where(course < 0.0, course + 360.0, course), unknown
        ),
        "headwind_mph": xp.where(wind_speed_mph == 0.0, wind_speed_mph * wind_speed_mph, headwind),
    }


def minutes_since_arrival(scheduled_departure: Any, plane_last_arrived_at: Any) -> dict[str, Any]:
    """Count how long before its departure the plane last arrived, as far as is known.

    Parameters
    ----------
    scheduled_departure, plane_last_arrived_at : array of float64, any shape
        Seconds since 1970-01-01 UTC.

    Returns
    -------
    dict of str to array of float64
        ``minutes_since_last_arrival``; NaN where one of them is.
    """
    return {"minutes_since_last_arrival": (scheduled_departure - plane_last_arrived_at) / 60.0}


departure_time = request_time_view(
    name="departure_time",
    description="The scheduled departure on New York's wall clock and calendar.",
    function=local_departure_time,
    inputs=[Field(name="scheduled_departure", dtype=UnixTimestamp)],
    outputs=[
        Field(name="local_hour", dtype=Float64),
        Field(name="local_weekday", dtype=Float64),
        Field(name="local_day_of_year", dtype=Float64),
    ],
)

flight_path = request_time_view(
    name="flight_path",
    description="The shortest way from origin to destination, and the wind against it.",
    function=path_over_ground,
    sources=[
        origin_airport,
        destination_airport,
        origin_weather[["wind_direction_degrees", "wind_speed_mph"]],
    ],
    outputs=[
        Field(name="great_circle_miles", dtype=Float64),
        Field(name="initial_course_degrees", dtype=Float64),
        Field(name="headwind_mph", dtype=Float64),
    ],
)

plane_rest = request_time_view(
    name="plane_rest",
    description="How long the plane has been back, as far as is known.",
    function=minutes_since_arrival,
    inputs=[Field(name="scheduled_departure", dtype=UnixTimestamp)],
    sources=[plane_performance[["plane_last_arrived_at"]]],
    outputs=[Field(name="minutes_since_last_arrival", dtype=Float64)],
)
