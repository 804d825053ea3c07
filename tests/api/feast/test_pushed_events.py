"""Events that are pushed: what is online at once is what training finds afterwards."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from api.main import create_app
from tests.api.feast.conftest import FeastService, open_service
from tests.support.app_client import AppClient
from tests.support.event_project import make_events_store
from tests.support.feast_service import settings_of
from tests.support.online_stores import EVENT_TIME, open_online
from tests.support.waiting import wait_until
from training.project.online_store import open_store_of
from training.windows.apply_waiting import apply_waiting
from training.windows.write_states import write_states
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.pushed_rows.collect import collect_pushes
from zeroskew.features.windows.declare import window_plan_of
from zeroskew.online.reader import StoredView
from zeroskew.online.schemes import open_store
from zeroskew.online.writer import OnlineRow, StateChange
from zeroskew.records.database.open_database import open_database
from zeroskew.windows.moment import MomentReader
from zeroskew.windows.state import Event
from zeroskew.windows.state_codec import StateCodec

FEATURES = ("n_1h", "spent", "spread", "kinds", "last_paid_at", "idle_seconds")
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FeastService]:
    folder = tmp_path_factory.mktemp("sales")
    with open_service(request.param, folder, make_events_store) as opened:
        yield opened


def push(service: FeastService, *rows: dict[str, Any]) -> dict[str, Any]:
    filled = [{"desk": None, "euros": 1.0, "kind": "tea", "paid_at": None, **row} for row in rows]
    return service.push("sales_push", **{name: [r[name] for r in filled] for name in filled[0]})


def ago(seconds: float) -> str:
    return (EVENT_TIME - timedelta(seconds=seconds)).isoformat()


def read(service: FeastService, guest: str) -> tuple[Any, ...]:
    found = service.read([f"guests:{name}" for name in FEATURES], guest=[guest])
    return tuple(found[name][0] for name in FEATURES)


def test_events_are_online_as_soon_as_they_are_acknowledged(service: FeastService) -> None:
    paid_at = "2013-10-01T11:00:00.9Z"
    done = push(
        service,
        {"guest": "ann", "ticket": 1, "euros": 0.1, "event_timestamp": ago(10), "paid_at": paid_at},
        {"guest": "ann", "ticket": 2, "euros": 0.2, "kind": "cup", "event_timestamp": ago(3600)},
        {"guest": "ann", "ticket": 3, "euros": 0.7, "event_timestamp": ago(3599)},
    )
    assert done["guests"] == {"written": 3, "older": 0}
    spread = 0.3214550253664318
    assert read(service, "ann") == (2, 1.0, spread, 2, 1380625200, 10.0)


def test_an_event_is_counted_once_and_its_correction_stands(service: FeastService) -> None:
    row = {"guest": "bob", "ticket": 7, "euros": 5.0, "event_timestamp": ago(60)}
    created = ago(50)
    assert push(service, {**row, "created": created})["guests"]["written"] == 1
    assert push(service, {**row, "created": created})["guests"] == {"written": 0, "older": 1}
    assert read(service, "bob")[:2] == (1, 5.0)
    push(service, {**row, "euros": 6.0, "created": ago(40)})
    push(service, {**row, "euros": 9.0, "created": ago(45)})
    assert read(service, "bob")[:2] == (1, 6.0)


def test_an_event_of_nobody_counts_for_others(service: FeastService) -> None:
    done = push(service, {"guest": None, "desk": 4, "ticket": 11, "event_timestamp": ago(5)})
    assert done == {
        "guests": {"written": 0, "older": 1},
        "desks": {"written": 1, "older": 0},
    }
    assert service.read(["desks:n"], desk=[4])["n"] == [1]


def test_more_events_than_a_state_holds_are_refused(service: FeastService) -> None:
    rows = [
        {"guest": None, "desk": 5, "ticket": n, "event_timestamp": ago(n)} for n in range(20, 24)
    ]
    filled = [{"euros": 1.0, "kind": None, "paid_at": None, **row} for row in rows]
    body = {name: [row[name] for row in filled] for name in filled[0]}
    answer = service.post("push", {"push_source_name": "sales_push", "df": body})
    assert answer.status_code == 422
    assert "Got 4 events of an entity within its windows, but expected at most 3" in answer.text


def test_a_column_that_is_missing_is_named(service: FeastService) -> None:
    body = {"guest": ["x"], "desk": [1], "ticket": [1], "event_timestamp": [ago(1)]}
    answer = service.post("push", {"push_source_name": "sales_push", "df": body})
    assert answer.status_code == 422
    assert {one["pointer"] for one in answer.json()["errors"]} >= {"/df/euros", "/df/kind"}


def test_events_come_one_by_one(service: FeastService) -> None:
    rows: list[dict[str, Any]] = [
        {"guest": "liv", "desk": None, "ticket": 50, "euros": 1, "event_timestamp": ago(30)},
        {"guest": "liv", "ticket": 51, "event_timestamp": ago(20), "kind": "cup"},
    ]
    rows = [{"kind": None, "paid_at": None, **row} for row in rows]
    for source in ("sales_push", "sales"):
        answer = service.client.post(f"/v1/events/{source}", json={"events": rows})
        assert answer.status_code == 200, answer.text
    assert answer.json()["views"]["guests"] == {"written": 0, "older": 2}
    assert answer.json()["lake"] == {"sales": 2}
    assert read(service, "liv")[:2] == (2, 1.0)


@pytest.mark.parametrize(
    ("source", "events", "status", "said"),
    [
        ("nothing", [{"guest": "x"}], 404, "a source of windowed views"),
        ("sales", [], 422, "/events"),
        ("sales", [{"guest": "x", "desk": 1}], 422, "/events/0/event_timestamp"),
        ("sales", [{"guest": "x", "event_timestamp": ago(1)}], 422, "/events/0/desk"),
        ("sales", [{"guest": "x", "color": "red"}], 422, "/events/0/color"),
        ("sales", [{"guest": "x", "paid_at": 900000000000000000}], 422, "/events/0/paid_at"),
        ("sales", [{"guest": "x"}, {"guest": 5}], 422, "/events/1/guest"),
        ("sales", ["x"], 422, "/events/0"),
    ],
)
def test_events_that_do_not_fit_are_refused_by_place(
    service: FeastService, source: str, events: list[Any], status: int, said: str
) -> None:
    answer = service.client.post(f"/v1/events/{source}", json={"events": events})
    assert answer.status_code == status, answer.text
    assert said in answer.text


def test_training_finds_what_was_online(service: FeastService) -> None:
    drawn = random.Random(1)  # noqa: S311 - the same again
    for number in range(100, 130):
        push(
            service,
            {
                "guest": f"g{number % 3}",
                "ticket": number,
                "euros": drawn.choice([1e17, 0.1, -1e17, 3.3]),
                "kind": drawn.choice(["a", "b", None]),
                "event_timestamp": ago(drawn.randrange(0, 7200)),
            },
        )
    engine = open_database(f"sqlite:///{service.store.config.repo_path}/zeroskew.db")
    collected = collect_pushes(engine, service.store)
    assert not collected.refused, collected.refused
    names = [f"guests:{name}" for name in FEATURES]
    guests = ["g0", "g1", "g2", "ann", "bob", "nobody"]
    labels = pl.DataFrame({"guest": guests, "event_timestamp": [EVENT_TIME] * len(guests)})
    joined = service.store.get_historical_features(labels.to_pandas(), names).to_arrow()
    trained = pl.DataFrame(joined).select(FEATURES)
    trained = trained.with_columns(pl.col("last_paid_at").dt.epoch("s"))
    assert trained.rows() == [read(service, guest) for guest in guests]
    # What is written from the lake is the same once more.
    view = service.store.get_feature_view("guests")
    online = open_store_of(service.store)
    assert write_states(service.store, view, EVENT_TIME, online) == 6
    assert trained.rows() == [read(service, guest) for guest in guests]


def test_what_comes_while_states_are_written_anew_is_not_lost(service: FeastService) -> None:
    database = f"sqlite:///{service.store.config.repo_path}/zeroskew.db"
    collect_pushes(open_database(database), service.store)
    push(service, {"guest": "zoe", "ticket": 900, "euros": 4.0, "event_timestamp": ago(3)})
    online, view = open_store_of(service.store), service.store.get_feature_view("guests")
    tables = [f"{service.store.project}_guests"]
    online.open_entities(service.store.project, tables).erase(lambda key: key.endswith(b"zoe"))
    write_states(service.store, view, EVENT_TIME, online)
    assert read(service, "zoe")[1] is None
    now_us = to_epoch_us(EVENT_TIME)
    assert apply_waiting(service.store, database, online, now_us) == 1
    assert read(service, "zoe")[:2] == (1, 4.0)
    assert apply_waiting(service.store, database, online, now_us) == 0


def wait_for(service: FeastService, guest: str, spent: float) -> None:
    wait_until(lambda: read(service, guest)[1] == spent)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_what_was_on_disk_at_a_crash_is_online_after_a_start(kind: str, tmp_path: Path) -> None:
    row = {"desk": 1, "euros": 2.5, "kind": None, "paid_at": None, "event_timestamp": ago(9)}
    with open_service(kind, tmp_path, make_events_store) as service:
        push(service, {"guest": "eve", "ticket": 1, **row})
        # A crash between the two: what the answer would have said is on disk and nowhere else.
        push(service, {"guest": "joe", "ticket": 2, **row})
        settings = {"database_url": f"sqlite:///{tmp_path}/zeroskew.db"}
        store = open_store(service.online_url)
        tables = [f"{service.store.project}_guests"]
        store.open_entities(service.store.project, tables).erase(lambda key: key.endswith(b"joe"))
        assert read(service, "joe")[1] is None
        with AppClient(create_app(settings_of(tmp_path, service.online_url, **settings))) as client:
            again = FeastService(client, service.store, service.online_url)
            wait_for(again, "joe", 2.5)
            assert read(again, "eve")[:2] == (1, 2.5)


def test_events_wait_while_the_store_cannot_be_written(tmp_path: Path) -> None:
    with open_service(
        "sqlite", tmp_path, make_events_store, online_write_timeout_sec=0.2
    ) as service:
        locker = sqlite3.connect(tmp_path / "online" / "online.db", isolation_level=None)
        with closing(locker):
            locker.execute("BEGIN IMMEDIATE")
            row = {"guest": "kim", "ticket": 1, "event_timestamp": ago(9)}
            done = push(service, row)
            assert done["guests"] == {"written": 0, "older": 0, "waiting": 1}
            locker.execute("ROLLBACK")
        wait_for(service, "kim", 1.0)
        assert read(service, "kim")[:2] == (1, 1.0)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_writers_of_one_entity_lose_nothing(kind: str, tmp_path: Path) -> None:
    with open_online(kind, tmp_path / "online") as online:
        store = make_events_store(tmp_path, online.config)
        plan = window_plan_of(store.get_feature_view("guests"))
        assert plan is not None
        codec = StateCodec(plan)
        view = StoredView("guests", f"{store.project}_guests", ("window_state",))

        async def write_all() -> bytes | None:
            one, other = (open_store(online.url).open_writer(timeout_sec=30) for _ in range(2))
            seen: list[bytes | None] = []

            async def add(number: int) -> None:
                event = Event(number, number, str(number).encode(), (0.5, None, None, True))

                def change(key: bytes, standing: bytes | None) -> OnlineRow:
                    state = codec.open(standing)
                    state.add([event], plan, 1000)
                    return OnlineRow(key, (codec.encode(state),), state.newest_us)

                writer = one if number % 2 else other
                await writer.change_states(StateChange(store.project, view, [b"key"], change))

            await asyncio.gather(*map(add, range(64)))

            def look(key: bytes, standing: bytes | None) -> None:
                seen.append(standing)

            await one.change_states(StateChange(store.project, view, [b"key"], look))
            await one.close()
            await other.close()
            return seen[0]

        data = asyncio.run(write_all())
    assert data is not None
    reader = MomentReader(plan)
    assert len(reader.open(data).stored) == 64
