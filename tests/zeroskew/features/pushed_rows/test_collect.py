"""Pushed rows reach their table once, with their types, whatever is interrupted when."""

import base64
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, Map, String
from feast.types import UnixTimestamp as Instant
from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from tests.support.databases import DATABASES, open_database_url
from tests.support.feast_repos import at, feature_store
from zeroskew.contract.pushed_rows import PushedColumn, PushedRows
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.pushed_rows.collect import Collected, collect_pushes
from zeroskew.features.pushed_rows.waiting import find_pushed, forget_pushed
from zeroskew.records.database.open_database import open_database
from zeroskew.records.pushes.push_row import PushRow
from zeroskew.records.pushes.push_store import open_push_store

NOON = to_epoch_us(at(720))
US = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Project:
    """A store over one table, and the database in which its pushes wait."""

    store: FeatureStore
    root: Path
    url: str
    engine: Engine

    def push(
        self,
        values: Sequence[Any],
        *,
        keys: Sequence[Any] = (),
        event_us: Sequence[int] = (),
        created_us: Sequence[int | None] = (),
        received_us: int = NOON,
        source: str = "gates_table",
        kind: str = "INT64",
    ) -> None:
        """Keep rows of the table as the service does; of entity 1 at noon unless told otherwise."""
        n_rows = len(values)
        columns = {
            "gate": PushedColumn("INT64", list(keys) or [1] * n_rows),
            "walk": PushedColumn(kind, list(values)),
        }
        rows = PushedRows(
            columns,
            list(event_us) or [NOON] * n_rows,
            list(created_us) or [None] * n_rows,
            received_us,
        )
        self.keep(rows, source)

    def keep(self, rows: PushedRows, source: str = "gates_table") -> None:
        pushes = open_push_store(self.url, timeout_sec=5)
        row = PushRow("trial", source, rows.to_json(), rows.sha256, datetime.now(UTC))
        pushes.write([row])
        pushes.close()

    def collect(self) -> Collected:
        return collect_pushes(self.engine, self.store)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return gate, walk, and minutes of event and created time after noon, in their order."""
        frame = pl.concat(
            [pl.read_parquet(f, hive_partitioning=False) for f in self.root.rglob("*.parquet")]
        )
        minutes = [
            ((pl.col(name).cast(US).dt.timestamp("us") - NOON) / 60_000_000).alias(name)
            for name in ("event_timestamp", "created")
        ]
        chosen = frame.select("gate", pl.col("walk_m"), *minutes)
        return sorted(chosen.rows(), key=lambda row: (row[0], row[2], row[3]))

    def n_waiting(self) -> int:
        return len(find_pushed(self.engine, lambda _: True))


@pytest.fixture(params=DATABASES)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    with open_database_url(request.param, tmp_path) as url:
        yield from open_project(tmp_path, url)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Project]:
    yield from open_project(tmp_path, f"sqlite:///{tmp_path}/zeroskew.db")


def open_project(folder: Path, url: str, path: str = "lake/gates") -> Iterator[Project]:
    gate = Entity(name="gate", join_keys=["gate"], value_type=ValueType.INT64)
    source = FileSource(
        name="gates_table",
        path=path,
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
        field_mapping={"walk_m": "walk"},
    )
    view = FeatureView(
        name="gates",
        entities=[gate],
        schema=[Field(name="walk", dtype=Int64)],
        source=PushSource(name="gates_push", batch_source=source),
    )
    root = folder / path
    write_part(root / "part-0.parquet" if root.suffix == "" else root)
    store = feature_store(folder, [gate, view])
    engine = open_database(url)
    yield Project(store, root.parent if root.suffix else root, url, engine)
    engine.dispose()


def write_part(path: Path, dtype: pl.DataType | None = None, unit: str = "us") -> None:
    """Write one row of gate 0, an hour before noon."""
    path.parent.mkdir(parents=True, exist_ok=True)
    moment = pl.Series([at(660)], dtype=US).cast(pl.Datetime(unit, "UTC"))  # type: ignore[arg-type]  # one of three
    pl.DataFrame(
        {
            "gate": pl.Series([0], dtype=pl.Int64),
            "walk_m": pl.Series([9], dtype=dtype or pl.Int64),
            "event_timestamp": moment,
            "created": moment,
        }
    ).write_parquet(path)


BEFORE = (0, 9, -60.0, -60.0)


def test_rows_are_added_under_the_sources_names_and_then_wait_no_more(project: Project) -> None:
    project.push([5, None], keys=[1, 2**53 + 1], created_us=[None, NOON - 60_000_000])
    done = project.collect()
    assert (dict(done.added), done.refused) == ({"gates_table": 2}, {})
    assert project.rows() == [BEFORE, (1, 5, 0.0, 0.0), (2**53 + 1, None, 0.0, -1.0)]
    assert project.n_waiting() == 0
    assert project.collect() == Collected()


def test_a_request_that_is_sent_again_is_stored_once(project: Project) -> None:
    project.push([5])
    project.push([5], received_us=NOON + 1)
    assert project.n_waiting() == 1
    project.collect()
    # The answer may have been lost after the rows were moved, too.
    project.push([5], received_us=NOON + 2)
    assert dict(project.collect().repeated) == {"gates_table": 1}
    assert project.rows() == [BEFORE, (1, 5, 0.0, 0.0)]


def test_a_value_that_returns_is_no_repetition(project: Project) -> None:
    """Of equal event times the last one stands online, so it must be the last created here."""
    minute = 60_000_000
    for number, value in enumerate([5, 6, 5]):
        project.push([value], received_us=NOON + number * minute)
        if number == 0:
            project.collect()
    project.collect()
    assert project.rows() == [BEFORE, (1, 5, 0, 0), (1, 6, 0, 1), (1, 5, 0, 2)]


def test_of_one_moment_the_last_word_stands(embedded: Project) -> None:
    embedded.push([5, 6, 7])
    embedded.push([8])
    embedded.collect()
    assert embedded.rows() == [BEFORE, (1, 8, 0, 0)]
    embedded.push([9])
    embedded.collect()
    (_, first, second) = embedded.rows()
    assert (first[1], second[1]) == (8, 9)
    assert first[3] < second[3] < 1e-6


def test_what_a_client_read_from_the_table_is_not_added_to_it(embedded: Project) -> None:
    hour = 3_600_000_000
    embedded.push([9], keys=[0], event_us=[NOON - hour], created_us=[NOON - hour])
    assert dict(embedded.collect().repeated) == {"gates_table": 1}
    # The same with another created time is another row.
    embedded.push([9], keys=[0], event_us=[NOON - hour], created_us=[NOON])
    embedded.collect()
    assert embedded.rows() == [BEFORE, (0, 9, -60, 0)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_keep_their_instant_in_every_unit(embedded: Project, unit: str) -> None:
    write_part(embedded.root / "part-0.parquet", unit=unit)
    embedded.push([5], event_us=[NOON + 1_000], created_us=[NOON + 2_000])
    assert embedded.collect().refused == {}
    row = embedded.rows()[1]
    assert row == (1, 5, pytest.approx(1 / 60_000), pytest.approx(2 / 60_000))


@pytest.mark.parametrize(
    ("dtype", "unit", "value", "event_us", "said"),
    [
        (pl.Int32(), "us", 2**31, NOON, "walk_m"),
        (pl.Int64(), "ms", 1, NOON + 1, "event_timestamp"),
        (pl.Int64(), "ns", 1, 2**62, "event_timestamp"),
        (pl.String(), "us", 1, NOON, "walk_m"),
    ],
)
def test_what_does_not_fit_waits_and_holds_nobody_up(
    embedded: Project, dtype: pl.DataType, unit: str, value: int, event_us: int, said: str
) -> None:
    path = embedded.root / "part-0.parquet"
    if dtype == pl.String:
        write_part(path, unit=unit)
        pl.read_parquet(path).with_columns(pl.col("walk_m").cast(dtype)).write_parquet(path)
    else:
        write_part(path, dtype, unit)
    embedded.push([value], event_us=[event_us])
    if dtype != pl.String:
        embedded.push([7], keys=[3])
    done = embedded.collect()
    assert said in done.refused["gates_table"]
    assert dict(done.n_refused) == {"gates_table": 1}
    assert embedded.n_waiting() == 1
    if dtype != pl.String:
        assert embedded.rows()[-1][:2] == (3, 7)
    # It goes where it fits as soon as it does.
    for file in embedded.root.iterdir():
        file.unlink()
    write_part(path)
    assert embedded.collect().refused == {}
    assert embedded.n_waiting() == 0


def test_a_source_that_no_view_reads_is_said(embedded: Project) -> None:
    embedded.push([5], source="gone")
    assert "'gone'" in embedded.collect().refused["gone"]
    assert embedded.n_waiting() == 1


def test_a_view_without_a_table_is_in_nobodys_way(embedded: Project) -> None:
    fields = [Field(name="gate", dtype=Int64), Field(name="x", dtype=Int64)]
    bare = FeatureView(name="bare", entities=[embedded.store.get_entity("gate")], schema=fields)
    embedded.store.apply([bare])
    embedded.push([5])
    assert embedded.collect().added == {"gates_table": 1}


def test_rows_in_the_lake_that_could_not_be_taken_off_the_list_are_there_once(
    embedded: Project,
) -> None:
    """As after a kill between the part file's name and the end of the transaction."""
    path = embedded.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TRIGGER stop BEFORE DELETE ON pushed_rows BEGIN SELECT RAISE(ABORT, 'x'); END"
        )
    embedded.push([5])
    embedded.push([6], received_us=NOON + 60_000_000)
    for _ in range(2):
        with pytest.raises(DatabaseError):
            embedded.collect()
        # What comes meanwhile goes into a file of its own.
        embedded.push([7], keys=[2])
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TRIGGER stop")
    embedded.collect()
    assert embedded.rows() == [BEFORE, (1, 5, 0, 0), (1, 6, 0, 1), (2, 7, 0, 0)]
    assert embedded.n_waiting() == 0


