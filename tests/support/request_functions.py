"""Request-time functions that a feature store can import by name."""

from __future__ import annotations

from typing import Any


def new_york_clock(departure: Any) -> dict[str, Any]:
    """Return the hour and the weekday (Monday 0) in New York in 2013, daylight saving included."""
    xp = departure.__array_namespace__()
    is_summer = xp.logical_and(departure >= 1362898800.0, departure < 1383458400.0)
    local = departure - xp.where(is_summer, xp.asarray(14400.0), xp.asarray(18000.0))
    day = xp.floor(local / 86400.0)
    return {
        "hour": xp.floor((local - day * 86400.0) / 3600.0),
        "weekday": xp.remainder(day + 3.0, 7.0),
    }


def pass_through(departure: Any, seats: Any, fare: Any, is_direct: Any) -> dict[str, Any]:
    """Return the inputs as they arrive."""
    return {
        "seconds": departure + 0.0,
        "seats_out": seats + 0.0,
        "fare_out": fare + 0.0,
        "is_direct_out": is_direct + 0.0,
    }


def combine(
    asked_at: Any, amount: Any, height: Any, is_open: Any, opened_at: Any, rank: Any, rate: Any
) -> dict[str, Any]:
    """Return the inputs as they arrive, and something made of values of both views."""
    xp = amount.__array_namespace__()
    return {
        "asked_at_out": asked_at + 0.0,
        "height_out": height + 0.0,
        "is_open_out": is_open + 0.0,
        "opened_at_out": opened_at + 0.0,
        "rank_out": rank + 0.0,
        "rate_out": rate + 0.0,
        "minutes_open": (asked_at - opened_at) / 60.0,
        "mixed": xp.sqrt(xp.abs(height * rate)) / amount,
    }


def tenfold(height: Any) -> dict[str, Any]:
    """Return ten times the height."""
    return {"tenfold": height * 10.0}
