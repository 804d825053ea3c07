"""How the service's cost grows: with rows and views, with stored history, with loaded models.

    python -m benchmarks.growth --home PATH --store redis|sqlite --redis-port PORT

prints the CPU of a read in microseconds by number of views and rows, as one JSON object. The
other two are measured over HTTP, by `benchmarks.online`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Final

import redis

from benchmarks.bench_project import MODEL, Batch, BenchProject
from benchmarks.in_process import time_reads
from benchmarks.our_read import OurRead, as_request_rows
from benchmarks.server_process import ServerError
from benchmarks.sides.ours import Ours
from benchmarks.sides.side import Context
from tests.support.flights_project import FlightsProject
from training.publish.publish_model import publish_model
from zeroskew.contract.manifest import FeaturePlan
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["GrownOurs", "ManyModels", "copy_history"]

N_ROWS: Final = (1, 10, 100, 1000)
N_VIEWS: Final = (1, 2, 4, 8)
HISTORY_FACTOR: Final = 10
HISTORY_DATABASE: Final = 1
"""The number of the Redis database that holds the longer history."""

_CHUNK: Final = 1000


class GrownOurs(Ours):
    """The service over a store with `HISTORY_FACTOR` times the entities."""

    title: ClassVar[str] = f"{HISTORY_FACTOR} times the entities"

    def environment(self) -> dict[str, str]:
        """Return the service's settings with the larger store."""
        settings = super().environment()
        if self.store == "redis":
            address = f"redis://127.0.0.1:{self.context.redis_port}/{HISTORY_DATABASE}"
        else:
            address = f"sqlite:///{grown_sqlite(self.context.project).resolve()}"
        return settings | {"ZEROSKEW_ONLINE_STORE": address}


class ManyModels(Ours):
    """The service with some copies of the model under names of their own, asked in turn."""

    def __init__(self, context: Context, store: str, n_models: int) -> None:
        super().__init__(context, store)
        self.n_models = n_models
        self._n_asked = 0

    @property
    def label(self) -> str:
        """How many models."""
        return f"{self.n_models} model{'s' if self.n_models > 1 else ''}, {self.store}"

    @property
    def folder(self) -> Path:
        """Where this many models are."""
        folder = self.context.project.home / "growth" / f"models-{self.n_models}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def environment(self) -> dict[str, str]:
        """Return the settings with a registry of its own, filled anew."""
        database_url = f"sqlite:///{self.folder.resolve() / 'registry.db'}"
        artifacts_dir = self.folder.resolve() / "artifacts"
        shutil.rmtree(artifacts_dir, ignore_errors=True)
        (self.folder / "registry.db").unlink(missing_ok=True)
        project = self.context.project
        source = project.flights.workspace.open_artifacts()
        content = source.get(project.manifest.model_file.sha256)
        registry = ModelRegistry.open(database_url)
        for number in range(self.n_models):
            manifest = project.manifest.model_copy(update={"model": _copy_name(number)})
            artifacts = ArtifactStore(artifacts_dir)
            publish_model(manifest, content, artifacts=artifacts, registry=registry)
        registry.close()
        return super().environment() | {
            "ZEROSKEW_DATABASE_URL": database_url,
            "ZEROSKEW_ARTIFACTS_DIR": str(artifacts_dir),
            # The default holds 39 of them.
            "ZEROSKEW_MAX_MODEL_MEMORY_BYTES": str(1024**3),
        }

    def request(self, batch: Batch) -> tuple[str, Any]:
        """Return a request to the next model."""
        name = _copy_name(self._n_asked % self.n_models)
        self._n_asked += 1
        return f"/v1/models/{name}:predict", {"instances": batch.instances}


def _copy_name(number: int) -> str:
    return f"{MODEL}_copy_{number}"


