"""Reads over HTTP from real service processes, while Feast writes the rows that they read.

Every feature of a row says of which key and generation it is, and the row's event time does so
too. A view's row is written as one; so its features must be of one generation.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pandas as pd
import polars as pl
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig
from feast import ValueType as FeastType
from feast.data_source import PushMode
from feast.types import Int32, Int64

from tests.support.feast_repos import ASOF_STORE
from tests.support.manifests import make_manifest, publish, sum_graph, view_plan
from tests.support.online_stores import EVENT_TIME
from tests.support.redis_servers import free_port
from tests.support.waiting import PATIENCE_SEC, wait_until_ready
from zeroskew.contract.manifest import Column, FeaturePlan, FieldType, RequestField

__all__ = ["Observed", "race"]

ROOT: Final = Path(__file__).parents[2]
VIEWS: Final = {"gate": ("g0", "g1", "g2", "g3"), "gate_more": ("m0", "m1")}
N_KEYS: Final = 40
N_CONNECTIONS: Final = 64
# A value below 2^24 stays itself in the float32 matrix.
KEY_FACTOR: Final = 100_000
ENOUGH_CELLS: Final = 1_000
ENOUGH_GENERATIONS: Final = 4
CLOCK: Final = EVENT_TIME + timedelta(days=2)


@dataclass
class Observed:
    """What the clients saw."""

    n_cells: int = 0
    n_generations: int = 0
    generations: set[int] = field(default_factory=set)

    @property
    def is_enough(self) -> bool:
        """Whether a busy machine, too, has seen several generations in many cells."""
        return self.n_cells > ENOUGH_CELLS and len(self.generations) >= ENOUGH_GENERATIONS


def race(
    folder: Path, online_store: dict[str, Any], url: str, *, n_workers: int, seconds: float
) -> Observed:
    """Let 64 clients read for some seconds, or until it is enough, while Feast writes.

    Raises
    ------
    AssertionError
        If an answer holds another key's value, or a view's row of several generations.
    """
    store = _apply(folder, online_store)
    writer = _Writer(store, folder)
    writer.write_once()
    graph = sum_graph(sum(map(len, VIEWS.values())), 0)
    publish(folder, make_manifest(graph, plan=_PLAN, request=_REQUEST, example={"gate": 1}), graph)
    observed = Observed()
    with _services(folder, url, n_workers) as addresses, writer:
        asyncio.run(
            asyncio.wait_for(_read_for(addresses, seconds, observed), seconds + PATIENCE_SEC)
        )
    observed.n_generations = writer.generation
    return observed


_REQUEST: Final = (
    RequestField(name="gate", type=FieldType.INTEGER, description="Its number.", example=1),
)
_PLAN: Final = FeaturePlan(
    project="trial",
    feature_service="gate_v1",
    views=tuple(
        view_plan(view, {"gate": "INT32"}, dict.fromkeys(features, "INT64"), ttl_us=None)
        for view, features in VIEWS.items()
    ),
    columns=tuple(
        Column(name=feature, view=view, feature=feature)
        for view, features in VIEWS.items()
        for feature in features
    ),
)


def _apply(folder: Path, online_store: dict[str, Any]) -> FeatureStore:
    config = RepoConfig(
        project="trial",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store=online_store,
        offline_store={"type": ASOF_STORE},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = FeatureStore(config=config)
    gate = Entity(name="gate", join_keys=["gate"], value_type=FeastType.INT32)
    views = []
    for name, features in VIEWS.items():
        path = folder / f"{name}.parquet"
        _rows_of(name, 0).write_parquet(path)
        batch = FileSource(name=f"{name}_batch", path=str(path), timestamp_field="event_timestamp")
        views.append(
            FeatureView(
                name=name,
                entities=[gate],
                schema=[Field(name="gate", dtype=Int32)]
                + [Field(name=feature, dtype=Int64) for feature in features],
                source=PushSource(name=f"{name}_push", batch_source=batch),
            )
        )
    store.apply([gate, *views])
    return store


def _rows_of(view: str, generation: int) -> pl.DataFrame:
    """Return a row of each key; its event is the generation's second."""
    keys = pl.Series("gate", range(N_KEYS), pl.Int32)
    value = keys.cast(pl.Int64) * KEY_FACTOR + generation
    at = EVENT_TIME + timedelta(seconds=generation)
    return pl.DataFrame([keys, *(value.alias(feature) for feature in VIEWS[view])]).with_columns(
        pl.lit(at).dt.cast_time_unit("us").alias("event_timestamp")
    )


