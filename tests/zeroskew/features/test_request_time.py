from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from feast import FeatureService, FeatureStore, Field, OnDemandFeatureView, RequestSource
from feast.types import Bool, Float64, Int64, String, UnixTimestamp

from tests.support.feast_repos import entity, feature_store, view
from tests.support.request_functions import new_york_clock, pass_through
from zeroskew.features.request_function import RequestFunction, RequestFunctionError
from zeroskew.features.request_time import request_function_of, request_time_view

EASTERN = timezone(timedelta(hours=-5))
NOON = datetime(2013, 1, 7, 12, tzinfo=UTC)
NOON_SECONDS = 1357560000.0
SUMMER_NIGHT = datetime(2013, 7, 1, tzinfo=EASTERN)
SUMMER_NIGHT_SECONDS = 1372654800.0


def clock_view() -> OnDemandFeatureView:
    return request_time_view(
        name="clock",
        function=new_york_clock,
        inputs=[Field(name="departure", dtype=UnixTimestamp)],
        outputs=[Field(name="hour", dtype=Float64), Field(name="weekday", dtype=Float64)],
    )


def pass_through_view() -> OnDemandFeatureView:
    return request_time_view(
        name="passed",
        function=pass_through,
        inputs=[
            Field(name="departure", dtype=UnixTimestamp),
            Field(name="seats", dtype=Int64),
            Field(name="fare", dtype=Float64),
            Field(name="is_direct", dtype=Bool),
        ],
        outputs=[
            Field(name=name, dtype=Float64)
            for name in ("seconds", "seats_out", "fare_out", "is_direct_out")
        ],
    )


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    delays = pl.DataFrame(
        {"carrier": ["UA"], "delay": [12.5], "event_timestamp": [NOON], "created": [NOON]}
    )
    delays.write_parquet(tmp_path / "delays.parquet")
    carrier = entity("carrier")
    delay = view("delay_of_carrier", tmp_path / "delays.parquet", [carrier], {"delay": Float64})
    clock, passed = clock_view(), pass_through_view()
    service = FeatureService(name="flights", features=[delay, clock, passed])
    made = feature_store(tmp_path, [carrier, delay, clock, passed, service])
    made.materialize(NOON - timedelta(days=1), NOON + timedelta(days=1))
    return FeatureStore(config=made.config)


def test_new_york_clock_agrees_with_the_time_zone_database() -> None:
    hours = np.arange(1356998400.0, 1388534400.0, 1800.0)
    got = new_york_clock(hours)
    local = [datetime.fromtimestamp(hour, ZoneInfo("America/New_York")) for hour in hours]
    assert got["hour"].tolist() == [instant.hour for instant in local]
    assert got["weekday"].tolist() == [instant.weekday() for instant in local]


def test_views_come_back_from_the_registry_with_their_function(store: FeatureStore) -> None:
    assert request_function_of(store.get_on_demand_feature_view("clock")) == RequestFunction(
        "clock", ("departure",), ("hour", "weekday"), new_york_clock
    )
    passed = request_function_of(store.get_on_demand_feature_view("passed"))
    assert passed.input_names == ("departure", "seats", "fare", "is_direct")
    assert passed.output_names == ("seconds", "seats_out", "fare_out", "is_direct_out")