def copy_history(project: BenchProject, redis_port: int) -> None:
    """Fill the larger stores: every stored entity, and nine more with its values for each."""
    source = redis.Redis(port=redis_port)
    target = redis.Redis(port=redis_port, db=HISTORY_DATABASE)
    target.flushdb()
    pipeline = target.pipeline(transaction=False)
    for count, key in enumerate(source.scan_iter(count=_CHUNK), start=1):
        content = source.dump(key)
        if not isinstance(content, bytes):
            raise ServerError("Got no content of a hash that Redis named")
        for copy in range(HISTORY_FACTOR):
            # A copy's key is no entity's: nothing asks for it, and it takes the same room.
            pipeline.restore(key + b"#%d" % copy if copy else key, 0, content)
        if count % _CHUNK == 0:
            pipeline.execute()
    pipeline.execute()
    path = grown_sqlite(project)
    path.parent.mkdir(parents=True, exist_ok=True)
    online = project.flights.workspace.online_store_address
    assert online is not None, "The example's store is a file."
    shutil.copy(online.removeprefix("sqlite:///"), path)
    with closing(sqlite3.connect(path)) as store, store:
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            _copy_rows(store, table)


def grown_sqlite(project: BenchProject) -> Path:
    """Return the SQLite file with the longer history."""
    return project.home / "growth" / "online.db"


def _copy_rows(store: sqlite3.Connection, table: str) -> None:
    columns = [row[1] for row in store.execute(f'PRAGMA table_info("{table}")')]
    if "entity_key" not in columns:
        return  # A note that a store of this project keeps beside the views.
    others = ", ".join(f'"{name}"' for name in columns if name != "entity_key")
    store.execute(
        f'INSERT INTO "{table}" (entity_key, {others}) '  # noqa: S608 - names of the store's own
        f"SELECT CAST(entity_key || x'23' || copy AS BLOB), {others} FROM \"{table}\", "
        f"(WITH RECURSIVE copies(copy) AS (SELECT 1 UNION ALL SELECT copy + 1 FROM copies "
        f"WHERE copy < {HISTORY_FACTOR - 1}) SELECT copy FROM copies)"
    )


def narrow_plan(plan: FeaturePlan, n_views: int) -> FeaturePlan:
    """Return a plan that reads the first ``n_views`` views alone."""
    views = plan.views[:n_views]
    kept = {view.name for view in views} | {None}
    return plan.model_copy(
        update={
            "views": views,
            "columns": tuple(column for column in plan.columns if column.view in kept),
            "request_inputs": tuple(i for i in plan.request_inputs if i.view in kept),
        }
    )


def time_rows_and_views(
    project: BenchProject, url: str, *, repeats: int, duration_sec: float
) -> dict[int, dict[int, float]]:
    """Return the CPU of one read in microseconds, by number of views, by number of rows."""
    rows = as_request_rows(project.manifest, project.rows)
    seen: dict[int, dict[int, float]] = {}
    for n_views in N_VIEWS:
        plan = narrow_plan(project.manifest.plan, n_views)
        with OurRead(project.manifest, url, plan=plan) as reader:
            for n_rows in N_ROWS:
                starts = range(0, len(rows) - n_rows + 1, max(1, len(rows) // 20))
                requests = [rows[start : start + n_rows] for start in starts]
                seen.setdefault(n_views, {})[n_rows] = median(
                    _time_once(reader, requests, duration_sec) for _ in range(repeats)
                )
    return seen


def _time_once(reader: OurRead, requests: Sequence[Any], duration_sec: float) -> float:
    reader.read(requests)
    return time_reads(lambda: reader.read(requests), len(requests), duration_sec)


def main() -> None:
    """Measure rows and views in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--store", choices=("redis", "sqlite"), required=True)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--duration-sec", type=float, default=0.2)
    options = parser.parse_args()
    project = BenchProject(options.home, FlightsProject(options.home / "project"))
    url = project.flights.workspace.service_environment()["ZEROSKEW_ONLINE_STORE"]
    if options.store == "redis":
        url = f"redis://127.0.0.1:{options.redis_port}/0"
    seen = time_rows_and_views(
        project, url, repeats=options.repeats, duration_sec=options.duration_sec
    )
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
