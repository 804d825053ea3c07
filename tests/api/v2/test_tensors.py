"""Elements out of JSON: flat or nested, of the datatype and nothing else."""

import math
from typing import Any

import numpy as np
import pytest

from api.v2.tensors import NUMPY_TYPES, list_accepted, read_json_elements
from zeroskew.contract.errors.service import InvalidTensorsError


def read(data: list[Any], datatype: str, shape: list[int]) -> Any:
    elements = read_json_elements(data, name="x", datatype=datatype, shape=shape)
    return elements.tolist() if isinstance(elements, np.ndarray) else elements


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "expected"),
    [
        (["UA", "AA"], "BYTES", [2], ["UA", "AA"]),
        ([["UA"], [None]], "BYTES", [2, 1], ["UA", None]),
        (["UA", "AA"], "BYTES", [2, 1], ["UA", "AA"]),
        ([True, False], "BOOL", [2], [True, False]),
        ([-(2**63), 2**63 - 1], "INT64", [2], [-(2**63), 2**63 - 1]),
        ([0, 4294967295], "UINT32", [2], [0, 4294967295]),
        ([1, 2.5, -0.0], "FP64", [3], [1.0, 2.5, -0.0]),
        ([[1, 2], [3, 4]], "FP32", [2, 2], [1.0, 2.0, 3.0, 4.0]),
        ([[1, 2]], "FP32", [1, 2], [1.0, 2.0]),
        ([0.1], "FP32", [1], [float.fromhex("0x1.99999ap-4")]),
        ([0.1], "FP16", [1], [float.fromhex("0x1.998p-4")]),
        ([18446744073709549568], "FP64", [1], [18446744073709549568.0]),
    ],
)
def test_elements_are_of_the_datatype(
    data: list[Any], datatype: str, shape: list[int], expected: list[Any]
) -> None:
    assert read(data, datatype, shape) == expected


def test_null_is_nan_in_a_floating_point_tensor() -> None:
    first, second = read([None, 1.5], "FP32", [2])
    assert math.isnan(first)
    assert second == 1.5


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "message"),
    [
        (["UA"], "BYTES", [2], 'Got 1 elements in the data of input "x", but expected 2'),
        (["UA"] * 3, "BYTES", [2], "Got 3 elements"),
        ([], "BYTES", [1], "Got 0 elements"),
        ([[1, 2], [3]], "FP32", [2, 2], "Got a list of 1 in the data"),
        ([[1, 2, 3], [3, 4]], "FP32", [2, 2], "Got a list of 3 in the data"),
        ([[[1], [2]]], "FP32", [1, 2], "Got a list of 1 as element 0"),
        ([[1, 2], 3, 4], "FP32", [2, 2], "Got 3 elements"),
        ([["UA"], ["AA"]], "BYTES", [2], 'Got a list of 1 as element 0 of input "x"'),
        (["UA", 1], "BYTES", [2], 'Got 1 as element 1 of input "x", but expected a string'),
        ([1], "BOOL", [1], 'Got 1 as element 0 of input "x", but expected true or false'),
        ([True], "INT64", [1], 'Got true as element 0 of input "x", but expected a whole number'),
        ([1.0], "INT64", [1], "Got 1.0 as element 0"),
        (["1"], "INT64", [1], 'Got "1" as element 0'),
        ([2**63], "INT64", [1], "from -9223372036854775808 to 9223372036854775807"),
        ([2**70], "INT64", [1], "Got a very large whole number as element 0"),
        ([-1], "UINT32", [1], "from 0 to 4294967295"),
        ([128], "INT8", [1], "from -128 to 127"),
        ([True], "FP64", [1], 'Got true as element 0 of input "x", but expected a number'),
        (["NaN"], "FP64", [1], 'Got "NaN" as element 0'),
        ([{}], "FP64", [1], "Got an object as element 0"),
        ([math.inf], "FP64", [1], "Got Infinity as element 0"),
        ([1.0, -math.inf], "FP32", [2], "Got -Infinity as element 1"),
        ([1e39], "FP32", [1], "Got 1e+39 as element 0"),
        ([70000], "FP16", [1], "but expected a finite number within FP16"),
        ([2**70], "FP64", [1], "Got a very large whole number as element 0"),
        (
            [1.5, 2**53 + 1],
            "FP64",
            [2],
            '9007199254740993 as element 1 of input "x", but expected a',
        ),
        ([10**400], "FP64", [1], "Got a very large whole number as element 0"),
    ],
)
def test_other_elements_are_refused_by_name(
    data: list[Any], datatype: str, shape: list[int], message: str
) -> None:
    with pytest.raises(InvalidTensorsError) as caught:
        read(data, datatype, shape)
    assert message in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize("datatype", ["INT64", "FP32", "FP64"])
def test_what_is_accepted_for_a_datatype_loses_no_value(datatype: str) -> None:
    for accepted in list_accepted(datatype):
        assert np.can_cast(NUMPY_TYPES[accepted], NUMPY_TYPES[datatype], "safe")


@pytest.mark.parametrize("datatype", ["BYTES", "BOOL"])
def test_text_and_truth_values_are_taken_as_they_are(datatype: str) -> None:
    assert list_accepted(datatype) == (datatype,)
