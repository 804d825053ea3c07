"""A Feast project, the catalog that it publishes, and a service process that answers from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    ValueType,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float32, Int64, Set, String

from tests.support.canaries import find_canaries
from tests.support.online_stores import EVENT_TIME
from tests.support.waiting import PATIENCE_SEC
from zeroskew.contract.feature_catalog import FeatureCatalog
from zeroskew.contract.settings import Settings
from zeroskew.features.plans.compile_catalog import compile_catalog
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = [
    "TTL",
    "make_flights_store",
    "make_odd_store",
    "make_source",
    "open_trial_store",
    "publish_catalog",
    "remote_store",
    "run_service",
    "settings_of",
    "start_service",
    "watch",
]

ROOT: Final = Path(__file__).parents[2]
TTL: Final = timedelta(hours=2)


def make_flights_store(folder: Path, online_store: Mapping[str, Any]) -> FeatureStore:
    """Apply views with text, number and composite keys, two push sources and two services.

    ``route`` has a ttl of `TTL`; a push to ``gate_push`` writes ``gate`` and ``gate_wait``.
    """
    store = open_trial_store(folder, online_store)
    store.apply(_definitions(folder))
    return store


def make_odd_store(folder: Path, online_store: Mapping[str, Any]) -> FeatureStore:
    """Apply what is seldom: no entity, lists and sets, on-demand views, one that is not online."""
    store = open_trial_store(folder, online_store)
    badge = Entity(name="badge", join_keys=["code"], value_type=ValueType.BYTES)
    clock = Entity(name="clock", join_keys=["at"], value_type=ValueType.UNIX_TIMESTAMP)
    season = _view("season", [], {"factor": Float32}, folder)
    lists = _view("lists", [badge], {"uses": Int64, "hours": Array(Int64)}, folder)
    sets = _view("sets", [badge], {"codes": Set(Int64)}, folder)
    hidden = _view("hidden", [badge], {"secret": Int64}, folder, online=False)
    times = _view("times", [clock], {"ticks": Int64}, folder)

    @on_demand_feature_view(sources=[lists], schema=[Field(name="twice", dtype=Int64)])
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": inputs["uses"] * 2})

    @on_demand_feature_view(sources=[lists], schema=[Field(name="text", dtype=String)])
    def spelled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"text": inputs["uses"].astype(str)})

    services = [
        FeatureService(name="mixed_v1", features=[lists[["uses"]], spelled]),
        FeatureService(name="sets_v1", features=[sets]),
    ]
    views = [season, lists, sets, hidden, times, doubled, spelled]
    store.apply([badge, clock, *views, *services])
    return store


def remote_store(folder: Path, url: str) -> FeatureStore:
    """Return a store on the registry of `make_flights_store` that reads through a service."""
    return open_trial_store(folder, {"type": "remote", "path": f"{url}/feast"})


def publish_catalog(folder: Path, store: FeatureStore) -> FeatureCatalog:
    """Publish the catalog of `store` to the registry in `folder`."""
    catalog = compile_catalog(store)
    sha256 = ArtifactStore(folder / "artifacts").put(catalog.model_dump_json().encode())
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    registry.add_feature_catalog(project=catalog.project, sha256=sha256)
    registry.close()
    return catalog


def settings_of(folder: Path, online_store: str, **changes: object) -> Settings:
    """Return settings for a service on the registry in `folder` that lives at `EVENT_TIME`."""
    values: dict[str, object] = {
        "database_url": f"sqlite:///{folder}/zeroskew.db",
        "artifacts_dir": folder / "artifacts",
        "online_store": online_store,
        "clock": EVENT_TIME,
        "port": 0,
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]  # pydantic checks them


@contextmanager
def run_service(folder: Path, online_store: str, **settings: str) -> Iterator[str]:
    """Run a service on the registry in `folder` and yield its address."""
    with watch(start_service(folder, online_store, **settings)) as address:
        yield address


def start_service(folder: Path, online_store: str, **settings: str) -> subprocess.Popen[str]:
    """Start a service on the registry in `folder`, for `watch`."""
    known = settings_of(folder, online_store).model_dump(mode="json", exclude_unset=True)
    environment = {f"ZEROSKEW_{name.upper()}": str(value) for name, value in known.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "api"],
        cwd=ROOT,
        env=os.environ | environment | settings,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def watch(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the address of a service that starts, stop it, and look for secrets in its log."""
    told: set[str] = set()
    try:
        address = _read_address(process)
        # A service whose log nobody reads stops when the pipe is full.
        reader = threading.Thread(target=_read_log, args=(process, told), daemon=True)
        reader.start()
        yield address
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SEC)
    reader.join(timeout=PATIENCE_SEC)
    assert not told, f"The service's log holds the secrets {told}."


