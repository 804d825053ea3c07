"""Assembling the matrix: roundings, request values, freshness, overrides, defaults."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import NULL, Value

from tests.support.manifests import CARRIERS, FIELDS, HOUR_US, PLAN, view_plan
from tests.support.stored_rows import as_stored
from zeroskew.contract.errors.service import OnlineValueError, StaleFeatureError
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.manifest import Column, FeaturePlan, RequestInput, Scalar
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.online.reader import StoredFeatures

ROW = ("AA", "EWR", "IAH", 100, 1400.5, True, 86_400.000001)
NOW_US = 10 * HOUR_US


def stored(plan: ReadPlan, *rows: Mapping[str, tuple[Value, int] | None]) -> StoredFeatures:
    """Return cells by ``view:feature`` with their event times; the others are absent."""
    found = [[row.get(feature.reference) for feature in plan.features] for row in rows]
    event_us = [[NEVER_US if cell is None else cell[1] for cell in row] for row in found]
    cells = [
        [None if cell is None else cell[0].SerializeToString() for cell in row] for row in found
    ]
    return as_stored(plan.layout, cells, event_us)


def status_of(plan: ReadPlan, status: Any, row: int = 0) -> dict[str, FeatureStatus]:
    return {
        feature.reference: FeatureStatus(int(status[row, index]))
        for index, feature in enumerate(plan.features)
    }


def test_a_whole_number_is_rounded_to_float32_once() -> None:
    # 2**60 + 2**36 lies half-way between two float32; the 1 above it is lost in float64.
    plan = ReadPlan(FIELDS, PLAN)
    flights = Value(int64_val=2**60 + 2**36 + 1)
    matrix = plan.assemble([ROW], stored(plan, {"route_stats:flights": (flights, 0)}), now_us=0)
    assert int(matrix.values[0, 3]) == 2**60 + 2**37
    assert status_of(plan, matrix.status) == {
        "carrier_stats:mean_delay": FeatureStatus.MISSING,
        "carrier_stats:size": FeatureStatus.MISSING,
        "route_stats:flights": FeatureStatus.PRESENT,
        "route_stats:share": FeatureStatus.MISSING,
    }


def test_request_values_become_columns_and_inputs() -> None:
    plan = ReadPlan(FIELDS, PLAN)
    matrix = plan.assemble([ROW], stored(plan, {}), now_us=0)
    np.testing.assert_array_equal(matrix.values[0, 4:], np.array([1, 1400.5], np.float32))
    assert matrix.request.tolist() == [[86_400.000001, 1.0]]


def test_no_rows_give_empty_matrices() -> None:
    plan = ReadPlan(FIELDS, PLAN)
    matrix = plan.assemble([], stored(plan), now_us=0)
    assert (matrix.values.shape, matrix.request.shape) == ((0, 6), (0, 2))


def make_plan(**changes: Any) -> ReadPlan:
    """Return a plan whose feature `last` is a column and an input, by a view of one hour."""
    view: dict[str, Any] = {
        key: changes.pop(key) for key in ("when_stale", "defaults") if key in changes
    }
    kinds = {"last": "INT64", "mean": "FLOAT", "size": "STRING", "seen": "UNIX_TIMESTAMP"}
    return ReadPlan(
        FIELDS,
        FeaturePlan(
            project="trial",
            feature_service="delay_v1",
            views=(view_plan("carrier_stats", {"carrier": "STRING"}, kinds, **view),),
            columns=(
                Column(name="size", view="carrier_stats", feature="size", categories=("s", "b")),
                Column(name="last", view="carrier_stats", feature="last"),
                Column(name="mean", view="carrier_stats", feature="mean"),
                Column(name="carrier", field="carrier", categories=CARRIERS),
            ),
            request_inputs=(
                RequestInput(name="seen", view="carrier_stats", feature="seen"),
                RequestInput(name="seats", field="seats"),
                RequestInput(name="last", view="carrier_stats", feature="last"),
            ),
            **changes,
        ),
    )


def cells_at(event_us: int) -> dict[str, tuple[Value, int] | None]:
    return {
        "carrier_stats:last": (Value(int64_val=2**24 + 1), event_us),
        "carrier_stats:mean": (Value(float_val=0.1), event_us),
        "carrier_stats:size": (Value(string_val="b"), event_us),
        "carrier_stats:seen": (Value(unix_timestamp_val=1_380_000_000), event_us),
    }


def test_a_feature_reaches_the_graph_as_a_column_and_unrounded_as_an_input() -> None:
    plan = make_plan()
    matrix = plan.assemble([ROW], stored(plan, cells_at(NOW_US)), now_us=NOW_US)
    assert matrix.values.tolist() == [[1.0, 2.0**24, float(np.float32(0.1)), 1.0]]
    assert matrix.request.tolist() == [[1_380_000_000.0, 100.0, 2.0**24 + 1]]
    assert not matrix.status.any()


@pytest.mark.parametrize("late_us", [-1, 0, HOUR_US, HOUR_US + 1])
def test_serve_gives_the_model_what_is_not_live_and_null_does_not(late_us: int) -> None:
    live = 0 <= late_us <= HOUR_US
    expected = FeatureStatus.PRESENT
    if not live:
        expected = FeatureStatus.FUTURE if late_us < 0 else FeatureStatus.STALE
    for policy in ("null", "serve"):
        plan = make_plan(when_stale=policy)
        matrix = plan.assemble([ROW], stored(plan, cells_at(NOW_US - late_us)), now_us=NOW_US)
        assert set(status_of(plan, matrix.status).values()) == {expected}
        assert np.isnan(matrix.values[0, :3]).all() == (policy == "null" and not live)
        assert np.isnan(matrix.request[0, [0, 2]]).all() == (policy == "null" and not live)


def test_reject_names_the_instance_the_feature_and_its_age() -> None:
    plan = make_plan(when_stale="reject")
    cells = stored(plan, cells_at(NOW_US), cells_at(NOW_US - HOUR_US - 500_000))
    with pytest.raises(StaleFeatureError) as raised:
        plan.assemble([ROW, ROW], cells, now_us=NOW_US)
    assert raised.value.fields[0].pointer == "/instances/1"
    assert "carrier_stats:last that is 3600.5 seconds old" in str(raised.value)
    assert "at most 3600 seconds" in str(raised.value)


def test_reject_lets_a_missing_row_and_an_overridden_feature_pass() -> None:
    plan = make_plan(when_stale="reject")
    plan.assemble([ROW], stored(plan, {}), now_us=NOW_US)
    stale = stored(plan, cells_at(NOW_US - HOUR_US - 1))
    everything: dict[str, Scalar | None] = {f.reference: None for f in plan.features}
    matrix = plan.assemble([ROW], stale, NOW_US, overrides=[everything])
    assert set(status_of(plan, matrix.status).values()) == {FeatureStatus.OVERRIDE}


def test_an_override_is_read_as_the_stored_value_would_be() -> None:
    plan = make_plan()
    given: dict[str, Scalar | None] = {
        "carrier_stats:last": 2**24 + 3,
        "carrier_stats:mean": 0.2,
        "carrier_stats:size": "s",
        "carrier_stats:seen": 5.5,
    }
    cells = stored(plan, cells_at(NOW_US), cells_at(NOW_US))
    matrix = plan.assemble([ROW, ROW], cells, NOW_US, overrides=[{}, given])
    assert matrix.values[0].tolist() == [1.0, 2.0**24, float(np.float32(0.1)), 1.0]
    assert matrix.values[1].tolist() == [0.0, 2.0**24 + 4, float(np.float32(0.2)), 1.0]
    assert matrix.request[1].tolist() == [5.5, 100.0, 2.0**24 + 3]
    assert not matrix.status[0].any()
    assert set(status_of(plan, matrix.status, 1).values()) == {FeatureStatus.OVERRIDE}


def test_defaults_stand_for_all_that_is_stored() -> None:
    plan = make_plan(defaults={"last": 7, "size": "b"}, when_store_down="defaults")
    matrix = plan.assemble_defaults([ROW, ROW], 0, [{"carrier_stats:mean": 1.5}, {}])
    np.testing.assert_array_equal(
        matrix.values, np.array([[1, 7, 1.5, 1], [1, 7, np.nan, 1]], np.float32)
    )
    np.testing.assert_array_equal(matrix.request, [[np.nan, 100, 7], [np.nan, 100, 7]])
    assert status_of(plan, matrix.status)["carrier_stats:mean"] is FeatureStatus.OVERRIDE
    assert status_of(plan, matrix.status)["carrier_stats:last"] is FeatureStatus.DEFAULT


@pytest.mark.parametrize("n_rows", [1, 3])
def test_the_moment_of_prediction_reaches_the_graph_to_the_microsecond(n_rows: int) -> None:
    inputs = (RequestInput(name="as_of", is_moment=True), RequestInput(name="seats", field="seats"))
    plan = ReadPlan(
        FIELDS,
        FeaturePlan(
            project="trial",
            feature_service="delay_v1",
            views=(),
            columns=(),
            request_inputs=inputs,
            when_store_down="defaults",
        ),
    )
    now_us = NOW_US + 123_457
    expected = [[now_us / 1e6, 100.0]] * n_rows
    cells = stored(plan, *[{}] * n_rows)
    assert plan.assemble([ROW] * n_rows, cells, now_us).request.tolist() == expected
    assert plan.assemble_defaults([ROW] * n_rows, now_us).request.tolist() == expected


def test_a_stored_nan_is_present_and_both_writings_of_null_are_null() -> None:
    plan = make_plan()
    cells = [
        cells_at(NOW_US) | {"carrier_stats:mean": (value, NOW_US)}
        for value in (Value(float_val=np.nan), Value(), Value(null_val=NULL))
    ]
    matrix = plan.assemble([ROW] * 3, stored(plan, *cells), now_us=NOW_US)
    assert np.isnan(matrix.values[:, 2]).all()
    assert [status_of(plan, matrix.status, row)["carrier_stats:mean"] for row in range(3)] == [
        FeatureStatus.PRESENT,
        FeatureStatus.NULL,
        FeatureStatus.NULL,
    ]


@pytest.mark.parametrize("reference", ["last", "mean", "size", "seen"])
@pytest.mark.parametrize(
    "wrong", [Value(bool_val=True), Value(double_val=1.0), Value(bytes_val=b"1234")]
)
def test_a_stored_value_of_another_type_is_refused_by_name(reference: str, wrong: Value) -> None:
    plan = make_plan()
    cells = cells_at(NOW_US) | {f"carrier_stats:{reference}": (wrong, NOW_US)}
    with pytest.raises(OnlineValueError, match=f"Feature carrier_stats:{reference}: Got"):
        plan.assemble([ROW, ROW], stored(plan, cells_at(NOW_US), cells), now_us=NOW_US)


def test_cells_whose_lengths_only_add_up_are_refused() -> None:
    plan = make_plan()
    whole = stored(plan, cells_at(NOW_US), cells_at(NOW_US))
    mean = next(i for i, f in enumerate(plan.features) if f.name == "mean")
    cells = whole.cells
    first, second = (row[mean] or b"" for row in cells)
    cells[0][mean], cells[1][mean] = first[:4], first[4:] + second
    with pytest.raises(OnlineValueError, match="carrier_stats:mean"):
        plan.assemble(
            [ROW, ROW], as_stored(plan.layout, cells, whole.event_us.tolist()), now_us=NOW_US
        )
