"""Assembling the matrix: one rounding to float32, request values, categories."""

import numpy as np
from feast.protos.feast.types.Value_pb2 import Value

from api.prediction.feature_plan import CompiledPlan, FeatureStatus
from tests.support.manifests import FIELDS, PLAN

ROW = ("AA", "EWR", "IAH", 100, 1400.5, True, 86_400.000001)


def test_a_whole_number_is_rounded_to_float32_once() -> None:
    # 2**60 + 2**36 lies half-way between two float32; the 1 above it is lost in float64.
    flights = 2**60 + 2**36 + 1
    plan = CompiledPlan(FIELDS, PLAN)
    keys = plan.serialize_keys([ROW])
    route_key = keys[1][0]
    assert route_key is not None
    stored = [(Value(int64_val=flights).SerializeToString(), 0), None]
    matrix = plan.assemble([ROW], keys, [{}, {route_key: stored}], now_us=0)
    assert int(matrix.values[0, 3]) == 2**60 + 2**37
    assert matrix.status.tolist() == [
        [FeatureStatus.MISSING] * 3 + [FeatureStatus.PRESENT] + [FeatureStatus.REQUEST] * 2
    ]


def test_request_values_become_columns_and_inputs() -> None:
    plan = CompiledPlan(FIELDS, PLAN)
    keys = plan.serialize_keys([ROW])
    matrix = plan.assemble([ROW], keys, [{}, {}], now_us=0)
    np.testing.assert_array_equal(matrix.values[0, 4:], np.array([1, 1400.5], np.float32))
    assert plan.request_matrix([ROW]).tolist() == [[86_400.000001, 1.0]]


def test_no_rows_give_empty_matrices() -> None:
    plan = CompiledPlan(FIELDS, PLAN)
    matrix = plan.assemble([], plan.serialize_keys([]), [{}, {}], now_us=0)
    assert (matrix.values.shape, plan.request_matrix([]).shape) == ((0, 6), (0, 2))
