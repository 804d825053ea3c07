"""What is served is what was trained on: equal to the SDK, to the join and to LightGBM."""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from feast import FeatureStore
from feast.types import Float64

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_repos import at, entity, feature_store, view, write_table
from tests.support.flights_project import CLOCK, MODELS, FlightsProject
from tests.support.manifests import view_plan
from training.dataset.build_dataset import Dataset
from training.project.step_files import load_fitted
from zeroskew.contract.manifest import (
    Column,
    FeaturePlan,
    FieldType,
    Manifest,
    RequestField,
    RequestInput,
)
from zeroskew.contract.settings import Settings
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.model.plan.feature_matrix import FeatureMatrix
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.online.sqlite.reader import SqliteFeatureReader

N_INSTANCES = 3_000
Instance = dict[str, Any]


def draw_instances(lake: Path, n_instances: int = N_INSTANCES) -> list[Instance]:
    """Return instances of real keys in random company, with unknown and null ones among them."""
    labels = pl.read_parquet(lake / "arrival_labels", hive_partitioning=False)
    known = {
        name: labels[name].drop_nulls().unique().sort().to_list()
        for name in ("carrier", "origin", "dest", "tailnum")
    }
    dice = random.Random(13)  # noqa: S311 - a seeded draw, not a secret

    def draw(name: str) -> str:
        return "??" if dice.random() < 0.05 and name != "origin" else dice.choice(known[name])

    instances = [
        {
            "carrier": draw("carrier"),
            "origin": draw("origin"),
            "dest": draw("dest"),
            "tailnum": None if dice.random() < 0.05 else draw("tailnum"),
            "scheduled_departure": (CLOCK + timedelta(minutes=dice.randrange(600))).isoformat(),
        }
        for _ in range(n_instances)
    ]
    return instances + dice.choices(instances, k=n_instances // 10)


def read_online(
    manifest: Manifest,
    plan: FeaturePlan,
    path: Path,
    rows: Sequence[tuple[Any, ...]],
    now: datetime,
) -> FeatureMatrix:
    async def read() -> FeatureMatrix:
        reader = SqliteFeatureReader(path, timeout_sec=5.0)
        stored = await reader.read(compiled.layout, compiled.serialize_keys(rows))
        await reader.close()
        now_us = to_epoch_us(now)
        return compiled.assemble(rows, compiled.at(stored, now_us), now_us)

    compiled = ReadPlan(manifest.request, plan)
    return asyncio.run(read())


def as_rows(manifest: Manifest, instances: list[Instance]) -> list[tuple[Any, ...]]:
    names = [f.name for f in manifest.request if f.type is not FieldType.TIMESTAMP]
    assert names == [field.name for field in manifest.request[: len(names)]]
    return [(*(instance[name] for name in names), 0.0) for instance in instances]


def encode(column: Column, values: Sequence[Any]) -> np.ndarray:
    if column.categories is not None:
        codes = {text: code for code, text in enumerate(column.categories)}
        values = [codes.get(value) for value in values]
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64).astype(
        np.float32
    )


def as_numbers(values: Sequence[Any]) -> np.ndarray:
    """Return float64 as the graph takes it: a time as seconds since the epoch, null as NaN."""
    return np.array(
        [
            np.nan if v is None else v.timestamp() if isinstance(v, datetime) else float(v)
            for v in values
        ]
    )


def test_online_cells_equal_the_sdk(flights: FlightsProject) -> None:
    """All but windows, of which the SDK knows the state alone."""
    manifest = flights.manifest("arrival_delay_15")
    store = flights.workspace.open_feature_store()
    instances = draw_instances(flights.workspace.lake_folder)
    # The SDK takes no ttl into account online, so for this comparison the plan has none either.
    eternal = manifest.plan.model_copy(
        update={"views": tuple(v.model_copy(update={"ttl_us": None}) for v in manifest.plan.views)}
    )
    online = flights.workspace.home / "feast" / "online.db"
    got = read_online(manifest, eternal, online, as_rows(manifest, instances), CLOCK)
    keys = ("carrier", "origin", "dest", "tailnum")
    stored = {view.name for view in manifest.plan.views if view.windows is None}
    sources: list[Column | RequestInput] = [*manifest.plan.columns, *manifest.plan.request_inputs]
    features = list(dict.fromkeys(f"{c.view}:{c.feature}" for c in sources if c.view in stored))
    # The SDK fails on a null key (TypeError in its sort), so it is asked for an unknown one.
    asked = [{key: i[key] or "nobody" for key in keys} for i in instances]
    answer = store.get_online_features(features, asked, full_feature_names=True).to_dict()
    n_cells = 0
    for index, column in enumerate(manifest.plan.columns):
        if column.view in stored:
            expected = encode(column, answer[column.name])
            np.testing.assert_array_equal(got.values[:, index], expected, column.name)
            n_cells += expected.size
    for index, source in enumerate(manifest.plan.request_inputs):
        if source.view in stored:
            numbers = as_numbers(answer[f"{source.view}__{source.feature}"])
            np.testing.assert_array_equal(got.request[:, index], numbers, source.name)
            n_cells += numbers.size
    assert n_cells >= 50_000
    assert 0.1 < np.isnan(got.values).mean() < 0.6


