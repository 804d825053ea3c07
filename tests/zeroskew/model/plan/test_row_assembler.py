"""A single row comes out as it does among others, to the bit."""

from typing import Any

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import NULL, Value
from hypothesis import given
from hypothesis import strategies as st

from tests.support.manifests import FIELDS, HOUR_US, PLAN
from tests.zeroskew.model.plan.test_read_plan import NOW_US, make_plan
from zeroskew.contract.errors.service import OnlineValueError, StaleFeatureError
from zeroskew.contract.manifest import Column
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.online.reader import StoredFeatures

FLOATS = st.floats(width=32) | st.sampled_from([float("nan"), float("inf"), -0.0])
CELLS = {
    "FLOAT": st.builds(lambda v: Value(float_val=v), FLOATS),
    "DOUBLE": st.builds(lambda v: Value(double_val=v), st.floats() | st.sampled_from([3.5e38])),
    "INT64": st.builds(lambda v: Value(int64_val=v), st.integers(-(2**63), 2**63 - 1)),
    "STRING": st.builds(lambda v: Value(string_val=v), st.sampled_from(["s", "b", "x", ""])),
    "BOOL": st.builds(lambda v: Value(bool_val=v), st.booleans()),
    "UNIX_TIMESTAMP": st.builds(
        lambda v: Value(unix_timestamp_val=v), st.integers(-(2**40), 2**40)
    ),
}
# Half-way between two float32, and a little more that float64 loses.
ROUNDED_TWICE = 2**60 + 2**36 + 1
NULLS = st.sampled_from([Value(), Value(null_val=NULL)])
ROWS = st.tuples(
    st.sampled_from(["AA", "ZZ", "OO"]),
    st.sampled_from(["EWR", "LGA"]),
    st.just("IAH"),
    st.none() | st.integers(-(2**62), 2**62) | st.just(ROUNDED_TWICE),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.booleans(),
    st.floats(0, 1e10),
)
WITH_SEATS = ReadPlan(
    FIELDS,
    PLAN.model_copy(update={"columns": (*PLAN.columns, Column(name="seats", field="seats"))}),
)
AN_ORDINARY_ROW = ("AA", "EWR", "IAH", 100, 1.5, True, 0.0)
AGES = st.sampled_from([-1, 0, HOUR_US, HOUR_US + 1, None])


def draw_stored(data: Any, plan: ReadPlan) -> StoredFeatures:
    """Draw an entity for each lookup, its views' event times, and sometimes a wrong cell."""
    entities, times = [], []
    for lookup in plan.layout.lookups:
        cells = []
        for view in lookup.views:
            age = data.draw(AGES)
            times.append(NEVER_US if age is None else NOW_US - age)
            for feature in plan.features:
                if feature.view != view.name:
                    continue
                kinds = CELLS[feature.type.name] | NULLS
                if data.draw(st.integers(0, 30)) == 0:
                    kinds = CELLS["INT64"] | CELLS["FLOAT"]
                cell = data.draw(st.none() | kinds)
                cells.append(None if age is None or cell is None else cell.SerializeToString())
        entities.append([cells])
    places = np.zeros((1, len(entities)), np.intp)
    return StoredFeatures(plan.layout, entities, places, view_times=times)


def assemble(plan: ReadPlan, rows: list[Any], stored: StoredFeatures) -> Any:
    try:
        matrix = plan.assemble(rows, stored, NOW_US)
    except (OnlineValueError, StaleFeatureError) as error:
        return type(error)
    return [
        part[0].tobytes()
        for part in (matrix.values, matrix.request, matrix.status, matrix.event_us)
    ]


@pytest.mark.parametrize(
    "plan",
    [
        WITH_SEATS,
        *(make_plan(when_stale=policy) for policy in ("null", "serve", "reject")),
    ],
)
@given(ROWS, st.data())
def test_a_row_alone_equals_the_row_among_others(plan: ReadPlan, row: Any, data: Any) -> None:
    alone = draw_stored(data, plan)
    twice = StoredFeatures(
        plan.layout, alone.entities, alone.places.repeat(2, 0), alone.event_us.repeat(2, 0)
    )
    assert assemble(plan, [row], alone) == assemble(plan, [row, row], twice)


def one_row(plan: ReadPlan, **cells: bytes) -> StoredFeatures:
    """Return a live row of the view with some cells."""
    row = [cells.get(feature.name) for feature in plan.features]
    return StoredFeatures(plan.layout, [[row]], np.zeros((1, 1), np.intp), view_times=[NOW_US])


def test_a_whole_number_of_the_request_is_rounded_once() -> None:
    row = ("AA", "EWR", "IAH", ROUNDED_TWICE, 1.0, True, 0.0)
    nothing = StoredFeatures(
        WITH_SEATS.layout,
        [[[None] * lookup.n_features] for lookup in WITH_SEATS.layout.lookups],
        np.zeros((1, len(WITH_SEATS.layout.lookups)), np.intp),
        view_times=[NEVER_US] * len(WITH_SEATS.layout.views),
    )
    assert int(WITH_SEATS.assemble([row], nothing, NOW_US).values[0, -1]) == 2**60 + 2**37
    two = StoredFeatures(
        WITH_SEATS.layout,
        nothing.entities,
        nothing.places.repeat(2, 0),
        nothing.event_us.repeat(2, 0),
    )
    assert int(WITH_SEATS.assemble([row] * 2, two, NOW_US).values[1, -1]) == 2**60 + 2**37


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x20\x80\x80\x80\x01",  # A whole number as long as a float.
        Value(float_val=1.0).SerializeToString()[:-1],
        Value(float_val=1.0).SerializeToString() + b"\0",
        Value(double_val=1.0).SerializeToString(),
    ],
)
def test_a_wrong_cell_of_a_single_row_is_refused_by_name(wrong: bytes) -> None:
    plan = make_plan()
    with pytest.raises(OnlineValueError, match="Feature carrier_stats:mean: Got"):
        plan.assemble([AN_ORDINARY_ROW], one_row(plan, mean=wrong), NOW_US)