def _read_address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    log = ""
    for line in process.stderr:
        log += line
        found = re.search(r"running on.*(http://[\d.]+:\d+)", line)
        if found:
            return found[1]
    raise AssertionError(log)


def _read_log(process: subprocess.Popen[str], told: set[str]) -> None:
    assert process.stderr is not None
    with process.stderr as log:
        for line in log:
            told |= find_canaries(line)


def open_trial_store(
    folder: Path,
    online_store: Mapping[str, Any],
    offline_store: Mapping[str, Any] = MappingProxyType({"type": "file"}),
) -> FeatureStore:
    """Open a store without definitions."""
    folder.mkdir(parents=True, exist_ok=True)
    return FeatureStore(
        config=RepoConfig(
            project="trial",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store=dict(online_store),
            offline_store=dict(offline_store),
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )


def _definitions(folder: Path) -> list[Any]:
    carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING)
    gate = Entity(name="gate", join_keys=["gate_number"], value_type=ValueType.INT64)
    origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
    dest = Entity(name="dest", join_keys=["dest"], value_type=ValueType.STRING)
    tail = Entity(name="tail", join_keys=["tail"], value_type=ValueType.INT64)
    gates = make_source(folder, "gate", {"gate_number": pa.int64(), "walk_m": pa.int64()})
    push = PushSource(name="gate_push", batch_source=gates)
    carrier_view = _view("carrier_stats", [carrier], {"mean": Float32, "size": String}, folder)
    route_view = _view("route", [tail, origin, dest], {"flights": Int64}, folder, ttl=TTL)
    gate_view = FeatureView(
        name="gate", entities=[gate], schema=[Field(name="walk", dtype=Int64)], source=push
    )
    wait_view = FeatureView(
        name="gate_wait", entities=[gate], schema=[Field(name="wait", dtype=Float32)], source=push
    )
    views = [carrier_view, route_view, gate_view, wait_view]
    services = [
        FeatureService(name="flight_v1", features=[carrier_view[["mean"]], route_view]),
        FeatureService(
            name="return_v1",
            features=[
                route_view.with_name("way_back").with_join_key_map(
                    {"origin": "dest", "dest": "origin"}
                )
            ],
        ),
    ]
    return [carrier, gate, origin, dest, tail, *views, *services]


def _view(
    name: str,
    entities: Sequence[Entity],
    features: Mapping[str, Any],
    folder: Path,
    ttl: timedelta = timedelta(0),
    *,
    online: bool = True,
) -> FeatureView:
    columns = {one.join_key: pa.string() for one in entities}
    return FeatureView(
        name=name,
        entities=list(entities),
        ttl=ttl,
        online=online,
        schema=[Field(name=feature, dtype=dtype) for feature, dtype in features.items()],
        source=PushSource(name=f"{name}_push", batch_source=make_source(folder, name, columns)),
    )


def make_source(folder: Path, name: str, columns: Mapping[str, pa.DataType]) -> FileSource:
    """Write an empty table with some columns and two of times, and return its source."""
    times = {"known_at": pa.timestamp("us", tz="UTC"), "made_at": pa.timestamp("us", tz="UTC")}
    path = folder / f"{name}.parquet"
    pq.write_table(pa.schema(list({**columns, **times}.items())).empty_table(), path)
    return FileSource(
        name=f"{name}_source",
        path=str(path),
        timestamp_field="known_at",
        created_timestamp_column="made_at",
        field_mapping={"walk_m": "walk"} if name == "gate" else None,
    )