def test_partitions_of_the_calendar_are_followed(embedded: Project) -> None:
    (embedded.root / "part-0.parquet").unlink()
    write_part(embedded.root / "year=2013" / "month=01" / "part-0.parquet")
    embedded.push([5, 6], event_us=[NOON, NOON + 40 * 86_400_000_000])
    embedded.collect()
    folders = {
        f.parent.relative_to(embedded.root).as_posix() for f in embedded.root.rglob("push-*")
    }
    assert folders == {"year=2013/month=01", "year=2013/month=02"}
    assert [row[1] for row in embedded.rows()] == [9, 5, 6]


def test_a_table_that_is_one_file_is_written_anew(tmp_path: Path) -> None:
    for project in open_project(tmp_path, f"sqlite:///{tmp_path}/z.db", "lake/gates.parquet"):
        project.push([5])
        project.collect()
        assert project.rows() == [BEFORE, (1, 5, 0, 0)]
        assert [file.name for file in project.root.iterdir()] == ["gates.parquet"]


def test_a_table_without_a_file_begins_with_what_is_pushed(embedded: Project) -> None:
    (embedded.root / "part-0.parquet").unlink()
    embedded.push([5, None])
    embedded.collect()
    assert embedded.rows() == [(1, None, 0, 0)]


def test_one_entitys_rows_are_found_and_erased_before_they_are_moved(project: Project) -> None:
    project.push([5, 6], keys=[1, 2])
    project.push([7], keys=[1], received_us=NOON + 1)

    def is_first(record: Any) -> bool:
        return bool(record["gate"] == 1)

    assert [row["walk"] for row in find_pushed(project.engine, is_first)] == [5, 7]
    assert forget_pushed(project.engine, is_first) == 2
    assert forget_pushed(project.engine, is_first) == 0
    project.collect()
    assert project.rows() == [BEFORE, (2, 6, 0, 0)]


