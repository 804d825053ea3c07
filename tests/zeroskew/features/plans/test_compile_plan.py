from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, RepoConfig, ValueType
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.types import Array, Bool, FeastType, Float32, Float64, Int64, String, UnixTimestamp

from tests.support.feast_repos import entity, feature_store, view, write_table
from tests.support.model_specs import tiny_spec
from tests.support.request_functions import new_york_clock, tenfold
from training.publish.publish_model import make_up_instances
from zeroskew.contract.errors.project import PlanError
from zeroskew.contract.manifest import (
    FeaturePlan,
    FieldType,
    RequestField,
    RequestInput,
    ViewPlan,
)
from zeroskew.features.plans.compile_plan import compile_plan, make_golden_keys
from zeroskew.features.request_time import request_time_view
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.online.reader import StoredView
from zeroskew.online.redis.hash_fields import HashFields, name_hash_fields

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


def with_categories(plan: FeaturePlan, categories: dict[str, tuple[str, ...]]) -> FeaturePlan:
    columns = [
        column.model_copy(update={"categories": categories.get(column.name)})
        for column in plan.columns
    ]
    return plan.model_copy(update={"columns": tuple(columns)})


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
    complete = with_categories(plan, {"sales__size": ("a",)})
    ReadPlan(REQUEST, complete).check_golden_keys(golden)


def test_a_manifests_golden_keys_are_nobodys(tmp_path: Path) -> None:
    store = store_of(tmp_path, sales_view(tmp_path))
    plan = compile_plan(store, tiny_spec(request=REQUEST, columns=())).plan
    golden = make_golden_keys(plan, make_up_instances(plan))
    assert [key.values for key in golden] == [
        (-(2**53) + 1, ""),
        (2**53 - 1, "golden key: größer"),
    ]
    by_number = [key.model_copy(update={"type": "INT32"}) for key in plan.views[0].join_keys[:1]]
    narrow = plan.views[0].model_copy(update={"join_keys": tuple(by_number)})
    for views in ((narrow, plan.views[0]), (plan.views[0], narrow)):
        instances = make_up_instances(plan.model_copy(update={"views": views}))
        assert [one["city"] for one in instances] == [-(2**31), 2**31 - 1]


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
        ((field("shop"),), "with join key 'city', but .* field of that name; there are shop$"),
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


def hash_fields_of(view: ViewPlan) -> HashFields:
    """Return what the service's Redis reader asks for."""
    features = tuple(feature.name for feature in view.features)
    return name_hash_fields("trial", StoredView(view.name, view.table, features))


def test_redis_fields_are_those_of_feasts_own_store(tmp_path: Path) -> None:
    sales = sales_view(tmp_path)
    store = store_of(tmp_path, sales)
    (compiled,) = compile_plan(store, tiny_spec(request=REQUEST)).plan.views
    _, fields = RedisOnlineStore()._generate_hset_keys_for_features(sales, ["sales", "size"])
    named = hash_fields_of(compiled)
    assert list(named.features) == fields[:2]
    assert named.event_time.decode() == fields[2] == "_ts:sales"


def test_an_alias_is_read_from_the_fields_of_the_stored_view(tmp_path: Path) -> None:
    sales = sales_view(tmp_path)
    alias = sales.with_name("home_sales").with_join_key_map({"shop": "home_shop"})
    store = store_of(tmp_path, sales, choose=[sales, alias])
    request = (*REQUEST, field("home_shop"))
    stored, aliased = compile_plan(store, tiny_spec(request=request)).plan.views
    assert aliased.name == "home_sales"
    assert hash_fields_of(aliased).event_time == b"_ts:sales"
    assert hash_fields_of(aliased) == hash_fields_of(stored)
    assert aliased.features == stored.features


