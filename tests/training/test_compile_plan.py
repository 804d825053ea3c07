from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, ValueType
from feast.types import Array, Bool, FeastType, Float32, Float64, Int64, String, UnixTimestamp

from api.contract.manifest import FieldType, RequestField, RequestInput
from api.prediction.feature_plan import CompiledPlan as ServicePlan
from tests.support.feast_repos import entity, feature_store, view, write_table
from tests.support.model_specs import tiny_spec
from tests.support.request_functions import new_york_clock
from training.compile_plan import compile_plan, make_golden_keys
from training.errors import PlanError
from training.request_time import request_time_view

SHOP, CITY = entity("shop"), entity("city", ValueType.INT64)


def field(name: str, kind: FieldType = FieldType.STRING) -> RequestField:
    return RequestField(name=name, type=kind, description="A field.", example=None, nullable=True)


REQUEST = (field("shop"), field("city", FieldType.INTEGER), field("departure", FieldType.TIMESTAMP))


def sales_view(
    folder: Path, features: dict[str, FeastType] | None = None, **options: Any
) -> FeatureView:
    features = features or {"sales": Float64, "size": String}
    columns = {name: pl.Series([], dtype=pl.Float64) for name in features}
    table = pl.DataFrame(
        {
            "shop": pl.Series([], dtype=pl.String),
            "city": pl.Series([], dtype=pl.Int64),
            **columns,
            "event_timestamp": pl.Series([], dtype=pl.Datetime("us", "UTC")),
            "created": pl.Series([], dtype=pl.Datetime("us", "UTC")),
        }
    )
    path = write_table(folder / "sales.parquet", table)
    return view("sales", path, [SHOP, CITY], features, **options)


def clock_view() -> Any:
    return request_time_view(
        name="clock",
        function=new_york_clock,
        inputs=[Field(name="departure", dtype=UnixTimestamp)],
        outputs=[Field(name=name, dtype=Float64) for name in ("hour", "weekday")],
    )


def store_of(folder: Path, *views: Any, choose: Any = None) -> FeatureStore:
    service = FeatureService(name="tiny_v1", features=list(choose or views))
    return feature_store(folder, [SHOP, CITY, *views, service])


def test_plan_holds_layout_types_and_ttl(tmp_path: Path) -> None:
    ttl = timedelta(days=2, microseconds=3)
    store = store_of(tmp_path, sales_view(tmp_path, ttl=ttl))
    plan = compile_plan(store, tiny_spec(request=REQUEST, columns=("shop",))).plan
    (compiled,) = plan.views
    assert compiled.table == "trial_sales"
    assert [(key.name, key.type) for key in compiled.join_keys] == [
        ("city", "INT64"),
        ("shop", "STRING"),
    ]
    assert compiled.ttl_us == 2 * 86_400_000_000 + 3
    assert [(f.name, f.type) for f in compiled.features] == [
        ("sales", "DOUBLE"),
        ("size", "STRING"),
    ]
    assert [column.name for column in plan.columns] == ["sales__sales", "sales__size", "shop"]


def test_view_without_ttl_never_expires(tmp_path: Path) -> None:
    store = store_of(tmp_path, sales_view(tmp_path))
    assert compile_plan(store, tiny_spec(request=REQUEST)).plan.views[0].ttl_us is None


def test_service_serialises_keys_as_feast_does(tmp_path: Path) -> None:
    store = store_of(tmp_path, sales_view(tmp_path))
    plan = compile_plan(store, tiny_spec(request=REQUEST, columns=())).plan
    instances: list[dict[str, Any]] = [
        {"shop": "größer", "city": -7},
        {"shop": "", "city": 2**62},
        {"shop": None, "city": 1},
    ]
    golden = make_golden_keys(plan, instances)
    assert [key.values for key in golden] == [(-7, "größer"), (2**62, "")]
    with_categories = plan.model_copy(
        update={
            "columns": tuple(
                c.model_copy(update={"categories": ("a",)}) if "size" in c.name else c
                for c in plan.columns
            )
        }
    )
    ServicePlan(REQUEST, with_categories).check_golden_keys(golden)