KINDS: list[tuple[Any, str, pl.DataType, Any, Any]] = [
    (Int64, "INT64", pl.Int64(), 2**63 - 1, 2**63 - 1),
    (Int32, "INT32", pl.Int32(), -(2**31), -(2**31)),
    (Int32, "INT32", pl.Int64(), 7, 7),
    (Float64, "DOUBLE", pl.Float64(), 0.1, 0.1),
    (Float64, "DOUBLE", pl.Float64(), float("inf"), float("inf")),
    (Float32, "FLOAT", pl.Float32(), 0.10000000149011612, 0.10000000149011612),
    (Bool, "BOOL", pl.Boolean(), False, False),
    (String, "STRING", pl.String(), "größer\n\u0001", "größer\n\u0001"),
    (Bytes, "BYTES", pl.Binary(), base64.b64encode(b"\0\xff").decode(), b"\0\xff"),
    (Instant, "UNIX_TIMESTAMP", pl.Int64(), -1, -1),
    (Instant, "UNIX_TIMESTAMP", US, 86_400, datetime(1970, 1, 2, tzinfo=UTC)),
    (Instant, "UNIX_TIMESTAMP", pl.Datetime("ns"), 86_400, datetime(1970, 1, 2)),  # noqa: DTZ001 - the table's
    (Array(Int64), "INT64_LIST", pl.List(pl.Int64()), [2**63 - 1, -1], [2**63 - 1, -1]),
    (Array(Bytes), "BYTES_LIST", pl.List(pl.Binary()), ["AA=="], [b"\0"]),
    (Array(String), "STRING_LIST", pl.List(pl.String()), [], []),
    (
        Map,
        "MAP",
        pl.Struct({"a": pl.Int64(), "b": pl.String()}),
        {"a": 2**53 + 1},
        {"a": 2**53 + 1, "b": None},
    ),
    (Map, "MAP", pl.String(), {"a": 1}, '{"a": 1}'),
]


