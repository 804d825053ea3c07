"""Nothing of one entity is left after an erasure, and nothing of the others is touched."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from feast import FeatureStore
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlmodel import SQLModel
from typer.testing import CliRunner, Result

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.databases import open_database_url
from tests.support.manifests import EXAMPLE
from tests.support.online_stores import NEWEST_STORES, make_store, write_rows
from tests.support.redis_servers import RedisServer
from tests.support.settings import make_settings
from tests.support.whole_service import VIEWS, publish_every_kind
from training.cli.main import app
from training.live.open_log import open_log
from training.privacy.lake_subject import find_in_files, forget_in_files
from training.privacy.logged_subject import (
    _find_rows,
    _Found,
    _labels_of,
    _take_out_of_row,
    find_logged,
    forget_logged,
    take_out,
)
from training.privacy.receipt import verify_receipt
from training.privacy.subject import Subject, parse_subject
from training.project.workspace import Workspace
from training.publish.signing import make_signing_key, public_key_of
from zeroskew.contract.pushed_rows import PushedColumn, PushedRows
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.records.prediction_log.log_mask import hash_text
from zeroskew.records.prediction_log.logged_row import LoggedRow
from zeroskew.records.prediction_log.spool import Spool
from zeroskew.records.pushes.tables import StoredPush

PERSON, OTHER = "N0CANARY", "N1OTHER"


def test_a_subject_is_all_of_its_keys_under_any_of_their_names() -> None:
    subject = parse_subject(["customer=7", "shop=a"])
    assert subject.matches({"customer": 7, "shop": "a", "x": 1})
    assert not subject.matches({"customer": 7, "shop": "b"})
    assert not subject.matches({"customer": 7})
    assert not subject.matches({"customer": True, "shop": "a"})
    frame = pl.DataFrame({"customer": [7, 7, None], "shop": ["a", "b", "a"]})
    condition = subject.condition(frame.schema)
    assert condition is not None
    assert frame.filter(condition).height == 1
    assert subject.condition({"customer": pl.Int64()}) is None


def test_a_whole_number_is_found_as_a_float_and_another_column_is_not_the_key() -> None:
    subject = parse_subject(["driver=7"])
    known = Subject(subject.values, {"driver": frozenset({"driver", "id"})})
    frame = pl.DataFrame({"driver": [7.0, 9.0, None], "id": [1, 7, 7]})
    condition = known.condition(frame.schema)
    assert condition is not None
    assert frame.filter(condition)["driver"].to_list() == [7.0]
    assert known.matches({"driver": 7.0, "id": 1})
    assert not known.matches({"driver": 9, "id": 7})
    assert known.matches({"id": 7})
    assert not known.matches({"id": 7.5})


def test_names_of_names_are_found_whatever_the_order() -> None:
    def plan(name: str, field: str) -> Any:
        join_key = SimpleNamespace(name=name, field=field)
        return SimpleNamespace(views=[SimpleNamespace(join_keys=[join_key])])

    pair = [plan("rider_id", "passenger"), plan("rider_id", "rider")]
    for plans in (pair, pair[::-1]):
        names = parse_subject(["rider=7"]).with_aliases(plans).names
        assert names["rider"] == {"rider", "rider_id", "passenger"}


def test_an_instance_is_taken_out_of_a_row_and_the_rest_stays_to_the_bit() -> None:
    row = {
        "n_rows": 3,
        "numbers": None,
        "request": '[["a"],["b"],["c"]]',
        "overrides": None,
        "features": bytes(range(24)),
        "request_inputs": b"",
        "statuses": b"\0\1\2",
        "event_times": bytes(range(24)),
        "output": bytes(range(24)),
    }
    changed = take_out(row, [1])
    assert changed == {
        "n_rows": 2,
        "numbers": "[0,2]",
        "request": '[["a"],["c"]]',
        "features": bytes(range(8)) + bytes(range(16, 24)),
        "statuses": b"\0\2",
        "event_times": bytes(range(8)) + bytes(range(16, 24)),
        "output": bytes(range(8)) + bytes(range(16, 24)),
    }
    assert take_out(row | changed, [0, 1]) is None


class Place:
    """Everything that holds the canary person, and beside it another person."""

    def __init__(self, folder: Path, url: str, redis: RedisServer | None) -> None:
        self.folder = folder
        self.url = url
        self.redis = redis
        self.online = folder / "online.db"
        config = (
            {"type": NEWEST_STORES["sqlite"], "path": str(self.online)}
            if redis is None
            else {"type": "redis", "connection_string": f"127.0.0.1:{redis.port}"}
        )
        self.store = make_store(folder / "feature_repo", VIEWS, config)
        for origin in (PERSON, OTHER):
            rows = [{"origin": origin, "dest": "IAH", "flights": 3, "share": 0.125}]
            write_rows(self.store, "route_stats", rows)
        publish_every_kind(folder, url)
        lake = folder / "var" / "lake" / "routes"
        lake.mkdir(parents=True)
        pl.DataFrame({"origin": [PERSON, OTHER], "x": [1, 2]}).write_parquet(lake / "a.parquet")
        self._push(PERSON, OTHER)
        self.key_file = folder / "key.pem"
        make_signing_key(self.key_file)
        self.spool = folder / "var" / "spool"

    def _push(self, *origins: str) -> None:
        """Have rows wait for the lake that fit into no table of it."""
        columns = {"origin": PushedColumn("STRING", origins), "y": PushedColumn("INT64", [1, 2])}
        rows = PushedRows(columns, [0, 0], [None, None], 7)
        push = StoredPush(
            project=self.store.project,
            source="routes",
            rows=rows.to_json(),
            sha256=rows.sha256,
            received_at=datetime.now(UTC),
        )
        engine = create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"))
        with Session(engine) as session, session.begin():
            session.add(push)
        engine.dispose()

    def predict_and_label(self) -> None:
        """Predict for both, alone and in one request, and send labels by id and by key."""
        online = f"sqlite:///{self.online}" if self.redis is None else self.redis.url
        settings = make_settings(
            self.folder,
            self.online,
            database_url=self.url,
            log_mode="durable",
            log_spool_dir=self.spool,
        ).model_copy(update={"online_store": online})
        with AppClient(create_app(settings)) as client:
            for origins in ([PERSON], [OTHER, PERSON, OTHER], [OTHER]):
                instances = [EXAMPLE | {"origin": origin} for origin in origins]
                path = "/v1/models/is_late:predict"
                answer = client.post(path, json={"instances": instances}).json()
                labels = [
                    {
                        "prediction_id": answer["id"],
                        "row": row,
                        "value": True,
                        "observed_at": answer["as_of"],
                    }
                    for row in range(len(origins))
                ]
                assert client.post("/v1/feedback", json={"labels": labels}).status_code == 200

    def dump(self) -> bytes:
        """Return all that is stored anywhere, as bytes."""
        found = b""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.suffix != ".json" and "redis" not in path.parts:
                found += path.read_bytes()
        if not self.url.startswith("sqlite"):
            engine = create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"))
            with engine.connect() as connection:
                for table in ("prediction", "label", "pushed_rows"):
                    found += repr(connection.execute(text(f"SELECT * FROM {table}")).all()).encode()
            engine.dispose()
        if self.redis is not None:
            with self.redis.client() as client:
                for key in client.scan_iter():
                    found += key + repr(client.hgetall(key)).encode()
        return found

    def count(self, table: str) -> int:
        engine = create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as connection:
            found: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        engine.dispose()
        return found


@pytest.fixture(params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    with ExitStack() as stack:
        url = stack.enter_context(open_database_url(request.param, tmp_path))
        redis = None
        if request.param == "postgres":
            redis = stack.enter_context(RedisServer(tmp_path / "redis"))
        place = Place(tmp_path, url, redis)
        config = place.store.config
        monkeypatch.setattr(
            "training.project.workspace.Workspace.open_feature_store",
            lambda _: FeatureStore(config=config),
        )
        monkeypatch.setenv("ZEROSKEW_DATABASE_URL", url)
        monkeypatch.setenv("ZEROSKEW_HOME", str(tmp_path / "var"))
        monkeypatch.setenv("ZEROSKEW_ARTIFACTS_DIR", str(tmp_path / "artifacts"))
        monkeypatch.setenv("ZEROSKEW_SIGNING_KEY_FILE", str(place.key_file))
        place.predict_and_label()
        yield place


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["subject", *arguments])


def erase(place: Place) -> dict[str, Any]:
    receipt = place.folder / "receipt.json"
    arguments = ("--receipt", str(receipt), "--reference", "T-1", "--drained")
    result = run("erase", f"origin={PERSON}", *arguments)
    assert result.exit_code == 0, result.output
    content = receipt.read_text()
    assert PERSON not in content
    assert PERSON not in result.output
    found = verify_receipt(content, public_key_of(place.key_file))
    assert found is not None
    assert found.is_complete
    assert verify_receipt(content.replace('"T-1"', '"T-2"'), public_key_of(place.key_file)) is None
    return found.erased


def test_after_an_erasure_nothing_of_the_person_is_anywhere(place: Place) -> None:
    assert PERSON.encode() in place.dump()
    assert run("where", "origin").exit_code == 0
    before = place.count("label")
    exported = json.loads(run("export", f"origin={PERSON}").stdout)
    assert len(exported["online_store"]) == 1
    assert [one["row"] for one in exported["predictions"]] == [0, 1]
    assert all(one["request"]["origin"] == PERSON for one in exported["predictions"])
    assert len(exported["labels"]) == 2
    assert exported["files"][0]["rows"] == [{"origin": PERSON, "x": 1}]
    assert exported["pushed_rows"] == [{"source": "routes", "origin": PERSON, "y": 1}]
    assert erase(place) == {
        "pushed_rows": 1,
        "file_rows": 1,
        "step_files": 0,
        "online_entities": 1,
        "predictions": 2,
        "labels": 2,
    }
    assert PERSON.encode() not in place.dump()
    assert OTHER.encode() in place.dump()
    assert (place.count("prediction"), place.count("label")) == (2, before - 2)
    assert set(erase(place).values()) == {0}
    exported = json.loads(run("export", f"origin={OTHER}").stdout)
    assert [one["row"] for one in exported["predictions"]] == [0, 2, 0]


def test_an_erasure_looks_into_what_is_kept_of_a_removed_view(place: Place) -> None:
    view = place.store.get_feature_view("route_stats")
    place.store.apply([], objects_to_delete=[view], partial=False)
    # Feast's own Redis store keeps nothing.
    assert erase(place)["online_entities"] == (1 if place.redis is None else 0)
    assert PERSON.encode() not in place.dump()


def test_what_stays_of_a_shared_request_is_replayed_to_the_bit(place: Place) -> None:
    erase(place)
    done = CliRunner().invoke(app, ["replay", "is_late"])
    assert done.exit_code == 0, done.output


def test_an_erasure_that_is_killed_is_finished_by_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "training.privacy.logged_subject._take_out_of_row",
            lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        stopped = run("erase", f"origin={PERSON}", "--receipt", str(place.folder / "none.json"))
    assert stopped.exit_code != 0
    assert not (place.folder / "none.json").exists()
    assert erase(place)["predictions"] == 2
    assert PERSON.encode() not in place.dump()


def test_a_spool_is_erased_and_one_in_use_is_said(place: Place) -> None:
    engine = create_engine(place.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        columns = connection.execute(text("SELECT * FROM prediction")).mappings().all()
    engine.dispose()
    moment = datetime.now(UTC)
    rows = [
        LoggedRow(**dict(row) | {"time": moment, "logged_at": moment, "degraded": False})
        for row in columns
    ]
    spool = Spool(place.spool, max_bytes=1 << 20)
    spool.append(rows)
    receipt = place.folder / "receipt.json"
    arguments = ("erase", f"origin={PERSON}", "--receipt", str(receipt), "--drained")
    result = run(*arguments)
    assert result.exit_code == 3
    assert json.loads(receipt.read_text())["is_complete"] is False
    spool.close()
    assert run(*arguments).exit_code == 0
    assert json.loads(receipt.read_text())["erased"]["predictions"] == 2
    left = [row for group in spool.drain() for row in group]
    assert PERSON not in repr(left)
    assert sum(row.n_rows for row in left) == 3


def test_without_a_receipt_nothing_is_erased(place: Place) -> None:
    nowhere = str(place.folder / "nowhere" / "receipt.json")
    for refused in (nowhere, str(place.folder)):
        assert run("erase", f"origin={PERSON}", "--receipt", refused).exit_code != 0
    assert PERSON.encode() in place.dump()
    place.key_file.write_text("no key")
    receipt = str(place.folder / "receipt.json")
    assert run("erase", f"origin={PERSON}", "--receipt", receipt).exit_code != 0
    assert PERSON.encode() in place.dump()


def test_a_key_that_no_record_has_gets_no_receipt(place: Place) -> None:
    receipt = place.folder / "receipt.json"
    refused = run("erase", f"orgin={PERSON}", "--receipt", str(receipt))
    assert refused.exit_code != 0
    assert not receipt.exists()
    assert "Got entity key orgin, which no view, model or table has" in str(refused.exception)


def test_other_machines_spools_are_not_known(place: Place) -> None:
    receipt = place.folder / "receipt.json"
    done = run("erase", f"origin={PERSON}", "--receipt", str(receipt))
    is_alone = place.url.startswith("sqlite")
    assert done.exit_code == (0 if is_alone else 3)
    assert json.loads(receipt.read_text())["is_complete"] is is_alone


def test_two_erasures_of_one_row_take_out_whom_they_mean(place: Place) -> None:
    with open_log() as log:
        subjects = [parse_subject([f"origin={name}"]) for name in (PERSON, OTHER)]
        with log.engine.connect() as connection:
            found = [
                one
                for _, one in _find_rows(connection, log, subjects[1], "is_late")
                if len(one.numbers) == 2
            ]
        forget_logged(log, subjects[0], lambda *_: None)
        with log.engine.begin() as connection:
            assert _take_out_of_row(connection, found[0]) == 2
        assert find_logged(log, subjects[0]).predictions == []
        assert len(find_logged(log, subjects[1]).predictions) == 1


def test_a_table_in_a_folder_that_is_called_parquet_is_looked_through(tmp_path: Path) -> None:
    table = tmp_path / "lake" / "routes.parquet"
    table.mkdir(parents=True)
    pl.DataFrame({"origin": [PERSON, OTHER]}).write_parquet(table / "part-0.parquet")
    workspace, subject = Workspace(home=tmp_path), parse_subject([f"origin={PERSON}"])
    assert [one["file"] for one in find_in_files(workspace, subject)] == [
        "lake/routes.parquet/part-0.parquet"
    ]
    assert forget_in_files(workspace, subject, lambda _done, _total: None) == 1
    assert pl.read_parquet(table)["origin"].to_list() == [OTHER]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match=r"Got cut\.parquet that cannot be read"):
        find_in_files(Workspace(home=tmp_path), parse_subject([f"origin={PERSON}"]))


def test_labels_of_a_thousand_instances_are_found() -> None:
    engine = create_engine("sqlite://")
    SQLModel.metadata.create_all(engine)
    with engine.connect() as connection:
        query = _labels_of(_Found("a", 0, "a", tuple(range(2000)), tuple(range(2000))))
        assert connection.execute(query).all() == []


def test_a_hashed_log_is_found_by_the_hash() -> None:
    subject = parse_subject([f"origin={PERSON}"], "k" * 32)
    assert subject.matches({"origin": hash_text(PERSON, b"k" * 32)})
    assert not subject.matches({"origin": hash_text(PERSON, b"x" * 32)})


@pytest.mark.parametrize("given", [[], ["origin"], ["=x"], ["origin="], ["a=1", "a=2"]])
def test_what_is_no_subject_is_refused(given: list[str]) -> None:
    result = run("export", *given)
    assert result.exit_code != 0
