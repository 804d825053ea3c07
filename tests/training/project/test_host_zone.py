"""The zone of the host changes nothing: what the online store holds is seconds since the epoch."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.support.online_stores import NEWEST_STORES, ViewSpec, make_store, write_rows

GATE = ViewSpec("gate", {"gate_number": "INT32"}, {"walk": "INT64"})
# The hour that clocks in New York show twice, the one that they never show, and plain days.
FOLD = datetime(2013, 11, 3, 5, 30, tzinfo=UTC)
INSTANTS = [
    FOLD,
    FOLD + timedelta(hours=1),
    datetime(2013, 3, 10, 7, 30, tzinfo=UTC),
    datetime(2013, 7, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
    datetime(2013, 7, 1, 12),  # noqa: DTZ001 - a naive time is UTC
]


@pytest.fixture(params=["America/New_York", "Asia/Kolkata", "Pacific/Auckland", "UTC"])
def host_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("host_zone")
def test_an_event_time_is_stored_and_read_as_the_instant_that_it_is(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    store = make_store(tmp_path, [GATE], {"type": NEWEST_STORES["sqlite"], "path": str(path)})
    for key, moment in enumerate(INSTANTS):
        write_rows(store, "gate", [{"gate_number": key, "walk": key}], event_time=moment)
    exact = [at if at.tzinfo else at.replace(tzinfo=UTC) for at in INSTANTS]
    seconds = [int(at.timestamp()) for at in exact]
    with closing(sqlite3.connect(path)) as online:
        stored = [event for (event,) in online.execute("SELECT event_ts FROM trial_gate")]
    assert sorted(stored) == sorted(seconds)
    answer = store.get_online_features(
        features=["gate:walk"], entity_rows=[{"gate_number": key} for key in range(len(INSTANTS))]
    ).proto
    told = [vector.event_timestamps for vector in answer.results][1]
    assert [one.ToDatetime(tzinfo=UTC).timestamp() for one in told] == seconds


def test_a_row_written_in_one_zone_is_compared_as_it_is_in_another(
    tmp_path: Path, host_zone: str
) -> None:
    config = {"type": NEWEST_STORES["sqlite"], "path": str(tmp_path / "online.db")}
    store = make_store(tmp_path / host_zone.replace("/", "_"), [GATE], config)
    noon = datetime(2013, 7, 1, 12, tzinfo=UTC)
    write_rows(store, "gate", [{"gate_number": 1, "walk": 1}], event_time=noon)
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    # Exact times are forgotten, as after a write of Feast's own store: seconds alone are left.
    with closing(sqlite3.connect(tmp_path / "online.db")) as online, online:
        online.execute("DELETE FROM zeroskew_event_times")
    for later, value in ((timedelta(hours=-1), 2), (timedelta(seconds=1), 3)):
        write_rows(store, "gate", [{"gate_number": 1, "walk": value}], event_time=noon + later)
    answer = store.get_online_features(features=["gate:walk"], entity_rows=[{"gate_number": 1}])
    assert answer.to_dict()["walk"] == [3]