def test_a_version_has_fields_of_its_own(tmp_path: Path) -> None:
    first = store_of(tmp_path, sales_view(tmp_path))
    registry = {
        "path": str(tmp_path / "registry.db"),
        "enable_online_feature_view_versioning": True,
    }
    store = FeatureStore(
        config=RepoConfig(
            project="trial",
            provider="local",
            registry=registry,
            online_store=first.config.online_store,
            offline_store=first.config.offline_store,
            entity_key_serialization_version=3,
            repo_path=tmp_path,
        )
    )
    store.apply([sales_view(tmp_path, {"sales": Float32, "size": String})])
    version = store.get_feature_view("sales").current_version_number
    assert version
    (compiled,) = compile_plan(store, tiny_spec(request=REQUEST)).plan.views
    assert compiled.table == f"trial_sales_v{version}"
    named = hash_fields_of(compiled)
    assert named.event_time.decode() == f"_ts:sales_v{version}"
    assert named.features[0] == _mmh3(f"sales_v{version}:sales")


def test_policies_and_defaults_of_the_model_are_in_the_plan(tmp_path: Path) -> None:
    store = store_of(tmp_path, sales_view(tmp_path, ttl=timedelta(hours=1)))
    spec = tiny_spec(
        request=REQUEST,
        when_stale={"sales": "reject"},
        when_store_down="defaults",
        defaults={"sales:sales": 2, "sales:size": "big"},
    )
    plan = compile_plan(store, spec).plan
    assert plan.when_store_down == "defaults"
    assert plan.views[0].when_stale == "reject"
    assert [feature.default for feature in plan.views[0].features] == [2, "big"]
    ReadPlan(REQUEST, with_categories(plan, {"sales__size": ("big",), "shop": ("a",)}))
    plain = compile_plan(store, tiny_spec(request=REQUEST)).plan
    assert plain.when_store_down == "fail"
    assert plain.views[0].when_stale == "null"
    assert [feature.default for feature in plain.views[0].features] == [None, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"when_stale": {"sails": "null"}}, r"when_stale for \['sails'\].*\['sales'\]"),
        ({"when_stale": {"sales": "serve"}}, r"for views \['sales'\].*with a time to live"),
        ({"defaults": {"sales:c": 1}}, r"Got defaults for \['sales:c'\].*'sales:float'"),
        ({"defaults": {"sales:float": 1e39}}, "Got default 1e\\+39 for feature sales:float"),
        ({"defaults": {"sales:float": True}}, "Got default True"),
        ({"defaults": {"sales:double": 10**400}}, "of its type DOUBLE"),
        ({"defaults": {"sales:double": 2**53 + 1}}, "of its type DOUBLE"),
        ({"defaults": {"sales:double": "1"}}, "Got default '1'"),
        ({"defaults": {"sales:double": float("nan")}}, "Got default nan"),
        ({"defaults": {"sales:whole": 2**63}}, "of its type INT64"),
        ({"defaults": {"sales:whole": 1.5}}, "Got default 1.5"),
        ({"defaults": {"sales:flag": 1}}, "of its type BOOL"),
        ({"defaults": {"sales:text": 1}}, "of its type STRING"),
    ],
)
def test_policies_and_defaults_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    features = {"float": Float32, "double": Float64, "whole": Int64, "flag": Bool, "text": String}
    store = store_of(tmp_path, sales_view(tmp_path, dict(features)))
    spec = tiny_spec(request=REQUEST, when_store_down="defaults", **changes)
    with pytest.raises(PlanError, match=message):
        compile_plan(store, spec)


def tenfold_view(source: FeatureView, name: str = "tall") -> Any:
    output = [Field(name="tenfold", dtype=Float64)]
    return request_time_view(name=name, function=tenfold, sources=[source], outputs=output)


def test_an_instant_is_no_column(tmp_path: Path) -> None:
    store = store_of(tmp_path, sales_view(tmp_path, {"sold_at": UnixTimestamp}))
    with pytest.raises(PlanError, match="Got feature sales:sold_at of type UNIX_TIMESTAMP"):
        compile_plan(store, tiny_spec(request=REQUEST))