class _Writer:
    """Materializes, pushes and writes one generation after another in a thread."""

    def __init__(self, store: FeatureStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write_until_stopped)
        self._error: BaseException | None = None
        self.generation = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def write_once(self) -> None:
        """Write the next generation of every view, each time in another of Feast's ways."""
        self.generation += 1
        for view in VIEWS:
            rows = _rows_of(view, self.generation)
            if self.generation % 3 == 0:
                rows.write_parquet(self._folder / f"{view}.parquet")
                start = EVENT_TIME + timedelta(seconds=self.generation - 1)
                self._store.materialize(start, CLOCK, feature_views=[view])
            elif self.generation % 3 == 1:
                self._store.push(f"{view}_push", _to_pandas(rows), to=PushMode.ONLINE)
            else:
                self._store.write_to_online_store(view, df=_to_pandas(rows))

    def _write_until_stopped(self) -> None:
        try:
            while not self._stopped.is_set():
                self.write_once()
        except BaseException as error:
            self._error = error


def _to_pandas(rows: pl.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: rows[name].to_list() for name in rows.columns})


@contextmanager
def _services(folder: Path, url: str, n_workers: int) -> Iterator[list[str]]:
    """Run service processes; yield their addresses."""
    ports = [free_port() for _ in range(n_workers)]
    with ExitStack() as stack:
        for port in ports:
            stack.callback(_end, _start(folder, url, port))
        addresses = [f"http://127.0.0.1:{port}" for port in ports]
        for address in addresses:
            wait_until_ready(address)
        yield addresses


def _start(folder: Path, url: str, port: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "ZEROSKEW_DATABASE_URL": f"sqlite:///{folder}/zeroskew.db",
        "ZEROSKEW_ARTIFACTS_DIR": str(folder / "artifacts"),
        "ZEROSKEW_ONLINE_STORE": url,
        "ZEROSKEW_CLOCK": CLOCK.isoformat(),
        "ZEROSKEW_PORT": str(port),
    }
    with (folder / f"service-{port}.log").open("wb") as log:
        command = [sys.executable, "-m", "api"]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(PATIENCE_SEC)


async def _read_for(addresses: Sequence[str], seconds: float, observed: Observed) -> None:
    deadline = time.monotonic() + seconds
    async with asyncio.TaskGroup() as clients:
        for number in range(N_CONNECTIONS):
            address = addresses[number % len(addresses)]
            clients.create_task(_read_alone(address, number, deadline, observed))


async def _read_alone(address: str, number: int, deadline: float, observed: Observed) -> None:
    """Read over a connection of its own until the deadline."""
    draw = random.Random(number)  # noqa: S311 - test data
    path = "/v1/models/arrival_delay:predict?with_features=true"
    # Without TLS there is nothing to verify, and its context would take a tenth of a second.
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_SEC, verify=False) as client:  # noqa: S501
        while time.monotonic() < deadline or not observed.is_enough:
            keys = [draw.randrange(N_KEYS) for _ in range(draw.choice([1, 1, 8]))]
            body = {"instances": [{"gate": key} for key in keys]}
            response = await client.post(path, json=body)
            assert response.status_code == 200, response.text
            _check(keys, response.json(), observed)


def _check(keys: Sequence[int], answer: Any, observed: Observed) -> None:
    assert len(answer["features"]) == len(answer["predictions"]) == len(keys)
    rows = zip(keys, answer["features"], answer["predictions"], strict=True)
    for key, features, prediction in rows:
        total = 0
        for view, names in VIEWS.items():
            cells = [features[f"{view}:{name}"] for name in names]
            values = {cell["value"] for cell in cells}
            assert len(values) == 1, (key, cells)
            (value,) = values
            assert value // KEY_FACTOR == key, (key, cells)
            generation = value % KEY_FACTOR
            age = (CLOCK - EVENT_TIME).total_seconds() - generation
            assert {cell["age_seconds"] for cell in cells} == {age}, (key, cells)
            observed.generations.add(generation)
            observed.n_cells += len(cells)
            total += value * len(cells)
        assert prediction["value"] == total, (key, features)
