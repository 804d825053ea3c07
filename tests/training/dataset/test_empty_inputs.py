"""No model from an input without a value, in training or online, unless it is said to be wanted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureService, FeatureStore, Field, RepoConfig
from feast.types import Float64

from tests.support.feast_repos import entity, feature_store, view
from tests.support.model_specs import tiny_spec
from tests.support.redis_servers import RedisServer
from tests.support.request_functions import tenfold
from training.dataset.build_dataset import Dataset, build_dataset
from training.dataset.empty_inputs import list_inputs
from training.dataset.label_table import load_labels
from training.project.online_store import open_store_of
from training.publish.absent_online import refuse_absent_online
from zeroskew.contract.errors.project import DatasetError, PlanError, StepError
from zeroskew.contract.manifest import FieldType, RequestField
from zeroskew.declarations.model_spec import LabelTable, ModelSpec
from zeroskew.features.plans.compile_plan import compile_plan
from zeroskew.features.request_time import request_time_view
from zeroskew.features.stored_features import find_views
from zeroskew.online.store import OnlineStore

EVENT = datetime(2024, 1, 1, tzinfo=UTC)
ASKED = [datetime(2024, 1, day, tzinfo=UTC) for day in (2, 12, 22)]
SHOPS = ["a", "b", "c", "d"]
SHOP = entity("shop")
HEIGHTS = pl.DataFrame(
    {"shop": SHOPS, "height": [1.0, 2.0, 3.0, 4.0], "event_timestamp": EVENT, "created": EVENT}
)
LATER = pl.lit(datetime(2025, 1, 1, tzinfo=UTC))


def spec_of(**changes: Any) -> ModelSpec:
    request = (
        RequestField(name="shop", type=FieldType.STRING, description="", example="a"),
        RequestField(
            name="size", type=FieldType.NUMBER, description="", example=1.0, nullable=True
        ),
    )
    labels = LabelTable(table="labels", label=pl.col("sold"), known_at="known_at")
    return tiny_spec(**({"request": request, "columns": (), "labels": labels} | changes))


def store_of(folder: Path, heights: pl.DataFrame, *, ttl: timedelta | None = None) -> FeatureStore:
    heights.write_parquet(folder / "heights.parquet")
    stored = view("heights", folder / "heights.parquet", [SHOP], {"height": Float64}, ttl=ttl)
    computed = request_time_view(
        name="computed",
        function=tenfold,
        sources=[stored],
        outputs=[Field(name="tenfold", dtype=Float64)],
    )
    services = [
        FeatureService(name="tiny_v1", features=[stored]),
        FeatureService(name="computed_v1", features=[computed]),
    ]
    return feature_store(
        folder,
        [SHOP, stored, computed, *services],
        materialization={"pull_latest_features": True},
    )


def dataset_of(folder: Path, store: FeatureStore, spec: ModelSpec) -> Dataset:
    rows = [
        pl.DataFrame({"shop": SHOPS, "size": pl.Series([None] * 4, dtype=pl.Float64)}).with_columns(
            event_timestamp=pl.lit(moment),
            known_at=pl.lit(moment),
            sold=pl.Series([1.0, 0.0, 1.0, 0.0]),
        )
        for moment in ASKED
    ]
    (folder / "labels").mkdir(exist_ok=True)
    pl.concat(rows).write_parquet(folder / "labels" / "a.parquet")
    return build_dataset(store, spec, compile_plan(store, spec), load_labels(folder, spec))


EMPTY = {
    "created late": (HEIGHTS.with_columns(created=LATER), None, "'created' is later than every"),
    "event late": (
        HEIGHTS.with_columns(event_timestamp=LATER, created=LATER),
        None,
        "no row of view 'heights' has the key of a label and an event before it",
    ),
    "other keys": (
        HEIGHTS.with_columns(shop=pl.col("shop") + " "),
        None,
        "no row of view 'heights' has the key",
    ),
    "null": (HEIGHTS.with_columns(height=pl.lit(None, pl.Float64)), None, "is null in all rows"),
    "NaN": (HEIGHTS.with_columns(height=pl.lit(float("nan"))), None, "older than|null|later"),
    "expired": (HEIGHTS, timedelta(hours=1), "older than the view's ttl at every label"),
    "no rows": (HEIGHTS.clear(), None, "no row of view 'heights'"),
}


@pytest.mark.parametrize(("heights", "ttl", "reason"), EMPTY.values(), ids=EMPTY.keys())
def test_a_feature_without_a_value_in_training_is_refused_with_the_reason(
    tmp_path: Path, heights: pl.DataFrame, ttl: timedelta | None, reason: str
) -> None:
    store = store_of(tmp_path, heights, ttl=ttl)
    with pytest.raises(DatasetError, match=f"Got no value of heights:height in 4 .*{reason}") as e:
        dataset_of(tmp_path, store, spec_of())
    assert len(str(e.value)) < 200
    # What a function makes of nothing is nothing, too.
    with pytest.raises(DatasetError, match="heights:height, computed:tenfold in 4"):
        dataset_of(tmp_path, store, spec_of(feature_service="computed_v1"))
    wanted = spec_of(may_be_empty=("heights:height",))
    assert dataset_of(tmp_path, store, wanted).features["heights__height"].is_nan().all()


def test_a_request_column_without_a_value_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, HEIGHTS)
    with pytest.raises(DatasetError, match=r"Got no value of size in 4 .* in the label table"):
        dataset_of(tmp_path, store, spec_of(columns=("size",)))
    dataset_of(tmp_path, store, spec_of(columns=("size",), may_be_empty=("size",)))


@pytest.mark.parametrize("name", ["heights:hight", "height", "shop", "computed:tenfold"])
def test_what_may_be_empty_is_an_input(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlanError, match=f"Got may_be_empty for .'{name}'., but expected some of"):
        compile_plan(store_of(tmp_path, HEIGHTS), spec_of(may_be_empty=(name,)))


@pytest.fixture(params=["sqlite", "redis"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Return the settings of an empty online store of ours."""
    kinds = "zeroskew.features.online_store.newest_{0}.Newest{1}OnlineStore"
    if request.param == "sqlite":
        yield {"type": kinds.format("sqlite", "Sqlite"), "path": str(tmp_path / "other.db")}
        return
    with RedisServer(tmp_path / "redis") as server:
        yield {
            "type": kinds.format("redis", "Redis"),
            "connection_string": f"localhost:{server.port}",
        }


