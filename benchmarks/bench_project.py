"""What all sides are asked about: the flights project, its requests, and the right answers."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from benchmarks.server_process import ServerError
from tests.support.flights_project import CLOCK, ROOT, FlightsProject
from zeroskew.contract.manifest import FieldType, Manifest

__all__ = ["MODEL", "Batch", "BenchProject", "bring_up", "materialize_into_redis"]

MODEL: Final = "arrival_delay_15"
N_INSTANCES: Final = 2000
N_ALONE_TREES: Final = 200
"""How many trees the servers of the model alone have: fewer than ours, which has them all."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One request and what is right for it.

    ``rows`` are as Python has them, ``instances`` as JSON has them. ``online`` is the SDK's
    answer by column, ``scores`` float64 ``(n_rows,)`` LightGBM's with those features.
    ``dense`` is float64 ``(n_rows, n_columns)`` without NaN, which JSON cannot carry, and
    ``dense_scores`` what the first `N_ALONE_TREES` trees say of it.
    """

    rows: list[dict[str, Any]]
    instances: list[dict[str, Any]]
    online: dict[str, list[Any]]
    scores: NDArray[np.float64]
    dense: NDArray[np.float64]
    dense_scores: NDArray[np.float64]


@dataclass(frozen=True)
class BenchProject:
    """The worked example, brought up below the benchmark's home."""

    home: Path
    flights: FlightsProject

    @property
    def feature_repo(self) -> Path:
        """The Feast repo over SQLite."""
        return self.flights.folder / "feature_repo"

    @property
    def redis_repo(self) -> Path:
        """The Feast repo over Redis, once `materialize_into_redis` has made it."""
        return self.flights.folder / "redis_repo"

    @property
    def booster_file(self) -> Path:
        """The model in LightGBM's text format."""
        return self.flights.workspace.work(MODEL) / "booster.txt"

    @property
    def alone_booster_file(self) -> Path:
        """The first `N_ALONE_TREES` trees of the model, in LightGBM's text format."""
        return self.home / "alone" / "model.bst"

    @property
    def manifest_file(self) -> Path:
        """The manifest of the model that is served."""
        return self.home / "manifest.json"

    @cached_property
    def manifest(self) -> Manifest:
        """The same, read."""
        return Manifest.model_validate_json(self.manifest_file.read_bytes())

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Flights that leave in the days after the clock's time, as Python values."""
        fields = [field.name for field in self.manifest.request]
        return (
            pl.read_parquet(self.flights.workspace.lake_folder / "arrival_labels")
            .filter(pl.col("scheduled_departure").is_between(CLOCK, CLOCK + timedelta(days=7)))
            .drop_nulls(fields)
            .sort("scheduled_departure", *fields)
            .unique(fields, maintain_order=True)
            .select(fields)
            .head(N_INSTANCES)
            .to_dicts()
        )

    @cached_property
    def online(self) -> dict[str, list[Any]]:
        """What Feast's SDK says of all `rows`, by column."""
        scorer = self._scorer()
        answer = scorer.store.get_online_features(**scorer.ask_service(self.rows))
        columns: dict[str, list[Any]] = answer.to_dict()
        return columns

    def batches(self, n_rows: int) -> Iterator[Batch]:
        """Cut `rows` into requests of ``n_rows``."""
        dense = np.nan_to_num(self._matrix.astype(np.float64))
        alone = lgb.Booster(model_file=str(self.alone_booster_file)).predict(dense)
        for start in range(0, len(self.rows) - n_rows + 1, n_rows):
            part = slice(start, start + n_rows)
            yield Batch(
                rows=self.rows[part],
                instances=[self._to_json(row) for row in self.rows[part]],
                online={name: values[part] for name, values in self.online.items()},
                scores=self._scores[part],
                dense=dense[part],
                dense_scores=np.asarray(alone)[part],
            )

    @cached_property
    def _matrix(self) -> NDArray[np.float32]:
        return self._scorer().matrix(self.rows, self.online)

    @cached_property
    def _scores(self) -> NDArray[np.float64]:
        return np.asarray(self._scorer().booster.predict(self._matrix), np.float64)

    def _scorer(self) -> Any:
        from benchmarks.apps.sdk_scorer import SdkScorer

        return SdkScorer(self.feature_repo, self.booster_file, self.manifest_file)

    def _to_json(self, row: dict[str, Any]) -> dict[str, Any]:
        stamps = {f.name for f in self.manifest.request if f.type is FieldType.TIMESTAMP}
        return {
            name: value.astimezone(UTC).isoformat() if name in stamps else value
            for name, value in row.items()
        }


def bring_up(home: Path) -> BenchProject:
    """Bring the worked example up below ``home``; what stands there is reused.

    Raises
    ------
    ServerError
        If one of its steps fails.
    """
    project = BenchProject(home, FlightsProject(home / "project"))
    shutil.copytree(
        ROOT / "feature_repo",
        project.feature_repo,
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )
    done = project.flights.run("up", "--no-serve")
    if done.returncode != 0:
        raise ServerError(f"Got from `zeroskew up`:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    project.manifest_file.write_text(project.flights.manifest(MODEL).model_dump_json())
    project.alone_booster_file.parent.mkdir(exist_ok=True)
    booster = lgb.Booster(model_file=str(project.booster_file))
    booster.save_model(str(project.alone_booster_file), num_iteration=N_ALONE_TREES)
    return project


def materialize_into_redis(project: BenchProject, port: int) -> None:
    """Write the same values, with Feast, to a Redis at ``port``, and the repo that reads them."""
    from feast import FeatureStore

    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(project.feature_repo, project.redis_repo, ignore=ignored, dirs_exist_ok=True)
    feast_folder = project.flights.workspace.home / "feast"
    shutil.copy(feast_folder / "registry.db", feast_folder / "redis_registry.db")
    path = project.redis_repo / "feature_store.yaml"
    config = yaml.safe_load(path.read_text())
    config["registry"] = "../var/feast/redis_registry.db"
    config["online_store"] = {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
    path.write_text(yaml.safe_dump(config))
    sys.path.insert(0, str(project.redis_repo))
    store = FeatureStore(repo_path=str(project.redis_repo))
    for view in store.list_feature_views():
        start = CLOCK - view.ttl if view.ttl else CLOCK.replace(year=1970)
        store.materialize(start - timedelta(seconds=1), CLOCK, feature_views=[view.name])


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    """Write the requests that a load tool sends, one a line: a path, a space, a JSON body."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def as_line(path: str, body: Any) -> str:
    """Return one request as a line of such a file."""
    return f"{path} {json.dumps(body, separators=(',', ':'))}"