@pytest.mark.parametrize(("feast_type", "kind", "dtype", "pushed", "stored"), KINDS)
def test_values_of_every_type_reach_the_table_as_they_are(
    tmp_path: Path, feast_type: Any, kind: str, dtype: pl.DataType, pushed: Any, stored: Any
) -> None:
    from zeroskew.features.pushed_rows.typed_rows import frame_of

    source = FileSource(name="t", path=str(tmp_path), timestamp_field="event_timestamp")
    assert Field(name="walk", dtype=feast_type).dtype.to_value_type().name == kind
    rows = PushedRows({"walk": PushedColumn(kind, [pushed, None])}, [NOON] * 2, [None] * 2, NOON)
    schema = pl.Schema({"walk": dtype, "event_timestamp": US, "unread": pl.Float32()})
    made = frame_of(PushedRows.from_json(rows.to_json()), source, schema)
    assert made["walk"].dtype == dtype
    assert made["walk"].to_list() == [stored, None]
    assert made["unread"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("kind", "dtype", "pushed"),
    [
        ("UNIX_TIMESTAMP", US, 1_700_000_000_000_000),
        ("UNIX_TIMESTAMP_LIST", pl.List(US), [-(10**15)]),
    ],
)
def test_seconds_of_no_calendar_are_refused(
    tmp_path: Path, kind: str, dtype: pl.DataType, pushed: Any
) -> None:
    from zeroskew.features.pushed_rows.typed_rows import frame_of

    source = FileSource(name="t", path=str(tmp_path), timestamp_field="event_timestamp")
    rows = PushedRows({"walk": PushedColumn(kind, [pushed, None])}, [NOON] * 2, [None] * 2, NOON)
    schema = pl.Schema({"walk": dtype, "event_timestamp": US})
    with pytest.raises(SourceError, match="seconds since 1970 in column 'walk'"):
        frame_of(rows, source, schema)
