"""Features computed from the request itself, written once against the Array API.

Feast's on-demand view calls the function with numpy arrays; the exporter traces the same
function into the model's graph.
"""

from __future__ import annotations

from typing import Any, Final

from feast import Field
from feast.types import Float64, UnixTimestamp

from training.request_time import request_time_view

__all__ = ["departure_time", "local_departure_time"]

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
