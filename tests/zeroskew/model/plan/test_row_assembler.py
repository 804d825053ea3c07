"""Few rows come out as they do among many, to the bit, whenever they are asked for."""

from typing import Any

import pytest
from feast.protos.feast.types.Value_pb2 import NULL, Value
from hypothesis import given
from hypothesis import strategies as st

from tests.support.manifests import FIELDS, HOUR_US, PLAN
from tests.zeroskew.model.plan.test_read_plan import NOW_US, make_plan
from zeroskew.contract.errors.service import OnlineValueError, StaleFeatureError
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.manifest import Column
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.online.reader import EntityRow, StoredFeatures

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


def draw_entities(data: Any, plan: ReadPlan) -> list[EntityRow]:
    """Draw an entity for each lookup, its views' event times, and sometimes a wrong cell."""
    entities = []
    for lookup in plan.layout.lookups:
        cells, times = [], []
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
        entities.append(EntityRow(cells, times))
    return entities


def without_rows(stored: StoredFeatures) -> StoredFeatures:
    """Return the same as a reader gives it for many rows."""
    return StoredFeatures(stored.layout, stored.entities, stored.places, stored.event_us)


def assemble(plan: ReadPlan, rows: list[Any], stored: StoredFeatures, now_us: int = NOW_US) -> Any:
    try:
        matrix = plan.assemble(rows, stored, now_us)
    except (OnlineValueError, StaleFeatureError) as error:
        return type(error), str(error)
    parts = (matrix.values, matrix.request, matrix.status, matrix.event_us)
    return [(part.shape, part.dtype, part.tobytes()) for part in parts]


@pytest.mark.parametrize(
    "plan",
    [
        WITH_SEATS,
        *(make_plan(when_stale=policy) for policy in ("null", "serve", "reject")),
    ],
)
@given(st.lists(ROWS, min_size=1, max_size=4), st.data())
def test_few_rows_equal_the_same_among_many(plan: ReadPlan, rows: list[Any], data: Any) -> None:
    """The same entities are asked for at several times: what is remembered of them may not hold."""
    known = [draw_entities(data, plan) for _ in range(2)]
    for _ in range(3):
        chosen = [[data.draw(st.sampled_from(of)) for of in zip(*known, strict=True)] for _ in rows]
        stored = StoredFeatures(plan.layout, rows=chosen)
        now_us = NOW_US + data.draw(st.sampled_from([0, 0, -2, -1, 1, HOUR_US, HOUR_US + 1]))
        expected = assemble(plan, rows, without_rows(stored), now_us)
        assert assemble(plan, rows, stored, now_us) == expected


def test_what_is_told_of_a_row_is_of_its_time() -> None:
    plan = make_plan(when_stale="null")
    row = [cells_of(plan, mean=Value(float_val=2.0).SerializeToString())]
    stored = StoredFeatures(plan.layout, rows=[row])
    live = plan.assemble([AN_ORDINARY_ROW], stored, NOW_US)
    late = plan.assemble([AN_ORDINARY_ROW], stored, NOW_US + 10**15)
    assert FeatureStatus.PRESENT in live.status
    assert set(late.status.ravel().tolist()) <= {FeatureStatus.STALE, FeatureStatus.MISSING}


def cells_of(plan: ReadPlan, **cells: bytes) -> EntityRow:
    """Return a live entity of the plan's only lookup with some cells."""
    row = [cells.get(feature.name) for feature in plan.features]
    return EntityRow(row, [NOW_US] * len(plan.layout.views))


def test_a_whole_number_of_the_request_is_rounded_once() -> None:
    row = ("AA", "EWR", "IAH", ROUNDED_TWICE, 1.0, True, 0.0)
    absent = [
        EntityRow([None] * lookup.n_features, [NEVER_US] * len(lookup.views))
        for lookup in WITH_SEATS.layout.lookups
    ]
    nothing = StoredFeatures(WITH_SEATS.layout, rows=[absent, absent])
    for stored in (nothing, without_rows(nothing)):
        values = WITH_SEATS.assemble([row] * 2, stored, NOW_US).values
        assert int(values[1, -1]) == 2**60 + 2**37


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
    stored = StoredFeatures(plan.layout, rows=[[cells_of(plan, mean=wrong)]])
    for _ in range(2):
        with pytest.raises(OnlineValueError, match="Feature carrier_stats:mean: Got"):
            plan.assemble([AN_ORDINARY_ROW], stored, NOW_US)