def test_a_view_with_other_keys_in_the_service_is_refused(tmp_path: Path) -> None:
    heights = sales_view(tmp_path, {"height": Float64, "other": Float64})
    mapped = heights[["other"]].with_join_key_map({"shop": "home_shop"})
    tall = tenfold_view(heights[["height"]])
    store = store_of(tmp_path, heights, tall, choose=[tall, mapped])
    request = (*REQUEST, field("home_shop"))
    with pytest.raises(PlanError, match=r"'sales' with join keys mapped .* view 'tall'"):
        compile_plan(store, tiny_spec(request=request))


def test_one_name_for_two_inputs_is_refused(tmp_path: Path) -> None:
    heights = sales_view(tmp_path, {"height": Float64})
    asked = request_time_view(
        name="asked",
        function=tenfold,
        inputs=[Field(name="height", dtype=Float64)],
        outputs=[Field(name="tenfold", dtype=Float64)],
    )
    store = store_of(tmp_path, heights, tenfold_view(heights), asked)
    request = (*REQUEST, field("height", FieldType.NUMBER))
    with pytest.raises(PlanError, match="Got input 'height' of on-demand view 'asked'"):
        compile_plan(store, tiny_spec(request=request))


def test_an_on_demand_view_under_another_name_is_refused(tmp_path: Path) -> None:
    clock = clock_view()
    store = store_of(tmp_path, clock, choose=[clock.with_name("watch")])
    with pytest.raises(PlanError, match="Got on-demand view 'clock' under the name 'watch'"):
        compile_plan(store, tiny_spec(request=REQUEST))


def test_only_functions_of_the_request_alone_are_request_only(tmp_path: Path) -> None:
    heights = sales_view(tmp_path, {"height": Float64})
    store = store_of(tmp_path, heights, clock_view(), tenfold_view(heights))
    compiled = compile_plan(store, tiny_spec(request=REQUEST))
    assert compiled.request_only_features == ("clock__hour", "clock__weekday")
    assert compiled.plan.request_features == (
        *compiled.request_only_features,
        "tall__tenfold",
    )


def test_a_view_that_is_not_online_is_refused_by_name(tmp_path: Path) -> None:
    hidden = sales_view(tmp_path)
    hidden.online = False
    with pytest.raises(PlanError, match=r"Got view 'sales' with online=False.*leave it out"):
        compile_plan(store_of(tmp_path, hidden), tiny_spec(request=REQUEST, columns=("shop",)))
    source = sales_view(tmp_path, {"height": Float64})
    source.online = False
    computed = request_time_view(
        name="computed",
        function=tenfold,
        sources=[source],
        outputs=[Field(name="tenfold", dtype=Float64)],
    )
    store = store_of(tmp_path, source, computed, choose=[computed])
    with pytest.raises(PlanError, match="Got view 'sales' with online=False"):
        compile_plan(store, tiny_spec(request=REQUEST))


@pytest.mark.parametrize("taken", ["sales__sales", "clock__hour", "sales:sales"])
def test_a_field_with_the_name_of_a_features_column_is_refused(tmp_path: Path, taken: str) -> None:
    store = store_of(tmp_path, sales_view(tmp_path), clock_view())
    with pytest.raises(PlanError, match=f"Got request field '{taken}', which is the name of a"):
        compile_plan(store, tiny_spec(request=(*REQUEST, field(taken))))


def test_two_features_of_one_column_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sales.parquet"
    long = view("sales__a", path, [SHOP, CITY], {"b": Float64})
    short = sales_view(tmp_path, {"a__b": Float64})
    store = store_of(tmp_path, short, long)
    with pytest.raises(PlanError, match="Got two features whose column would be 'sales__a__b'"):
        compile_plan(store, tiny_spec(request=REQUEST))
