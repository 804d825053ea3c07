"""When things happened to a flight, in UTC, and when each became known."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipelines.validation import REASONS, ValidatedTable

__all__ = ["ISLAND_ZONES", "add_flight_times", "airport_zones"]

ORIGIN_ZONE: Final = "America/New_York"

# Destinations that the airport table lacks: it lists the fifty states only.
ISLAND_ZONES: Final = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}


def airport_zones(airports: pl.DataFrame) -> dict[str, str]:
    """Return the IANA time zone of each airport that has one, `ISLAND_ZONES` included.

    Parameters
    ----------
    airports : polars.DataFrame
        ``faa`` and ``tzone``; null zones are left out.
    """
    known = airports.drop_nulls("tzone")
    return ISLAND_ZONES | dict(zip(known["faa"], known["tzone"], strict=True))


def add_flight_times(flights: pl.DataFrame, zones: dict[str, str]) -> ValidatedTable:
    """Derive UTC times from local clock readings.

    Scheduled arrival falls on the first day, from the day of departure on, that puts it
    after the scheduled departure. Actual times are scheduled times plus delays, so they
    cross midnight by themselves. A local time that occurs twice, when the clock goes back,
    is taken for the earlier.

    The outcome of a flight becomes known when it arrives. Where no moment is on record, for
    cancelled and diverted flights, it is the latest reasonable one: scheduled arrival, or
    for a diverted flight that left late, its departure plus the scheduled duration.
    Airlines announce earlier, but a feature must not know what the data cannot date.

    Parameters
    ----------
    flights : polars.DataFrame
        Sound rows of the flight table: local times as HHMM, delays in minutes.
    zones : dict of str to str
        IANA time zone of each destination.

    Returns
    -------
    ValidatedTable
        Sound rows gain ``scheduled_departure``, ``scheduled_arrival``, ``departed_at``,
        ``arrived_at`` and ``outcome_known_at`` (UTC, microseconds; null where it never
        happened), and ``cancelled``. Quarantined are dates that do not exist, destinations
        without a zone, and local times that the clock skips.
    """
    timed = (
        flights.with_columns(
            _day=pl.format("{}-{}-{}", "year", "month", "day").str.to_date(
                "%Y-%m-%d", strict=False
            ),
            _zone=pl.col("dest").replace_strict(zones, default=None, return_dtype=pl.String),
        )
        .with_columns(scheduled_departure=_instant("sched_dep_time", ORIGIN_ZONE))
        .pipe(_add_scheduled_arrival)
    )
    reasons = pl.concat_list(
        _reason(pl.col("_day").is_null(), "date does not exist"),
        _reason(pl.col("_zone").is_null(), "no time zone for dest"),
        _reason(_skipped("scheduled_departure", "_day"), "sched_dep_time does not exist that day"),
        _reason(
            _skipped("scheduled_arrival", "_day", "_zone", "scheduled_departure"),
            "sched_arr_time does not exist that day",
        ),
    ).list.drop_nulls()
    parted = timed.with_columns(reasons.alias(REASONS))
    made = ["_day", "_zone", "scheduled_departure", "scheduled_arrival"]
    return ValidatedTable(
        valid=_add_actual_times(parted.filter(pl.col(REASONS).list.len() == 0)).drop(
            "_day", "_zone", REASONS
        ),
        quarantine=parted.filter(pl.col(REASONS).list.len() > 0).drop(made),
    )


def _add_scheduled_arrival(flights: pl.DataFrame) -> pl.DataFrame:
    arrival = pl.lit(None, pl.Datetime("us", "UTC"))
    for zone in flights["_zone"].unique().drop_nulls().sort():
        same_day, next_day = (_instant("sched_arr_time", zone, days=days) for days in (0, 1))
        first_after = (
            pl.when(same_day <= pl.col("scheduled_departure")).then(next_day).otherwise(same_day)
        )
        arrival = pl.when(pl.col("_zone") == zone).then(first_after).otherwise(arrival)
    return flights.with_columns(scheduled_arrival=arrival)


def _instant(clock_time: str, zone: str, *, days: int = 0) -> pl.Expr:
    """Read HHMM (``2400`` is the midnight that ends the day) as an instant, null if skipped."""
    hhmm = pl.col(clock_time)
    local = pl.col("_day").cast(pl.Datetime("us")) + pl.duration(
        days=days, minutes=hhmm // 100 * 60 + hhmm % 100
    )
    return local.dt.replace_time_zone(
        zone, ambiguous="earliest", non_existent="null"
    ).dt.convert_time_zone("UTC")


def _add_actual_times(flights: pl.DataFrame) -> pl.DataFrame:
    departed_at = pl.col("scheduled_departure") + pl.duration(minutes="dep_delay")
    duration = pl.col("scheduled_arrival") - pl.col("scheduled_departure")
    return flights.with_columns(
        cancelled=pl.col("dep_time").is_null(),
        departed_at=departed_at,
        arrived_at=pl.col("scheduled_arrival") + pl.duration(minutes="arr_delay"),
    ).with_columns(
        outcome_known_at=pl.coalesce(
            "arrived_at", pl.max_horizontal("scheduled_arrival", departed_at + duration)
        )
    )


def _reason(applies: pl.Expr, text: str) -> pl.Expr:
    return pl.when(applies).then(pl.lit(text))


def _skipped(instant: str, *given: str) -> pl.Expr:
    return pl.col(instant).is_null() & pl.all_horizontal(pl.col(given).is_not_null())