@pytest.mark.parametrize("full_feature_names", [False, True])
def test_historical_features_hold_what_the_function_computes(
    store: FeatureStore, full_feature_names: bool
) -> None:
    entities = pd.DataFrame(
        {
            "carrier": ["UA", "??", "UA"],
            "event_timestamp": [NOON] * 3,
            "departure": pd.Series(
                [NOON + timedelta(microseconds=250_001), None, SUMMER_NIGHT.astimezone(UTC)]
            ),
            "seats": pd.array([150, None, 2], dtype="Int64"),
            "fare": [99.5, math.nan, math.inf],
            "is_direct": pd.array([True, None, False], dtype="boolean"),
        }
    )
    job = store.get_historical_features(
        entity_df=entities,
        features=store.get_feature_service("flights"),
        full_feature_names=full_feature_names,
    )
    frame, table = job.to_df(), job.to_arrow()
    assert set(frame.columns) == set(table.column_names)

    def column(view_name: str, name: str) -> list[float | None]:
        full = f"{view_name}__{name}" if full_feature_names else name
        values: list[float | None] = table[full].to_pylist()
        np.testing.assert_array_equal(frame[full], np.array(values, np.float64))
        return values

    assert column("delay_of_carrier", "delay") == [12.5, None, 12.5]
    assert column("passed", "seconds") == [NOON_SECONDS + 0.250001, None, SUMMER_NIGHT_SECONDS]
    assert column("passed", "seats_out") == [150.0, None, 2.0]
    assert column("passed", "fare_out") == [99.5, None, math.inf]
    assert column("passed", "is_direct_out") == [1.0, None, 0.0]
    assert column("clock", "hour") == [7.0, None, 1.0]
    assert column("clock", "weekday") == [0.0, None, 0.0]


@pytest.mark.parametrize("full_feature_names", [False, True])
def test_online_features_hold_what_the_function_computes(
    store: FeatureStore, full_feature_names: bool
) -> None:
    rows: list[dict[str, Any]] = [
        {"carrier": "UA", "departure": NOON, "seats": 150, "fare": 99.5, "is_direct": True},
        {"carrier": "??", "departure": None, "seats": None, "fare": None, "is_direct": None},
        {
            "carrier": "UA",
            "departure": SUMMER_NIGHT,
            "seats": 2,
            "fare": math.inf,
            "is_direct": False,
        },
    ]
    answer = store.get_online_features(
        features=store.get_feature_service("flights"),
        entity_rows=rows,
        full_feature_names=full_feature_names,
    ).to_dict()
    expected = {
        ("passed", "seconds"): [NOON_SECONDS, None, SUMMER_NIGHT_SECONDS],
        ("passed", "seats_out"): [150.0, None, 2.0],
        ("passed", "fare_out"): [99.5, None, math.inf],
        ("passed", "is_direct_out"): [1.0, None, 0.0],
        ("clock", "hour"): [7.0, None, 1.0],
    }
    for (view_name, name), values in expected.items():
        assert answer[f"{view_name}__{name}" if full_feature_names else name] == values


@pytest.mark.parametrize(
    "departure",
    [
        pd.Series([NOON, None]),
        pd.Series([NOON, None], dtype=object),
        pd.Series([NOON.astimezone(EASTERN), None], dtype=object),
        pd.Series([NOON.replace(tzinfo=None), None]),
        pd.Series([NOON, None], dtype="datetime64[us, UTC]"),
        pd.Series([NOON_SECONDS, None]),
        pd.Series([int(NOON_SECONDS), None], dtype="Int64"),
    ],
    ids=["aware", "objects", "eastern", "naive", "microseconds", "seconds", "integers"],
)
def test_instants_of_every_kind_become_seconds(departure: pd.Series[Any]) -> None:
    frame = pd.DataFrame({"departure": departure, "seats": 1, "fare": 1.0, "is_direct": True})
    seconds = pass_through_view().feature_transformation.udf(frame)["seconds"]
    assert seconds.dtype == np.float64
    np.testing.assert_array_equal(seconds, [NOON_SECONDS, np.nan])


def test_no_rows_give_no_rows() -> None:
    frame = pd.DataFrame({"departure": pd.Series([], dtype="datetime64[us, UTC]")})
    computed = clock_view().feature_transformation.udf(frame)
    assert computed.shape == (0, 2)
    assert (computed.dtypes == np.float64).all()


