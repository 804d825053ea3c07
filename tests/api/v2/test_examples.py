"""Examples of inference requests: what JSON can say of a model's golden rows."""

import math

from api.v2.examples import make_examples
from tests.support.manifests import golden_row, make_manifest, sum_graph

GRAPH = sum_graph(6, 2)
INFINITE = golden_row(GRAPH, [math.inf, 0, 0, 0, 0, 0], [0, 0])
MISSING = golden_row(GRAPH, [math.nan, 0.5, 0, 0, 0, 0], [math.nan, 2])


def test_a_missing_value_is_null_and_a_row_with_an_infinity_is_passed_over() -> None:
    manifest = make_manifest(GRAPH, golden_rows=(INFINITE, MISSING))
    features, request = make_examples(manifest)["tensor"]["inputs"]
    assert features["data"] == [None, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert request["data"] == [None, 2.0]


def test_without_a_row_that_json_can_say_there_is_no_tensor_example() -> None:
    manifest = make_manifest(GRAPH, golden_rows=(INFINITE,))
    assert list(make_examples(manifest)) == ["entity"]
