"""A wide request is answered in pieces: as it would be whole, and with everybody else between."""

import asyncio
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from api.metrics.service_metrics import ServiceMetrics
from api.predict.predictor import Predictor
from api.predict.wide_work import TurningReader, WideWork
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, PLAN, make_manifest, publish, sum_graph
from tests.support.online_stores import EVENT_TIME
from tests.support.predictions import load_sum_model
from tests.support.settings import make_settings
from zeroskew.contract.errors.service import DeadlineError, InvalidInstancesError
from zeroskew.contract.time.clock import FixedClock
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.instances import Instances
from zeroskew.online.reader import EntityKeys, OnlineFeatureReader, ReadLayout, StoredFeatures
from zeroskew.online.sqlite.reader import SqliteFeatureReader

GRAPH = sum_graph(6, 2)
PREDICT = "/v1/models/arrival_delay:predict"
N_ROWS = 1000
"""Of four stored features each: more than a SQLite reader takes at once."""


def make_instances(n_rows: int) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = [
        {},
        {"carrier": "AA"},
        {"dest": None},
        {"overrides": {"carrier_stats:mean_delay": 2.5}},
        {"dest": "nowhere"},
        {"overrides": {"route_stats:flights": None, "carrier_stats:size": "big"}},
        {"international": True},
    ]
    return [
        EXAMPLE | {"distance": 100.5 + number} | changes[number % len(changes)]
        for number in range(n_rows)
    ]


def test_a_wide_request_is_answered_as_its_parts_are(tmp_path: Path, online_store: Path) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    instances = make_instances(N_ROWS)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:

        def ask(some: list[dict[str, Any]]) -> dict[str, Any]:
            answer = client.post(f"{PREDICT}?with_features=true", json={"instances": some})
            assert answer.status_code == 200, answer.text[:300]
            document: dict[str, Any] = answer.json()
            return document

        wide = ask(instances)
        assert client.part(WideWork).n_turns > 3
        for start in range(0, N_ROWS, 100):
            part = ask(instances[start : start + 100])
            for name in ("predictions", "features", "overridden"):
                assert wide[name][start : start + 100] == part[name]


def test_a_stale_value_is_told_of_the_instance_that_has_it(
    tmp_path: Path, online_store: Path
) -> None:
    views = [view.model_copy(update={"when_stale": "reject"}) for view in PLAN.views]
    plan = PLAN.model_copy(update={"views": tuple(views)})
    publish(tmp_path, make_manifest(GRAPH, plan=plan), GRAPH)
    # What nobody knows is not stale.
    instances = [EXAMPLE | {"carrier": "AA"}] * 900 + [EXAMPLE] + [EXAMPLE | {"carrier": "AA"}] * 99
    clock = EVENT_TIME + timedelta(days=2)
    with AppClient(create_app(make_settings(tmp_path, online_store, clock=clock))) as client:
        answer = client.post(PREDICT, json={"instances": instances})
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["pointer"] == "/instances/900"