def test_aliases_name_columns_but_not_tables(tmp_path: Path) -> None:
    home = sales_view(tmp_path).with_name("home_sales").with_join_key_map({"shop": "home_shop"})
    store = store_of(tmp_path, sales_view(tmp_path), choose=[home])
    request = (field("home_shop"), field("city", FieldType.INTEGER))
    plan = compile_plan(store, tiny_spec(request=request, columns=())).plan
    assert plan.views[0].name == "home_sales"
    assert plan.views[0].table == "trial_sales"
    assert [(key.name, key.field) for key in plan.views[0].join_keys] == [
        ("city", "city"),
        ("shop", "home_shop"),
    ]
    assert plan.columns[0].name == "home_sales__sales"


def test_request_time_features_come_last(tmp_path: Path) -> None:
    store = store_of(tmp_path, clock_view(), sales_view(tmp_path))
    compiled = compile_plan(store, tiny_spec(request=REQUEST, columns=("shop",)))
    assert compiled.plan.request_inputs == (RequestInput(name="departure", field="departure"),)
    assert compiled.plan.request_features == ("clock__hour", "clock__weekday")
    assert [column.name for column in compiled.plan.columns][-1] == "shop"


def test_service_may_choose_among_request_time_features(tmp_path: Path) -> None:
    clock = clock_view()
    store = store_of(tmp_path, clock, choose=[clock[["weekday"]]])
    compiled = compile_plan(store, tiny_spec(request=REQUEST, columns=("shop",)))
    assert compiled.plan.request_features == ("clock__weekday",)
    assert compiled.request_functions[0].output_names == ("weekday",)


def test_unknown_feature_service_names_those_there_are(tmp_path: Path) -> None:
    store = store_of(tmp_path, sales_view(tmp_path))
    with pytest.raises(
        PlanError, match=r"Got feature service 'nothing', but expected one of \['tiny_v1'\]"
    ):
        compile_plan(store, tiny_spec(request=REQUEST, feature_service="nothing"))


@pytest.mark.parametrize(
    ("request_fields", "message"),
    [
        ((field("shop"),), "with join key 'city', but expected a request field of that name"),
        (
            (field("shop"), field("city")),
            "Got request field 'city' of type string, but expected integer",
        ),
    ],
)
def test_join_key_must_be_a_fitting_request_field(
    tmp_path: Path, request_fields: tuple[RequestField, ...], message: str
) -> None:
    store = store_of(tmp_path, sales_view(tmp_path))
    with pytest.raises(PlanError, match=message):
        compile_plan(store, tiny_spec(request=request_fields))


def test_list_feature_is_refused_by_name(tmp_path: Path) -> None:
    store = store_of(tmp_path, sales_view(tmp_path, {"vector": Array(Float32)}))
    with pytest.raises(PlanError, match="Got feature sales:vector of type FLOAT_LIST"):
        compile_plan(store, tiny_spec(request=REQUEST))


def test_every_scalar_type_is_taken(tmp_path: Path) -> None:
    features = {"a": Float32, "b": Float64, "c": Int64, "d": Bool, "e": String}
    store = store_of(tmp_path, sales_view(tmp_path, dict(features)))
    plan = compile_plan(store, tiny_spec(request=REQUEST)).plan
    types = ["FLOAT", "DOUBLE", "INT64", "BOOL", "STRING"]
    assert [feature.type for feature in plan.views[0].features] == types


def test_request_time_input_must_be_a_request_field(tmp_path: Path) -> None:
    store = store_of(tmp_path, clock_view())
    with pytest.raises(PlanError, match=r"with inputs \['departure'\], but expected request"):
        compile_plan(store, tiny_spec(request=REQUEST[:2]))


def test_text_input_of_a_request_time_function_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, clock_view())
    request = (field("shop"), field("departure"))
    with pytest.raises(PlanError, match=r"Got text inputs \['departure'\]"):
        compile_plan(store, tiny_spec(request=request))
