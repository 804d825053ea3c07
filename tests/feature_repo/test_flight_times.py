"""UTC times of flights, derived by hand from airline clocks."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from pipelines.flight_times import add_flight_times
from pipelines.validation import FLIGHTS, REASONS, ValidatedTable, validate

from tests.support.flights import Row, as_text, flight, zones


def timed(*rows: Row) -> ValidatedTable:
    checked = validate(as_text(rows), FLIGHTS)
    assert checked.quarantine.is_empty(), checked.quarantine[REASONS].to_list()
    return add_flight_times(checked.valid, zones())


def times_of(row: Row) -> dict[str, Any]:
    result = timed(row)
    assert result.quarantine.is_empty(), result.quarantine[REASONS].to_list()
    return result.valid.row(0, named=True)


def reasons_of(row: Row) -> list[str]:
    result = timed(row)
    assert result.valid.is_empty()
    reasons: list[str] = result.quarantine[REASONS].item().to_list()
    return reasons


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


ARRIVALS = {
    "same zone, same day": (flight(departs=1000, arrives=1230), "2013-06-14 16:30"),
    "an hour back in Houston": (
        flight(departs=517, arrives=819, arr_delay=11, dest="IAH"),
        "2013-06-14 13:30",
    ),
    "past midnight": (flight(departs=2145, arrives=15), "2013-06-15 04:15"),
    "past midnight by its delay alone": (
        flight(departs=2000, arrives=2230, dep_delay=100, arr_delay=120),
        "2013-06-15 04:30",
    ),
    "at midnight, written 2400": (flight(departs=2100, arrives=2400), "2013-06-15 04:00"),
    "at midnight, written 0": (flight(departs=2100, arrives=0), "2013-06-15 04:00"),
    "westbound to Honolulu, same day": (
        flight(departs=1000, arrives=1505, dest="HNL"),
        "2013-06-15 01:05",
    ),
    "Puerto Rico keeps no summer time": (
        flight(departs=800, arrives=1150, dest="SJU"),
        "2013-06-14 15:50",
    ),
    "Puerto Rico in winter, an hour ahead": (
        flight("2013-01-14", departs=800, arrives=1250, dest="SJU"),
        "2013-01-14 16:50",
    ),
    "Saint Thomas": (flight(departs=800, arrives=1150, dest="STT"), "2013-06-14 15:50"),
    "Phoenix keeps no summer time": (
        flight(departs=800, arrives=1030, dest="PHX"),
        "2013-06-14 17:30",
    ),
    "over the night when clocks go forward": (
        flight("2013-03-09", departs=2145, arrives=34, arr_delay=89),
        "2013-03-10 07:03",
    ),
    "over the night when clocks go back": (
        flight("2013-11-02", departs=2300, arrives=215),
        "2013-11-03 07:15",
    ),
    "twice that night: the earlier": (
        flight("2013-11-02", departs=2300, arrives=130),
        "2013-11-03 05:30",
    ),
    "early": (flight(arr_delay=-20), "2013-06-14 16:10"),
    "New Year's Eve": (flight("2013-12-31", departs=2359, arrives=230), "2014-01-01 07:30"),
}


@pytest.mark.parametrize(("row", "arrived_at"), ARRIVALS.values(), ids=ARRIVALS.keys())
def test_arrival(row: Row, arrived_at: str) -> None:
    times = times_of(row)
    assert times["arrived_at"] == utc(arrived_at)
    assert times["outcome_known_at"] == utc(arrived_at)


def test_departure_in_winter_and_summer() -> None:
    assert times_of(flight("2013-01-14", departs=1015))["scheduled_departure"] == utc(
        "2013-01-14 15:15"
    )
    summer = times_of(flight("2013-06-14", departs=1015, dep_delay=-5))
    assert summer["scheduled_departure"] == utc("2013-06-14 14:15")
    assert summer["departed_at"] == utc("2013-06-14 14:10")


def test_a_cancelled_flight_is_known_at_its_scheduled_arrival() -> None:
    times = times_of(flight(departs=1000, arrives=1230, dep_delay=None))
    assert times["cancelled"]
    assert times["departed_at"] is None
    assert times["arrived_at"] is None
    assert times["outcome_known_at"] == utc("2013-06-14 16:30")


@pytest.mark.parametrize(("dep_delay", "known_at"), [(0, "16:30"), (-10, "16:30"), (240, "20:30")])
def test_a_diverted_flight_is_known_when_it_was_due(dep_delay: int, known_at: str) -> None:
    times = times_of(flight(departs=1000, arrives=1230, dep_delay=dep_delay, arr_delay=None))
    assert not times["cancelled"]
    assert times["arrived_at"] is None
    assert times["outcome_known_at"] == utc(f"2013-06-14 {known_at}")


QUARANTINED = {
    "skipped departure": (
        flight("2013-03-10", departs=230, arrives=500),
        ["sched_dep_time does not exist that day"],
    ),
    "skipped arrival, same day": (
        flight("2013-03-10", departs=30, arrives=230),
        ["sched_arr_time does not exist that day"],
    ),
    "skipped arrival, next day": (
        flight("2013-03-09", departs=2300, arrives=230),
        ["sched_arr_time does not exist that day"],
    ),
    "30 February": (flight("2013-02-30"), ["date does not exist"]),
    "unknown airport": (flight(dest="ZZZ"), ["no time zone for dest"]),
}


@pytest.mark.parametrize(("row", "reasons"), QUARANTINED.values(), ids=QUARANTINED.keys())
def test_quarantine(row: Row, reasons: list[str]) -> None:
    assert reasons_of(row) == reasons


def test_skipped_hour_elsewhere_is_no_obstacle() -> None:
    times = times_of(flight("2013-03-10", departs=30, arrives=230, dest="PHX"))
    assert times["arrived_at"] == utc("2013-03-10 09:30")


def test_rows_keep_their_order_and_columns() -> None:
    rows = [flight(flight=number, dest=dest) for number, dest in [(3, "HNL"), (1, "ATL")]]
    result = timed(*rows, flight(flight=2, dest="ZZZ"))
    assert result.valid["flight"].to_list() == [3, 1]
    assert result.quarantine["flight"].to_list() == [2]
    assert result.valid["scheduled_arrival"].dtype == pl.Datetime("us", "UTC")