def test_functions_that_cannot_be_imported_are_refused() -> None:
    def local(departure: Any) -> dict[str, Any]:
        return {"hour": departure}

    fields = [Field(name="departure", dtype=UnixTimestamp)]
    outputs = [Field(name="hour", dtype=Float64)]
    with pytest.raises(RequestFunctionError, match="local"):
        request_time_view(name="clock", function=local, inputs=fields, outputs=outputs)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([], [Field(name="hour", dtype=Float64)], "Got 0 inputs"),
        (
            [Field(name="departure", dtype=String)],
            [Field(name="hour", dtype=Float64)],
            "Got type String for input 'departure'",
        ),
        (
            [Field(name="departure", dtype=UnixTimestamp)],
            [Field(name="hour", dtype=Int64)],
            "Got type Int64, .* for output 'hour'",
        ),
        (
            [Field(name="departure", dtype=UnixTimestamp)],
            [Field(name="hour", dtype=Float64, description="Local hour")],
            "description 'Local hour'",
        ),
        (
            [Field(name="as_of", dtype=Float64)],
            [Field(name="hour", dtype=Float64)],
            "'as_of' .* but expected it as an input of type UnixTimestamp alone",
        ),
        (
            [Field(name="departure", dtype=UnixTimestamp)],
            [Field(name="as_of", dtype=Float64)],
            "'as_of' .* but expected it as an input",
        ),
    ],
)
def test_fields_of_other_types_are_refused(
    inputs: list[Field], outputs: list[Field], message: str
) -> None:
    with pytest.raises(RequestFunctionError, match=message):
        request_time_view(name="clock", function=new_york_clock, inputs=inputs, outputs=outputs)


def test_on_demand_views_made_otherwise_are_refused() -> None:
    source = RequestSource(name="asked", schema=[Field(name="departure", dtype=Float64)])
    handmade = OnDemandFeatureView(
        name="handmade",
        sources=[source],
        schema=[Field(name="seconds", dtype=Float64)],
        udf=lambda frame: frame,
        udf_string="lambda frame: frame",
    )
    with pytest.raises(RequestFunctionError, match=r"'handmade'.*: run `zeroskew apply`"):
        request_function_of(handmade)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((), "missing a required argument: 'departure'"),
        (("departure", "fare"), "got an unexpected keyword argument 'fare'"),
    ],
)
def test_a_function_that_takes_other_inputs_is_refused(inputs: tuple[str, ...], said: str) -> None:
    with pytest.raises(RequestFunctionError) as refusal:
        RequestFunction("clock", inputs, ("hour", "weekday"), new_york_clock)
    assert said in str(refusal.value)
    assert f"the arguments {list(inputs)}" in str(refusal.value)


def test_a_selection_gives_the_chosen_outputs_in_their_order() -> None:
    clock = RequestFunction("clock", ("departure",), ("hour", "weekday"), new_york_clock)
    departures = {"departure": np.array([NOON_SECONDS, np.nan])}
    turned = clock.select(["weekday", "hour"]).evaluate(departures)
    assert list(turned) == ["weekday", "hour"]
    np.testing.assert_array_equal(turned["weekday"], [0.0, np.nan])
    np.testing.assert_array_equal(turned["hour"], [7.0, np.nan])
    assert list(clock.select(["hour"]).evaluate(departures)) == ["hour"]
    assert clock.output_names == ("hour", "weekday")


def test_a_selection_of_unknown_outputs_is_refused() -> None:
    clock = RequestFunction("clock", ("departure",), ("hour", "weekday"), new_york_clock)
    with pytest.raises(
        RequestFunctionError,
        match=r"Got outputs \['minute'\] of .*'clock', but expected some of \['hour', 'weekday'\]",
    ):
        clock.select(["hour", "minute"])
    with pytest.raises(RequestFunctionError, match="Got outputs \\['weekday'\\]"):
        clock.select(["hour"]).select(["weekday"])


def test_a_selection_still_refuses_a_function_that_returns_other_names() -> None:
    renamed = RequestFunction("clock", ("departure",), ("hour", "minute"), new_york_clock)
    with pytest.raises(RequestFunctionError, match=r"^Got \['hour', 'weekday'\]"):
        renamed.select(["hour"]).evaluate({"departure": np.array([NOON_SECONDS])})
