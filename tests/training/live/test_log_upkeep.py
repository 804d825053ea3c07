"""The log has partitions where that is possible, ends by age, and goes to the lake."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import Engine, text

from tests.support.databases import DATABASES, open_database_url
from tests.support.live_traffic import START, Traffic, publish_versions
from tests.support.log_rows import make_row
from training.live.export_log import export_log
from training.live.log_upkeep import keep_log_in_shape
from training.live.open_log import open_log
from training.project.workspace import Workspace
from zeroskew.contract.rollout import Rollout
from zeroskew.records.database.open_database import open_database
from zeroskew.records.prediction_log.log_store import LogStore, open_log_store

NOW = datetime(2013, 12, 20, tzinfo=UTC)


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with open_database_url(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = open_database(url)
    yield opened
    opened.dispose()


@pytest.fixture
def store(url: str, engine: Engine) -> Iterator[LogStore]:
    opened = open_log_store(url, timeout_sec=5)
    yield opened
    opened.close()


def write_months(store: LogStore) -> list[str]:
    """Write one row in the middle of each month from August to December, and return their ids."""
    rows = [
        make_row(month, time=datetime(2013, month, 15, 12, tzinfo=UTC)) for month in range(8, 13)
    ]
    store.write(rows)
    return [row.id for row in rows]


def count_default(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM prediction_default")) or 0)


def test_what_is_older_goes_and_all_else_stays(store: LogStore, engine: Engine) -> None:
    ids = write_months(store)
    report = keep_log_in_shape(engine, NOW, keep=timedelta(days=60))
    assert [bool(store.read(one)) for one in ids] == [False, False, False, True, True]
    assert report.n_deleted + len(report.dropped) == 3
    again = keep_log_in_shape(engine, NOW, keep=timedelta(days=60))
    assert (again.n_deleted, again.made, again.dropped) == (0, [], [])


def test_without_an_age_nothing_goes(store: LogStore, engine: Engine) -> None:
    ids = write_months(store)
    assert keep_log_in_shape(engine, NOW, keep=None).n_deleted == 0
    assert all(store.read(one) for one in ids)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_months_have_partitions_and_rows_are_moved_there(store: LogStore, engine: Engine) -> None:
    ids = write_months(store)
    assert count_default(engine) == 5
    report = keep_log_in_shape(engine, NOW, keep=None)
    months = ["2013_08", "2013_09", "2013_10", "2013_11", "2013_12", "2014_01", "2014_02"]
    assert report.made == [f"prediction_{month}" for month in months]
    assert count_default(engine) == 0
    assert all(store.read(one) for one in ids)
    # The same row again is still there once, and a row of a month without a partition is kept.
    store.write([make_row(8, time=datetime(2013, 8, 15, 12, tzinfo=UTC))])
    store.write([make_row(99, time=datetime(2030, 1, 1, tzinfo=UTC))])
    assert len(store.read(ids[0])) == 1
    assert count_default(engine) == 1
    dropped = keep_log_in_shape(engine, NOW, keep=timedelta(days=60)).dropped
    assert dropped == ["prediction_2013_08", "prediction_2013_09"]


def test_many_old_rows_go_in_batches(store: LogStore, engine: Engine) -> None:
    old = [make_row(number, time=NOW - timedelta(days=90)) for number in range(12_001)]
    store.write([*old, make_row(20_000, time=NOW)])
    report = keep_log_in_shape(engine, NOW, keep=timedelta(days=10))
    assert report.n_deleted == (0 if report.dropped else 12_001)
    assert store.read(make_row(20_000).id)
    assert not store.read(old[-1].id)


def test_whole_days_go_to_the_lake_and_late_rows_follow(tmp_path: Path) -> None:
    publish_versions(tmp_path, 2)
    arms = [
        {"name": "one", "version": 1, "weight": 0.5},
        {"name": "two", "version": 2, "weight": 0.5},
    ]
    rollout = Rollout.model_validate({"kind": "ab", "arms": arms})
    traffic = Traffic(tmp_path, rollout, {"one": 1, "two": 2}, lambda _v, y: y, float)
    traffic.run(300, every=timedelta(minutes=10))  # A little more than two days.
    workspace = Workspace(home=tmp_path, artifacts_dir=tmp_path / "artifacts")
    url = f"sqlite:///{tmp_path}/zeroskew.db"
    with open_log(url, workspace) as log:
        until = START + timedelta(days=2, hours=2)

        def export() -> tuple[int, int, int]:
            report = export_log(log, tmp_path, "arrival_delay", until, lambda _done, _total: None)
            return report.n_written, report.n_standing, report.n_rows

        assert export() == (4, 0, 288)
        assert export() == (0, 4, 0)
        files = tmp_path / "predictions" / "arrival_delay" / "answer"
        exported = pl.read_parquet(files / "**/*.parquet", hive_partitioning=True).sort("time")
        assert exported.height == 288
        assert exported["score"].to_list() == [[float(number)] for number in range(288)]
        assert exported["request.origin"][3] == "O3"
        assert exported["feature.mean_delay"].unique().to_list() == [0.0]
        assert set(exported["version"]) == {1, 2}
        late = make_row(
            7_000, model="arrival_delay", time=START + timedelta(hours=1), **_like(log.engine)
        )
        store = open_log_store(url, timeout_sec=5)
        store.write([late])
        store.close()
        assert export()[:2] == (1, 3)
        # What leaves the log in the middle of a day has been in the lake, and stays there.
        keep = timedelta(days=30)
        assert keep_log_in_shape(log.engine, START + timedelta(hours=12) + keep, keep).n_deleted
        assert export() == (0, 4, 0)
        assert pl.read_parquet(files / "**/*.parquet").height == 289


def _like(engine: Engine) -> dict[str, bytes | str]:
    """Return the columns of a logged row that fit the model."""
    names = ("request", "features", "request_inputs", "statuses", "event_times", "output")
    with engine.connect() as connection:
        row = connection.execute(text(f"SELECT {', '.join(names)} FROM prediction")).first()
    assert row is not None
    return dict(zip(names, row, strict=True))