@pytest.fixture(scope="module")
def joined(flights: FlightsProject) -> tuple[list[Instance], pl.DataFrame]:
    """Instances, and what the offline join says of them at the clock's time."""
    instances = draw_instances(flights.workspace.lake_folder)
    rows = pl.DataFrame(instances).with_columns(
        pl.col("scheduled_departure").str.to_datetime("%+", time_zone="UTC"),
        event_timestamp=pl.lit(CLOCK),
    )
    store = flights.workspace.open_feature_store()
    job = store.get_historical_features(
        rows.to_pandas(), store.get_feature_service("arrival_delay_v1"), full_feature_names=True
    )
    return instances, pl.DataFrame(job.to_arrow())


def test_online_cells_equal_the_offline_join(
    flights: FlightsProject, joined: tuple[list[Instance], pl.DataFrame]
) -> None:
    instances, history = joined
    manifest = flights.manifest("arrival_delay_15")
    online = flights.workspace.home / "feast" / "online.db"
    rows = as_rows(manifest, instances)
    got = read_online(manifest, manifest.plan, online, rows, CLOCK).values
    for index, column in enumerate(manifest.plan.columns):
        expected = encode(column, history[column.name].to_list())
        np.testing.assert_array_equal(got[:, index], expected, column.name)


@pytest.mark.parametrize("model", MODELS)
def test_scores_over_http_equal_lightgbm_on_the_offline_join(
    flights: FlightsProject, joined: tuple[list[Instance], pl.DataFrame], model: str
) -> None:
    instances, history = joined
    manifest = flights.manifest(model)
    matrix = np.column_stack(
        [encode(column, history[column.name].to_list()) for column in manifest.plan.columns]
        + [history[name].to_numpy().astype(np.float32) for name in manifest.plan.request_features]
    )
    folder = flights.workspace.work(model)
    fitted = load_fitted(folder, flights.spec(model), Dataset.load(folder))
    expected = fitted.estimator.predict(matrix)
    key = "probability" if model == "arrival_delay_15" else "value"
    with AppClient(create_app(settings_of(flights))) as client:
        scores = [
            prediction[key]
            for start in range(0, len(instances), 500)
            for prediction in client.post(
                f"/v1/models/{model}:predict", json={"instances": instances[start : start + 500]}
            ).json()["predictions"]
        ]
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)
    assert np.unique(scores).size > 500


def test_same_instant_with_another_offset_has_the_same_score(flights: FlightsProject) -> None:
    example = flights.manifest("arrival_delay_15").example
    written = ("2013-10-01T10:17:00-04:00", "2013-10-01T14:17:00Z", "2013-10-01T23:47:00+09:30")
    with AppClient(create_app(settings_of(flights))) as client:
        answer = client.post(
            "/v1/models/arrival_delay_15:predict",
            json={"instances": [example | {"scheduled_departure": text} for text in written]},
        ).json()
    assert len({prediction["probability"] for prediction in answer["predictions"]}) == 1


TTL = timedelta(hours=1, microseconds=7)
EVENT = at(60)
MOMENTS = [
    EVENT + offset + timedelta(microseconds=us)
    for offset in (timedelta(0), TTL)
    for us in (-1, 0, 1)
]


@pytest.fixture(scope="module")
def ttl_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[FeatureStore, Path]:
    folder = tmp_path_factory.mktemp("ttl")
    table = pl.DataFrame(
        {"shop": ["a"], "sales": [2.5], "event_timestamp": [EVENT], "created": [EVENT]}
    )
    shop = entity("shop")
    source = write_table(folder / "sales.parquet", table)
    sales = view("shop_sales", source, [shop], {"sales": Float64}, ttl=TTL)
    store = feature_store(folder, [shop, sales], materialization={"pull_latest_features": True})
    store.materialize(EVENT - TTL, EVENT + TTL)
    return store, folder / "online.db"


@pytest.mark.parametrize(
    "now", MOMENTS, ids=lambda now: f"{(now - EVENT) / timedelta(hours=1):+.9f}h"
)
def test_ttl_is_the_same_online_and_offline_to_the_microsecond(
    ttl_store: tuple[FeatureStore, Path], now: datetime
) -> None:
    store, online = ttl_store
    asked = pl.DataFrame({"shop": ["a"], "event_timestamp": [now]})
    offline = store.get_historical_features(asked.to_pandas(), ["shop_sales:sales"]).to_arrow()
    request = (RequestField(name="shop", type=FieldType.STRING, description="", example="a"),)
    plan = FeaturePlan(
        project="trial",
        feature_service="any",
        views=(
            view_plan(
                "shop_sales",
                {"shop": "STRING"},
                {"sales": "DOUBLE"},
                ttl_us=TTL // timedelta(microseconds=1),
            ),
        ),
        columns=(Column(name="sales", view="shop_sales", feature="sales"),),
    )
    compiled = ReadPlan(request, plan)

    async def read() -> FeatureMatrix:
        reader = SqliteFeatureReader(online, timeout_sec=5.0)
        stored = await reader.read(compiled.layout, compiled.serialize_keys([("a",)]))
        await reader.close()
        return compiled.assemble([("a",)], stored, to_epoch_us(now))

    expected = 2.5 if EVENT <= now <= EVENT + TTL else None
    assert offline["sales"].to_pylist() == [expected]
    np.testing.assert_array_equal(
        asyncio.run(read()).values, [[np.nan if expected is None else expected]]
    )


def settings_of(flights: FlightsProject) -> Settings:
    home = flights.workspace.home
    return Settings(
        database_url=flights.workspace.database_url,
        artifacts_dir=flights.workspace.artifacts_dir,
        online_store=f"sqlite:///{home / 'feast' / 'online.db'}",
        clock=CLOCK,
    )