def test_what_is_too_wide_is_refused_at_once_with_the_limit(
    tmp_path: Path, online_store: Path
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    settings = make_settings(
        tmp_path, online_store, max_cells=20_400, max_instances=5200, max_body_bytes=4_000_000
    )
    with AppClient(create_app(settings)) as client:

        def ask(n_rows: int, query: str = "") -> tuple[int, str]:
            answer = client.post(f"{PREDICT}{query}", json={"instances": [EXAMPLE] * n_rows})
            return answer.status_code, answer.json().get("detail", "")

        assert ask(5101) == (
            422,
            "Got 5,101 instances of 4 features, but expected at most 20,400 values in a request "
            "(ZEROSKEW_MAX_CELLS).",
        )
        assert ask(5100) == (200, "")
        status, detail = ask(5001, "?with_features=true")
        assert (status, detail.startswith("Got with_features for 5,001 instances")) == (422, True)
        assert ask(5000, "?with_features=true") == (200, "")


@pytest.fixture
def model(tmp_path: Path) -> ActiveModel:
    return load_sum_model(tmp_path)


def open_predictor(
    online_store: Path, wide: WideWork, reader: OnlineFeatureReader | None = None
) -> Predictor:
    return Predictor(
        reader=reader or SqliteFeatureReader(online_store, timeout_sec=5),
        clock=FixedClock(EVENT_TIME),
        executor=ThreadPoolExecutor(1),
        timeout_sec=60,
        wide=wide,
        metrics=ServiceMetrics(),
    )


def open_wide(cells_at_once: int = 8, max_cells: int = 1_000_000) -> WideWork:
    return WideWork(cells_at_once=cells_at_once, timeout_sec=60, max_cells=max_cells)


def parse(model: ActiveModel, n_rows: int) -> Instances:
    row = ("UA", "EWR", "IAH", 100, 1400.5, False, 1380636000.0)
    return Instances([row] * n_rows, ())


def is_admitted(wide: WideWork) -> bool:
    try:
        with wide.admit(100, 10):
            return True
    except DeadlineError:
        return False


def test_others_are_answered_between_the_pieces(model: ActiveModel, online_store: Path) -> None:
    async def use() -> None:
        wide = open_wide()
        predictor = open_predictor(online_store, wide)
        order: list[str] = []

        async def ask(name: str, n_rows: int) -> None:
            await predictor.predict(model, parse(model, n_rows))
            order.append(name)

        asked = asyncio.create_task(ask("wide", 200))
        other = asyncio.create_task(ask("other wide", 100))
        while not wide.n_turns:
            await asyncio.sleep(0)
        for number in range(10):
            n_before = wide.n_turns
            await ask(f"single {number}", 1)
            # Not even a handful of pieces went before it.
            assert wide.n_turns - n_before <= 5
        await asyncio.gather(asked, other)
        assert order == [*(f"single {number}" for number in range(10)), "other wide", "wide"]
        assert wide.n_turns == 150

    asyncio.run(use())


def test_a_piece_waits_for_others_but_not_for_ever() -> None:
    async def take(wide: WideWork) -> None:
        async with wide.take_turn(1):
            pass

    async def use() -> None:
        patient, hasty = open_wide(cells_at_once=100_000_000), open_wide(cells_at_once=1)
        with patient.let_pass(), hasty.let_pass():
            waiting = asyncio.create_task(take(patient))
            for _ in range(10):
                await take(hasty)
            assert (patient.n_turns, hasty.n_turns) == (0, 10)
        await waiting
        assert patient.n_turns == 1

    asyncio.run(use())


class NotingReader:
    """Another reader, which notes for each read its rows and how many others are under way."""

    def __init__(self, reader: OnlineFeatureReader, wide: WideWork) -> None:
        self._reader = reader
        self._wide = wide
        self.cells_at_once = reader.cells_at_once
        self.check = reader.check
        self.close = reader.close
        self.noted: set[tuple[int, int]] = set()

    async def read(self, layout: ReadLayout, keys: Sequence[EntityKeys]) -> StoredFeatures:
        self.noted.add((len(keys[0]), self._wide.n_others))
        return await self._reader.read(layout, keys)


def test_what_is_not_wide_is_waited_for(model: ActiveModel, online_store: Path) -> None:
    async def use() -> None:
        wide = open_wide()
        reader = NotingReader(SqliteFeatureReader(online_store, timeout_sec=5), wide)
        predictor = open_predictor(online_store, wide, reader)
        await predictor.predict(model, parse(model, 1))
        await predictor.predict(model, parse(model, 200))
        assert reader.noted == {(1, 1), (2, 0)}
        keys = model.plan.serialize_keys(parse(model, 201).rows)
        turning = TurningReader(reader, wide)
        await turning.read(model.plan.layout, [of_all[:1] for of_all in keys])
        await turning.read(model.plan.layout, keys)
        assert reader.noted == {(1, 1), (2, 0), (1, 0)}
        assert wide.n_others == 0

    asyncio.run(use())


def test_rows_that_came_one_by_one_are_no_wide_batch(
    model: ActiveModel, online_store: Path
) -> None:
    async def use() -> None:
        wide = open_wide()
        predictor = open_predictor(online_store, wide)
        found = await asyncio.gather(
            *[predictor.predict(model, parse(model, 1)) for _ in range(50)]
        )
        assert wide.n_turns == 0
        assert len({struct.pack("<d", one.scores[0]) for one in found}) == 1

    asyncio.run(use())


def test_what_would_take_too_long_is_refused_until_it_is_fast_again() -> None:
    async def use() -> None:
        wide = WideWork(cells_at_once=10, timeout_sec=0.001, max_cells=10_000)
        assert wide.deadline_sec(1000) == pytest.approx(0.021)
        with pytest.raises(InvalidInstancesError, match="ZEROSKEW_MAX_CELLS"), wide.admit(101, 100):
            pass
        with wide.admit(100, 10):  # Nothing is known of the pace yet.
            async with wide.take_turn(10):
                await asyncio.sleep(0.02)
        n_refused = 0
        while not is_admitted(wide):
            n_refused += 1
        assert n_refused > 10
        with wide.admit(100, 10), pytest.raises(DeadlineError, match="beside 1 like it"):
            wide.admit(100, 10).__enter__()

    asyncio.run(use())
