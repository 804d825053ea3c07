"""The example with its lake in a bucket trains on and serves the same numbers."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.support.flights_project import FlightsProject
from tests.support.machines import Machine
from tests.support.object_stores import ObjectStore, run_object_store

MODEL = "arrival_delay_15"


@pytest.fixture(scope="module")
def bucket() -> Iterator[ObjectStore]:
    with run_object_store() as store:
        yield store


@pytest.fixture(scope="module")
def machine(
    bucket: ObjectStore, flights: FlightsProject, tmp_path_factory: pytest.TempPathFactory
) -> Machine:
    address = bucket.upload(flights.workspace.lake_folder, "lake")
    folder = tmp_path_factory.mktemp("machine")
    url = f"sqlite:///{folder}/var/zeroskew.db"
    repo = flights.folder / "feature_repo"
    made = Machine(folder, url, repo, ZEROSKEW_LAKE=address, **bucket.environment)
    made.run("zeroskew apply")
    return made


def read_online(path: Path) -> set[tuple[object, ...]]:
    query = "SELECT entity_key, feature_name, value, event_ts FROM {}"
    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = sorted(name for (name,) in tables if name.startswith("flights_"))
        assert names
        return {(name, *row) for name in names for row in connection.execute(query.format(name))}


def test_training_and_materialization_read_the_same_from_a_bucket(
    machine: Machine, flights: FlightsProject
) -> None:
    machine.run(f"zeroskew materialize; zeroskew dataset {MODEL}")
    for name in ("rows", "features", "request"):
        file = Path("var/work") / MODEL / f"{name}.parquet"
        there, here = pl.read_parquet(machine.folder / file), pl.read_parquet(flights.folder / file)
        assert there.equals(here)
    online = Path("var/feast/online.db")
    assert read_online(machine.folder / online) == read_online(flights.folder / online)


def test_one_plane_is_shown_and_erased_in_a_bucket(
    machine: Machine, bucket: ObjectStore, flights: FlightsProject
) -> None:
    events = flights.workspace.lake_folder / "flight_events"
    bucket.upload(events, "erased/flight_events")
    key = machine.folder / "key.pem"
    machine.run(f"zeroskew migrate; zeroskew keygen {key}")
    lake = "ZEROSKEW_LAKE=s3://tables/erased"

    def count_rows(plane: str) -> int:
        shown = json.loads(machine.run(f"{lake} zeroskew subject export tailnum={plane}"))
        return sum(
            len(one["rows"]) for one in shown["files"] if one["file"].startswith("s3://tables/")
        )

    rows = pl.read_parquet(events, hive_partitioning=False)["tailnum"].value_counts()
    counts = dict(rows.iter_rows())
    assert count_rows("N14228") == counts["N14228"] > 100
    receipt = machine.folder / "receipt.json"
    settings = f"{lake} ZEROSKEW_SIGNING_KEY_FILE={key}"
    machine.run(f"{settings} zeroskew subject erase tailnum=N14228 --receipt {receipt}")
    assert count_rows("N14228") == 0
    assert count_rows("N24211") == counts["N24211"]


@pytest.mark.parametrize(
    ("variables", "command", "told"),
    [
        ("", "prepare", "but expected a folder"),
        (
            "ZEROSKEW_LAKE=s3://tables/nothing",
            f"dataset {MODEL}",
            "no Parquet file in s3://tables/nothing/arrival_labels",
        ),
        (
            "AWS_ENDPOINT_URL=http://127.0.0.1:1",
            f"dataset {MODEL}",
            "but expected an object store that can be read",
        ),
        ("ZEROSKEW_LAKE=some/lake", f"dataset {MODEL}", "expected an absolute path or an address"),
    ],
)
def test_what_cannot_be_done_is_said(
    machine: Machine, variables: str, command: str, told: str
) -> None:
    said = machine.run(f"{variables} zeroskew {command} 2>&1 || echo failed with $?")
    assert told in " ".join(said.split())
    assert "failed with 1" in said
    assert "Traceback" not in said
