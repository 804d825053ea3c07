"""Which rows are sound, and the reasons of those that are not."""

from typing import Any

import polars as pl
import pytest
from pipelines.source_tables import read_csv
from pipelines.validation import AIRPORTS, FLIGHTS, PLANES, REASONS, WEATHER, validate

from tests.support.flights import Row, as_text, flight, plane, weather_hour
from zeroskew.contract.errors.project import PrepareError

BROKEN = {
    "month 13": (FLIGHTS, flight(month=13), ["month fails in_range(1, 12)"]),
    "no day": (FLIGHTS, flight() | {"day": None}, ["day fails not_nullable"]),
    "minute 75": (FLIGHTS, flight(sched_arr_time=1275), ["sched_arr_time fails minutes below 60"]),
    "hour 25": (
        FLIGHTS,
        flight(sched_dep_time=2500),
        ["sched_dep_time fails in_range(0, 2400)"],
    ),
    "a word for a number": (FLIGHTS, flight(distance="far"), ["distance is not Int64"]),
    "no carrier": (FLIGHTS, flight(carrier=None), ["carrier fails not_nullable"]),
    "a tail number of seven": (
        FLIGHTS,
        flight(tailnum="N123456"),
        ["tailnum fails str_matches('^[A-Z0-9]{3,6}$')"],
    ),
    "another origin": (FLIGHTS, flight(origin="BOS"), ["origin fails isin(['EWR', 'JFK', 'LGA'])"]),
    "a delay without a departure": (
        FLIGHTS,
        flight(dep_time=None, arr_delay=None),
        ["row fails dep_delay where dep_time is"],
    ),
    "an arrival without a departure": (
        FLIGHTS,
        flight(dep_delay=None) | {"arr_delay": 5},
        ["row fails arr_delay only where dep_time is"],
    ),
    "a hurricane": (
        WEATHER,
        weather_hour(wind_speed=1048.36),
        ["wind_speed fails in_range(0, 200)"],
    ),
    "not a number": (WEATHER, weather_hour(temp="NaN"), ["temp fails in_range(-60, 130)"]),
    "infinity": (WEATHER, weather_hour(humid="inf"), ["humid fails in_range(0, 100)"]),
    "half an hour": (
        WEATHER,
        weather_hour("2013-06-14T14:30:00Z"),
        [r"time_hour fails str_matches('^\d{4}-\d\d-\d\dT\d\d:00:00Z$')"],
    ),
    "30 February": (
        WEATHER,
        weather_hour("2013-02-30T14:00:00Z"),
        ["time_hour fails an hour that exists"],
    ),
    "hour 24": (
        WEATHER,
        weather_hour("2013-06-14T24:00:00Z"),
        ["time_hour fails an hour that exists"],
    ),
    "a plane of the year 0": (PLANES, plane(year=0), ["year fails in_range(1930, 2037)"]),
}


@pytest.mark.parametrize(("schema", "row", "reasons"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_row_is_quarantined_with_its_reasons(
    schema: Any, row: Row, reasons: list[str]
) -> None:
    raw = as_text([row])
    result = validate(raw, schema)
    assert result.valid.is_empty()
    assert result.quarantine[REASONS].to_list() == [reasons]
    assert result.quarantine.drop(REASONS).equals(raw)


def test_a_zone_that_does_not_exist_is_quarantined() -> None:
    result = validate(
        as_text([{"faa": "ATL", "lat": 33.6, "lon": -84.4, "tzone": "America/Atlanta"}]), AIRPORTS
    )
    assert result.quarantine[REASONS].item()[0].startswith("tzone fails isin(")


def test_all_reasons_of_a_row_are_given() -> None:
    result = validate(as_text([flight(month=13, carrier="unknown", distance="far")]), FLIGHTS)
    assert result.quarantine[REASONS].item().to_list() == [
        "carrier fails str_matches('^[A-Z0-9]{2}$')",
        "distance is not Int64",
        "month fails in_range(1, 12)",
    ]


def test_the_first_of_two_rows_of_a_key_is_kept() -> None:
    hours = [weather_hour(temp=50.0), weather_hour(temp=60.0), weather_hour(temp=70.0)]
    result = validate(as_text(hours), WEATHER)
    assert result.valid["temp"].to_list() == [50.0]
    assert result.quarantine["temp"].to_list() == ["60.0", "70.0"]
    assert (
        result.quarantine[REASONS].to_list()
        == [["row fails first row of its origin and time_hour"]] * 2
    )


def test_sound_rows_keep_their_order_and_get_their_types() -> None:
    rows = [
        flight(flight=3),
        flight(flight=2, month=0),
        flight(flight=1, dep_delay=None, tailnum=None),
    ]
    result = validate(as_text(rows), FLIGHTS)
    assert result.valid["flight"].to_list() == [3, 1]
    assert result.valid["dep_time"].to_list() == [1000, None]
    assert result.valid.schema["distance"] == pl.Int64
    assert result.quarantine["flight"].to_list() == ["2"]


@pytest.mark.parametrize("clock_time", [0, 2400, 2359])
def test_both_ways_to_write_midnight_are_sound(clock_time: int) -> None:
    result = validate(as_text([flight(sched_arr_time=clock_time)]), FLIGHTS)
    assert result.quarantine.is_empty()


def test_a_table_that_lacks_a_column_is_refused_by_name() -> None:
    raw = as_text([weather_hour()]).drop("temp", "visib")
    with pytest.raises(PrepareError, match=r"table 'weather'.*expected also \['temp', 'visib'\]"):
        validate(raw, WEATHER)


def test_rows_of_a_csv_file_that_are_too_short_end_in_nulls() -> None:
    frame = read_csv("weather", b"origin,temp\nEWR,NA\nJFK\n,\\N\n")
    assert frame.rows() == [("EWR", None), ("JFK", None), (None, None)]


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2,3\n", b"a,b\n\xff\xfe,2\n"], ids=["empty", "too long", "no UTF-8"]
)
def test_files_that_are_no_tables_are_refused_by_name(content: bytes) -> None:
    with pytest.raises(PrepareError, match="CSV file of table 'planes'"):
        read_csv("planes", content)
