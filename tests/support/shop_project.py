"""A project of a shop on disk whose definitions a test changes, applied in this process."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from tests.support.manifests import make_manifest, publish, sum_graph, view_plan
from training.pipeline import materialize
from training.project.apply_definitions import Applied, apply_definitions
from training.project.workspace import Workspace
from zeroskew.contract.manifest import (
    Column,
    FeaturePlan,
    FieldType,
    RequestField,
    Scalar,
    ViewPlan,
)

__all__ = ["CLOCK", "STORES", "ShopProject", "shop_view"]

CLOCK: Final = datetime(2024, 6, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
STORES: Final = {
    "sqlite": "type: sqlite\n  path: ../var/online.db",
    "newest_sqlite": "type: zeroskew.features.online_store.newest_sqlite.NewestSqliteOnlineStore\n"
    "  path: ../var/online.db",
}
_HEAD: Final = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Float32, Float64, Int32, Int64, String

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)

def view(name="spending", fields=(("spent", Float64), ("orders", Int64)), *, ttl=1, online=True,
         entity=customer, table=None):
    return FeatureView(
        name=name, entities=[entity], ttl=timedelta(hours=ttl), online=online,
        schema=[Field(name=field, dtype=dtype) for field, dtype in fields],
        source=FileSource(name=name + "_table", path="../var/lake/" + (table or name),
                          timestamp_field="event_timestamp"),
    )
"""
# Feast imports a repo's files by their names, and Python each name once a process.
_numbers: Final = itertools.count()


class ShopProject:
    """A Feast repo, a lake and a registry in ``folder``.

    Parameters
    ----------
    folder
        Where all of it goes.
    online_store
        The ``online_store`` section of ``feature_store.yaml``, without its name.
    """

    def __init__(self, folder: Path, online_store: str = STORES["newest_sqlite"]) -> None:
        self.folder = folder
        self._online_store = online_store
        (folder / "feature_repo").mkdir(parents=True)
        self.name_project("shop")
        rows = {"customer_id": [7, 8], "spent": [12.5, 1.0], "orders": [3, 1]}
        self.write_table("spending", rows)

    @classmethod
    def at(cls, folder: Path) -> ShopProject:
        """Return the project that is in ``folder`` already."""
        project = cls.__new__(cls)
        project.folder = folder
        return project

    def copied_to(self, folder: Path) -> ShopProject:
        """Copy the folder, as a person would."""
        shutil.copytree(self.folder, folder)
        return self.at(folder)

    @property
    def workspace(self) -> Workspace:
        """Its folders."""
        return Workspace(
            feature_repo=self.folder / "feature_repo",
            models=self.folder / "models",
            home=self.folder / "var",
        )

    @property
    def online_path(self) -> Path:
        """Where its online store is, in a SQLite file unless told otherwise."""
        return self.folder / "var" / "online.db"

    def name_project(self, name: str) -> None:
        """Write ``feature_store.yaml``."""
        (self.folder / "feature_repo" / "feature_store.yaml").write_text(
            f"project: {name}\nprovider: local\nregistry: ../var/registry.db\n"
            f"online_store:\n  {self._online_store}\n"
            "offline_store:\n"
            "  type: zeroskew.features.offline_store.polars_asof.PolarsAsofOfflineStore\n"
            "entity_key_serialization_version: 3\n"
            "materialization:\n  pull_latest_features: true\n"
        )

    def write_table(
        self, name: str, columns: Mapping[str, Any], *, moment: datetime = CLOCK - HOUR / 2
    ) -> None:
        """Write a feature table of one row for each value of the columns, known at ``moment``."""
        table = pl.DataFrame(columns).with_columns(event_timestamp=pl.lit(moment))
        path = self.folder / "var" / "lake" / name / "part-0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path)

    def declare(self, *views: str, head: str = "") -> None:
        """Replace the definitions by calls of ``view``."""
        repo = self.folder / "feature_repo"
        for old in repo.glob("*.py"):
            old.unlink()
        lines = [f"view_{number} = {one}" for number, one in enumerate(views)]
        name = f"shop_{os.getpid()}_{next(_numbers)}.py"
        (repo / name).write_text("\n".join([_HEAD, head, *lines, ""]))

    def open_store(self) -> Any:
        """Open Feast's ``FeatureStore``, so that it finds this project's modules alone."""
        # Feast names a module by its path below the working directory or `sys.path`.
        sys.path[:] = [path for path in sys.path if not path.endswith("/feature_repo")]
        return self.workspace.open_feature_store()

    def apply(self, *, break_live: bool = False, grace: timedelta = timedelta()) -> Applied:
        """Apply the definitions, as the command does."""
        self.open_store()
        return apply_definitions(self.workspace, break_live=break_live, grace=grace)

    def materialize(self, until: datetime = CLOCK) -> dict[str, int | None]:
        """Write the latest values online."""
        return materialize(self.workspace, until, lambda _done, _total: None)

    def publish(
        self, *views: ViewPlan, alias: str | None = "champion", project: str = "shop"
    ) -> int:
        """Publish a model that adds up all features of some views."""
        columns = tuple(
            Column(name=f"{view.name}__{feature.name}", view=view.name, feature=feature.name)
            for view in views
            for feature in view.features
        )
        plan = FeaturePlan(project=project, feature_service="s", views=views, columns=columns)
        key = RequestField(
            name="customer_id", type=FieldType.INTEGER, description="Whose.", example=7
        )
        example: dict[str, Scalar | None] = {"customer_id": 7}
        graph = sum_graph(len(columns), 0)
        manifest = make_manifest(graph, model="worth", plan=plan, request=(key,), example=example)
        (self.folder / "var").mkdir(exist_ok=True)
        return publish(self.folder / "var", manifest, graph, alias=alias)


def shop_view(
    name: str = "spending",
    features: Mapping[str, str] | None = None,
    *,
    keys: Mapping[str, str] | None = None,
    project: str = "shop",
) -> ViewPlan:
    """Return how a plan reads a view, with a ttl of an hour."""
    return view_plan(
        name,
        dict(keys or {"customer_id": "INT64"}),
        dict(features or {"spent": "DOUBLE", "orders": "INT64"}),
        project=project,
    )