def test_a_feature_that_is_not_online_is_refused_at_publish(
    tmp_path: Path, online: dict[str, Any]
) -> None:
    made = store_of(tmp_path, HEIGHTS)
    dataset = dataset_of(tmp_path, made, spec_of())
    store = FeatureStore(
        config=RepoConfig(
            **made.config.model_dump(
                include={"project", "provider", "entity_key_serialization_version"}
            ),
            registry=made.config.registry,
            offline_store=made.config.offline_store,
            online_store=online,
            materialization={"pull_latest_features": True},
            repo_path=tmp_path,
        )
    )
    store.apply([made.get_feature_view("heights"), SHOP])

    def ask(**changes: Any) -> None:
        refuse_absent_online(
            spec_of(**changes),
            dataset.plan,
            dataset.rows,
            list_inputs(dataset.plan, dataset.features, dataset.request),
            online=lambda: open_store_of(store),
        )

    absent = "Got no value of heights:height online.*zeroskew materialize"
    with pytest.raises(StepError, match=absent):
        ask()
    ask(may_be_empty=("heights:height",))
    nulls = HEIGHTS.with_columns(height=pl.lit(None, pl.Float64))
    nulls.write_parquet(tmp_path / "heights.parquet")
    store.materialize(EVENT - timedelta(days=1), ASKED[0])
    with pytest.raises(StepError, match=absent):  # All had one in training, and four are null.
        ask()
    # Entities that the label table never saw have values.
    others = HEIGHTS.with_columns(shop=pl.col("shop") + "2")
    others.write_parquet(tmp_path / "heights.parquet")
    store.materialize(EVENT - timedelta(days=1), ASKED[0])
    ask()


def test_nulls_online_are_no_absence_where_training_had_as_many(tmp_path: Path) -> None:
    """A gust of wind is measured now and then: at three stations there is none at most moments."""
    half = HEIGHTS.with_columns(height=pl.Series([None, None, 1.0, None]))
    store = store_of(tmp_path, half)
    dataset = dataset_of(tmp_path, store, spec_of())
    HEIGHTS.with_columns(height=pl.lit(None, pl.Float64)).write_parquet(
        tmp_path / "heights.parquet"
    )
    store.materialize(EVENT - timedelta(days=1), ASKED[0])
    refuse_absent_online(
        spec_of(),
        dataset.plan,
        dataset.rows,
        list_inputs(dataset.plan, dataset.features, dataset.request),
        online=lambda: open_store_of(store),
    )


@pytest.mark.parametrize("gone", ["tiny_v1", "heights"])
def test_what_is_gone_from_the_registry_is_named(tmp_path: Path, gone: str) -> None:
    store = store_of(tmp_path, HEIGHTS)
    plan = compile_plan(store, spec_of()).plan
    if gone == "heights":
        store.registry.delete_feature_view(gone, store.project)
    else:
        store.registry.delete_feature_service(gone, store.project)
    with pytest.raises(StepError, match=f"{gone}.* expected feature service 'tiny_v1' and its"):
        find_views(store, plan)


def test_a_fault_in_the_registry_is_not_told_as_a_missing_service(tmp_path: Path) -> None:
    store = store_of(tmp_path, HEIGHTS)
    plan = compile_plan(store, spec_of()).plan
    del store._registry  # As a fault of ours would: nothing of Feast's.
    with pytest.raises(AttributeError, match="_registry"):
        find_views(store, plan)


def test_a_fault_in_what_is_compared_is_not_told_as_one_of_the_store(tmp_path: Path) -> None:
    store = store_of(tmp_path, HEIGHTS)
    dataset = dataset_of(tmp_path, store, spec_of())
    inputs = list_inputs(dataset.plan, dataset.features, dataset.request)
    with pytest.raises(pl.exceptions.ShapeError):
        refuse_absent_online(
            spec_of(),
            dataset.plan,
            dataset.rows.head(2),
            inputs,
            online=lambda: open_store_of(store),
        )


def test_a_server_that_does_not_answer_is_said_so(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, store_of(tmp_path, HEIGHTS), spec_of())

    def refuse() -> OnlineStore:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(StepError, match=r"Got ConnectionRefusedError \(nobody listens\) from the"):
        refuse_absent_online(
            spec_of(),
            dataset.plan,
            dataset.rows,
            list_inputs(dataset.plan, dataset.features, dataset.request),
            online=refuse,
        )
