"""Request-time functions over features of several views: Feast online and offline, numpy, ONNX."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import onnx
import polars as pl
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, OnDemandFeatureView
from feast.types import Array, Bool, Float32, Float64, Int64, String, UnixTimestamp

from tests.support.feast_repos import entity, feature_store, view, write_table
from tests.support.model_specs import tiny_spec
from tests.support.request_functions import combine, tenfold
from training.dataset.build_dataset import extract_request
from training.export.export_onnx import MATRIX, export_onnx, serialize_model
from training.families.lightgbm.estimator import LightgbmEstimator
from zeroskew.contract.manifest import FieldType, RequestField, RequestInput
from zeroskew.features.onnx_graph import open_session
from zeroskew.features.plans.compile_plan import PlanDraft, compile_plan
from zeroskew.features.request_function import RequestFunctionError, StoredInput
from zeroskew.features.request_time import request_function_of, request_time_view
from zeroskew.features.trace_request_time import trace_request_function

NOW: Final = datetime(2024, 3, 1, 12, tzinfo=UTC)
N_SHOPS: Final = 300
OUTPUTS: Final = (
    *("asked_at_out", "height_out", "is_open_out", "opened_at_out", "rank_out", "rate_out"),
    *("minutes_open", "mixed"),
)
SHOP, CITY = entity("shop"), entity("city")
FloatArray = npt.NDArray[np.float64]


def shops(folder: Path) -> FeatureView:
    """Every kind of number, with nulls, NaN, infinities and fractions of seconds among them."""
    rng = np.random.default_rng(3)

    def holed(values: Any, dtype: Any) -> pl.Series:
        known = pl.Series(rng.random(N_SHOPS) > 0.15)
        return pl.select(pl.when(known).then(pl.Series(values).cast(dtype))).to_series()

    special = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-40, 3.4e38])
    rate = np.where(
        rng.random(N_SHOPS) < 0.3, rng.choice(special, N_SHOPS), rng.normal(size=N_SHOPS)
    )
    rank = np.where(rng.random(N_SHOPS) < 0.2, 2**53 + 1, rng.integers(-9, 10**6, N_SHOPS))
    instants = rng.integers(-(10**15), 10**15, N_SHOPS)
    table = pl.DataFrame(
        {
            "shop": [f"s{i}" for i in range(N_SHOPS)],
            "is_open": holed(rng.random(N_SHOPS) < 0.5, pl.Boolean),
            "opened_at": holed(instants, pl.Datetime("us", "UTC")),
            "rank": holed(rank, pl.Int64),
            "rate": holed(rate.astype(np.float32), pl.Float32),
            "size": ["big"] * N_SHOPS,
            "event_timestamp": [NOW - timedelta(minutes=i % 50) for i in range(N_SHOPS)],
            "created": [NOW - timedelta(minutes=i % 50) for i in range(N_SHOPS)],
        }
    )
    types = {"is_open": Bool, "opened_at": UnixTimestamp, "rank": Int64, "rate": Float32}
    path = write_table(folder / "shops.parquet", table)
    return view("shops", path, [SHOP], {**types, "size": String}, ttl=timedelta(hours=1))


def cities(folder: Path) -> FeatureView:
    table = pl.DataFrame(
        {
            "city": ["high", "low", "unknown"],
            "height": [1234.56789, -0.1, None],
            "event_timestamp": [NOW - timedelta(days=400)] * 3,
            "created": [NOW - timedelta(days=400)] * 3,
        }
    )
    return view(
        "cities", write_table(folder / "cities.parquet", table), [CITY], {"height": Float64}
    )


def combined(shops: FeatureView, cities: FeatureView) -> OnDemandFeatureView:
    return request_time_view(
        name="combined",
        function=combine,
        inputs=[Field(name="asked_at", dtype=UnixTimestamp), Field(name="amount", dtype=Float64)],
        sources=[shops[["rate", "rank", "opened_at", "is_open"]], cities],
        outputs=[Field(name=name, dtype=Float64) for name in OUTPUTS],
    )


def field(name: str, kind: FieldType = FieldType.STRING) -> RequestField:
    return RequestField(name=name, type=kind, description="A field.", example=None, nullable=True)


SPEC = tiny_spec(
    request=(
        field("shop"),
        field("city"),
        field("asked_at", FieldType.TIMESTAMP),
        field("amount", FieldType.NUMBER),
    ),
    columns=("shop",),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("shops")
    shop_view, city_view = shops(folder), cities(folder)
    odfv = combined(shop_view, city_view)
    # The service has of the shops what no function reads, and of the cities nothing.
    service = FeatureService(name="tiny_v1", features=[odfv, shop_view[["size", "rank"]]])
    made = feature_store(folder, [SHOP, CITY, shop_view, city_view, odfv, service])
    made.materialize(NOW - timedelta(days=1000), NOW)
    return FeatureStore(config=made.config)


@pytest.fixture(scope="module")
def compiled(store: FeatureStore) -> PlanDraft:
    return compile_plan(store, SPEC)


@pytest.fixture(scope="module")
def asked() -> pl.DataFrame:
    rng = np.random.default_rng(8)
    amounts = np.where(rng.random(N_SHOPS) < 0.2, np.nan, rng.normal(size=N_SHOPS) * 10)
    # In whole seconds: the SDK sends a request's instants through a message that has no more.
    instants = [NOW + timedelta(seconds=int(count)) for count in rng.integers(0, 1000, N_SHOPS)]
    return pl.DataFrame(
        {
            "shop": [f"s{i}" if i % 20 else "nowhere" for i in range(N_SHOPS)],
            "city": rng.choice(["high", "low", "unknown", "nowhere"], N_SHOPS),
            "asked_at": instants,
            "amount": amounts,
            "event_timestamp": [NOW] * N_SHOPS,
        },
        schema_overrides={"asked_at": pl.Datetime("us", "UTC")},
    )


def join(store: FeatureStore, rows: pl.DataFrame, *, full: bool = True) -> pl.DataFrame:
    job = store.get_historical_features(
        rows.to_pandas(), store.get_feature_service("tiny_v1"), full_feature_names=full
    )
    frame = pl.from_arrow(job.to_arrow())
    assert isinstance(frame, pl.DataFrame)
    return frame


def bits(values: Any) -> npt.NDArray[np.int64]:
    """Return the bits of float64 values, one NaN for all of them and for null."""
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    return np.where(np.isnan(numbers), np.nan, numbers).view(np.int64)


@pytest.fixture(scope="module")
def expected(
    store: FeatureStore, compiled: PlanDraft, asked: pl.DataFrame
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """The request matrix of the joined values, and the function itself on numpy."""
    inputs = extract_request(join(store, asked), compiled.plan.request_inputs)
    (function,) = compiled.request_functions
    matrix = inputs.to_numpy()
    named = dict(zip(inputs.columns, np.ascontiguousarray(matrix.T), strict=True))
    return matrix, function.evaluate(named)


def test_the_joined_numbers_are_those_of_the_table(
    store: FeatureStore, expected: tuple[FloatArray, dict[str, FloatArray]], asked: pl.DataFrame
) -> None:
    """By hand, from the files: Float32 widens, instants are whole seconds, null is NaN."""
    matrix, outputs = expected
    folder = Path(str(store.config.repo_path))
    table = {row["shop"]: row for row in pl.read_parquet(folder / "shops.parquet").to_dicts()}
    assert 0.1 < np.isnan(matrix).mean() < 0.4
    for index, request in enumerate(asked.to_dicts()):
        row = table.get(request["shop"], {})
        instant = row.get("opened_at")
        seconds = None if instant is None else float(instant.timestamp() // 1)
        rank = row.get("rank")
        assert bits([outputs["opened_at_out"][index]]) == bits([seconds])
        assert bits([outputs["rank_out"][index]]) == bits([None if rank is None else float(rank)])
        assert bits([outputs["rate_out"][index] + 0.0]) == bits(
            [None if row.get("rate") is None else row["rate"] + 0.0]
        )
        assert bits([outputs["is_open_out"][index]]) == bits([row.get("is_open")])
        height = {"high": 1234.56789, "low": -0.1}.get(request["city"])
        assert bits([outputs["height_out"][index]]) == bits([height])


@pytest.mark.parametrize("full", [False, True])
def test_history_holds_what_the_function_computes(
    store: FeatureStore,
    expected: tuple[FloatArray, dict[str, FloatArray]],
    asked: pl.DataFrame,
    full: bool,
) -> None:
    joined = join(store, asked, full=full)
    for name, values in expected[1].items():
        got = joined[f"combined__{name}" if full else name]
        np.testing.assert_array_equal(bits(got), bits(values), name)


@pytest.mark.parametrize("full", [False, True])
def test_the_sdk_online_gives_the_same_bits(
    store: FeatureStore,
    expected: tuple[FloatArray, dict[str, FloatArray]],
    asked: pl.DataFrame,
    full: bool,
) -> None:
    answer = store.get_online_features(
        store.get_feature_service("tiny_v1"),
        asked.drop("event_timestamp").to_dicts(),
        full_feature_names=full,
    ).to_dict()
    for name, values in expected[1].items():
        got = answer[f"combined__{name}" if full else name]
        np.testing.assert_array_equal(bits(got), bits(values), name)


def test_the_trace_and_the_exported_graph_give_the_same_bits(
    compiled: PlanDraft, expected: tuple[FloatArray, dict[str, FloatArray]]
) -> None:
    matrix, outputs = expected
    (function,) = compiled.request_functions
    names = [one.name for one in compiled.plan.request_inputs]
    traced = open_session(trace_request_function(function).SerializeToString())
    feeds = {name: matrix[:, names.index(name)].copy() for name in function.input_names}
    for name, values in zip(OUTPUTS, traced.run(list(OUTPUTS), feeds), strict=True):
        np.testing.assert_array_equal(bits(values), bits(outputs[name]), name)

    rows = np.random.default_rng(1).normal(size=(len(matrix), 3)).astype(np.float32)
    with np.errstate(over="ignore"):
        computed = np.column_stack([outputs[name].astype(np.float32) for name in OUTPUTS])
    booster = lgb.train(
        {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5},
        lgb.Dataset(np.column_stack([rows, computed]), rows[:, 0] + np.nan_to_num(rows[:, 1])),
        num_boost_round=5,
    )
    model = export_onnx(
        LightgbmEstimator.of(booster),
        n_columns=3,
        request_inputs=names,
        request_functions=[function],
    )
    shape = ["n", 3 + len(OUTPUTS)]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(MATRIX, onnx.TensorProto.FLOAT, shape)
    )
    session = open_session(serialize_model(model))
    (got,) = session.run([MATRIX], {"features": rows, "request": np.ascontiguousarray(matrix)})
    np.testing.assert_array_equal(got[:, 3:], computed)


def test_a_stale_value_is_unknown_to_the_function(store: FeatureStore, asked: pl.DataFrame) -> None:
    later = asked.with_columns(pl.col("event_timestamp") + timedelta(hours=2))
    joined = join(store, later)
    assert joined["combined__rank_out"].fill_null(np.nan).is_nan().all()
    # Cities never get stale.
    np.testing.assert_array_equal(
        bits(joined["combined__height_out"]), bits(join(store, asked)["combined__height_out"])
    )


def test_the_plan_reads_what_only_functions_need_without_a_column(compiled: PlanDraft) -> None:
    plan = compiled.plan
    assert [column.name for column in plan.columns] == ["shops__size", "shops__rank", "shop"]
    views = {view.name: [feature.name for feature in view.features] for view in plan.views}
    assert {name: sorted(features) for name, features in views.items()} == {
        "shops": ["is_open", "opened_at", "rank", "rate", "size"],
        "cities": ["height"],
    }
    assert plan.request_inputs == (
        RequestInput(name="asked_at", field="asked_at"),
        RequestInput(name="amount", field="amount"),
        RequestInput(name="height", view="cities", feature="height"),
        *(
            RequestInput(name=name, view="shops", feature=name)
            for name in ("is_open", "opened_at", "rank", "rate")
        ),
    )
    assert compiled.request_only_features == ()


def test_the_view_comes_back_from_the_registry(store: FeatureStore) -> None:
    function = request_function_of(store.get_on_demand_feature_view("combined"))
    assert function.request_names == ("asked_at", "amount")
    assert function.stored_inputs[0] == StoredInput("cities", "height", "Float64")
    assert function.stored_inputs[0].column == "cities__height"
    assert function.function is combine


def tenfold_of(*sources: Any, outputs: str = "tenfold") -> OnDemandFeatureView:
    return request_time_view(
        name="tenfold",
        function=tenfold,
        sources=sources,
        outputs=[Field(name=outputs, dtype=Float64)],
    )


def test_sources_that_feast_reads_wrongly_are_refused(tmp_path: Path) -> None:
    heights = cities(tmp_path)
    for renamed in (
        heights.with_name("towns"),
        heights.with_join_key_map({"city": "home"}),
    ):
        with pytest.raises(RequestFunctionError, match="Got view 'cities' under another name"):
            tenfold_of(renamed)
    with pytest.raises(RequestFunctionError, match=r"Got views \['cities'\] more than once"):
        tenfold_of(heights, heights[["height"]])
    with pytest.raises(
        RequestFunctionError, match=r"Got .*\['height'\] .*'tenfold' more than once"
    ):
        tenfold_of(heights, outputs="height")
    with pytest.raises(RequestFunctionError, match="Got str as source"):
        tenfold_of("cities")
    for wrong in (String, Array(Float64)):
        odd = view("odd", tmp_path / "cities.parquet", [CITY], {"height": wrong})
        with pytest.raises(RequestFunctionError, match=r"Got type .* for input 'height'.*select"):
            tenfold_of(odd)
