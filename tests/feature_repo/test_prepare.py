"""From tiny source tables to the lake, every target by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feature_views
import polars as pl
import pytest
from feast import FeatureView
from pipelines.prepare import PrepareReport, prepare

from tests.support.flight_windows import ask_windows
from tests.support.flights import Row, flight, plane, source_tables, weather_hour


def run(home: Path, *flights: Row, **tables: Any) -> PrepareReport:
    return prepare(
        home / "var" / "lake", source=lambda: source_tables(flights or (flight(),), **tables)
    )


def read(home: Path, table: str) -> list[dict[str, Any]]:
    frame = pl.read_parquet(home / "var" / "lake" / table, hive_partitioning=False)
    return frame.sort("event_timestamp", maintain_order=True).to_dicts()


def ask(
    home: Path, view: FeatureView, *moments: datetime, cutoff: bool = False, **keys: str
) -> list[dict[str, Any]]:
    """Return the features of an entity at some moments."""
    rows = pl.DataFrame({"event_timestamp": moments}).with_columns(
        pl.lit(value).alias(name) for name, value in keys.items()
    )
    return ask_windows(home / "var" / "lake", view, rows, cutoff=cutoff).to_dicts()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


THREE_FLIGHTS = (
    # Leaves 14:05, arrives 16:50 UTC.
    flight(flight=1, departs=1000, arrives=1230, dep_delay=5, arr_delay=20),
    # Leaves 14:35, arrives 16:55.
    flight(flight=2, departs=1030, arrives=1300, dep_delay=5, arr_delay=-5),
    # Cancelled, known at 17:30.
    flight(flight=3, departs=1100, arrives=1330, dep_delay=None, tailnum=None),
)


def test_carrier_statistics(tmp_path: Path) -> None:
    run(tmp_path, *THREE_FLIGHTS)
    moments = ["14:05", "14:35", "16:50", "16:55", "17:30", "17:35"]
    times = [utc(f"2013-06-14 {moment}") for moment in moments]
    rows = ask(tmp_path, feature_views.carrier_performance, *times, carrier="UA")
    assert [
        (
            moment,
            row["carrier_departure_delay_mean_3h"],
            row["carrier_arrival_delay_mean_3h"],
            row["carrier_late_share_7d"],
            row["carrier_cancelled_share_24h"],
        )
        for moment, row in zip(moments, rows, strict=True)
    ] == [
        ("14:05", 5.0, None, None, None),
        ("14:35", 5.0, None, None, None),
        ("16:50", 5.0, 20.0, 1.0, 0.0),
        ("16:55", 5.0, 7.5, 0.5, 0.0),
        # The first departure is three hours ago at 17:05, the second at 17:35: nothing is left.
        ("17:30", 5.0, 7.5, 0.5, pytest.approx(1 / 3)),
        ("17:35", None, 7.5, 0.5, pytest.approx(1 / 3)),
    ]


def test_overdue_departures(tmp_path: Path) -> None:
    run(
        tmp_path,
        # Exactly 15 minutes late: leaves as it becomes overdue, and never counts.
        flight(flight=1, departs=1000, dep_delay=15),
        # Overdue from 14:25, leaves at 15:00 UTC.
        flight(flight=2, departs=1010, dep_delay=50),
        # Overdue from 14:45, cancelled, known at 16:30 UTC.
        flight(flight=3, departs=1030, dep_delay=None),
    )
    moments = ["14:15", "14:25", "14:45", "15:00", "16:30"]
    times = [utc(f"2013-06-14 {moment}") for moment in moments]
    rows = ask(tmp_path, feature_views.origin_performance, *times, origin="EWR")
    assert [row["origin_overdue_departures"] for row in rows] == [0, 1, 2, 1, 0]
    changes = [
        (row["event_timestamp"].strftime("%H:%M"), row["overdue"])
        for row in read(tmp_path, "flight_events")
        if row["overdue"] is not None
    ]
    assert changes == [("14:25", 1), ("14:45", 1), ("15:00", -1), ("16:30", -1)]


def test_a_delay_is_known_when_the_flight_has_landed(tmp_path: Path) -> None:
    run(tmp_path, flight(departs=2145, arrives=15, dep_delay=0, arr_delay=30))
    departure, arrival = read(tmp_path, "flight_events")
    assert departure == {
        "carrier": "UA",
        "origin": "EWR",
        "dest": "ATL",
        "tailnum": "N14228",
        "event_timestamp": utc("2013-06-15 01:45"),
        "created": utc("2013-06-15 01:50"),
        "departure_delay": 0,
        "arrival_delay": None,
        "late": None,
        "cancelled": None,
        "distance": None,
        "arrived_at": None,
        "overdue": None,
    }
    assert arrival == departure | {
        "event_timestamp": utc("2013-06-15 04:45"),
        "created": utc("2013-06-15 04:50"),
        "departure_delay": None,
        "arrival_delay": 30,
        "late": True,
        "cancelled": False,
        "distance": 746,
        "arrived_at": utc("2013-06-15 04:45"),
    }
    moments = [utc("2013-06-15 01:45"), utc("2013-06-15 04:45")]
    for lag in (timedelta(0), timedelta(minutes=5)):
        times = [moment + lag for moment in moments]
        plane = feature_views.plane_performance
        rows = ask(tmp_path, plane, *times, cutoff=bool(lag), tailnum="N14228")
        assert [(r["plane_last_departure_delay"], r["plane_last_arrival_delay"]) for r in rows] == [
            (0, None),
            (0, 30),
        ]


def test_a_flight_without_tail_number_counts_for_all_but_the_planes(tmp_path: Path) -> None:
    report = run(tmp_path, flight(tailnum=None))
    assert report.rows["flight_events"] == 2
    assert report.rows["arrival_labels"] == 1
    assert {row["tailnum"] for row in read(tmp_path, "flight_events")} == {None}
    (row,) = ask(
        tmp_path,
        feature_views.route_performance,
        utc("2013-06-15 00:00"),
        origin="EWR",
        dest="ATL",
    )
    assert row["route_arrivals_28d"] == 1


def test_weather_is_known_when_its_hour_is_over(tmp_path: Path) -> None:
    run(tmp_path, weather=[weather_hour("2013-06-14T14:00:00Z", temp=71.5)])
    (row,) = read(tmp_path, "origin_weather")
    assert row["temperature_fahrenheit"] == 71.5
    assert row["wind_gust_mph"] is None
    assert row["event_timestamp"] == utc("2013-06-14 15:00")
    assert row["created"] == utc("2013-06-14 15:05")


def test_the_plane_register_is_known_from_the_start_with_few_makers(tmp_path: Path) -> None:
    makers = {
        "N1AA": "AIRBUS INDUSTRIE",
        "N2AA": "MCDONNELL DOUGLAS AIRCRAFT CO",
        "N3AA": "MARZ BARRY",
        "N4AA": None,
    }
    run(tmp_path, planes=[plane(tail, manufacturer=maker) for tail, maker in makers.items()])
    rows = read(tmp_path, "plane_register")
    assert {row["tailnum"]: row["plane_manufacturer"] for row in rows} == {
        "N1AA": "airbus",
        "N2AA": "mcdonnell douglas",
        "N3AA": "other",
        "N4AA": None,
    }
    assert {row["event_timestamp"] for row in rows} == {utc("2013-01-01 00:00")}


def test_labels_stand_two_hours_before_departure(tmp_path: Path) -> None:
    run(
        tmp_path,
        flight(flight=1, departs=1000, arrives=1230, arr_delay=15),
        flight(flight=2, departs=1100, arrives=1330, dep_delay=None, tailnum=None),
        flight(flight=3, departs=1200, arrives=1430, arr_delay=None),
    )
    late, cancelled, diverted = read(tmp_path, "arrival_labels")
    assert late == {
        "carrier": "UA",
        "origin": "EWR",
        "dest": "ATL",
        "tailnum": "N14228",
        "flight": 1,
        "scheduled_departure": utc("2013-06-14 14:00"),
        "event_timestamp": utc("2013-06-14 12:00"),
        "arrival_delay_minutes": 15,
        "label_known_at": utc("2013-06-14 16:45"),
    }
    assert cancelled["arrival_delay_minutes"] is None
    assert cancelled["label_known_at"] == utc("2013-06-14 17:30")
    assert diverted["arrival_delay_minutes"] is None


def test_broken_rows_are_quarantined_counted_and_told(tmp_path: Path) -> None:
    said: list[str] = []
    report = prepare(
        tmp_path / "var" / "lake",
        source=lambda: source_tables(
            [flight(flight=1), flight(flight=2, month=13), flight(flight=3, dest="ZZZ")],
            weather=[weather_hour(), weather_hour()],
        ),
        progress=said.append,
    )
    assert report.quarantined == {"airports": 0, "planes": 0, "weather": 1, "flights": 2}
    assert report.reasons["flights"] == {
        "month fails in_range(1, 12)": 1,
        "no time zone for dest": 1,
    }
    quarantine = pl.read_parquet(tmp_path / "var" / "lake" / "_quarantine" / "flights")
    assert quarantine.select("flight", "reasons").rows() == [
        ("2", ["month fails in_range(1, 12)"]),
        ("3", ["no time zone for dest"]),
    ]
    assert "weather: 1 rows read, 1 quarantined (1 x row fails first row of its" in said[2]
    assert report.rows["arrival_labels"] == 1


def test_a_run_again_changes_nothing_and_another_batch_adds_rows(tmp_path: Path) -> None:
    first = run(tmp_path, *THREE_FLIGHTS)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    assert run(tmp_path, *THREE_FLIGHTS) == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == files

    run(tmp_path, flight("2013-06-15"), batch="next_day")
    assert len(read(tmp_path, "arrival_labels")) == 4
    assert all(path.read_bytes() == content for path, content in files.items())


def test_every_row_was_created_after_its_event(tmp_path: Path) -> None:
    report = run(tmp_path, *THREE_FLIGHTS)
    for table in report.rows.keys() - {
        "arrival_labels",
        "plane_register",
        "origin_airport",
        "destination_airport",
    }:
        lags = {row["created"] - row["event_timestamp"] for row in read(tmp_path, table)}
        assert lags == {timedelta(minutes=5)}, table
