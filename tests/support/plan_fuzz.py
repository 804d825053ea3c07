"""Manifests and stored rows that went wrong, and what must hold for each of them."""

from __future__ import annotations

import copy
import json
import math
import tracemalloc
from typing import Any, Final

import numpy as np
from feast.protos.feast.types.Value_pb2 import NULL, Value
from google.protobuf.message import DecodeError
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.broken_documents import break_bytes, break_member
from tests.support.manifests import FIELDS, PLAN, make_manifest, sum_graph
from zeroskew.contract.errors.service import ModelRefusedError, OnlineValueError
from zeroskew.contract.manifest import Manifest
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.model.requests.schemas import ModelSchema
from zeroskew.online.reader import StoredFeatures

__all__ = ["assemble_or_refuse", "broken_cells", "broken_manifests", "compile_or_refuse"]

_LIMITS: Final = InstanceLimits(max_instances=50, max_text_length=64)
_MANIFEST: Final = json.loads(make_manifest(sum_graph(6, 2)).model_dump_json())
_NAMES: Final = st.sampled_from(
    [
        *("carrier", "origin", "dest", "seats", "distance", "international", "overrides", "\0"),
        *("carrier_stats", "route_stats", "mean_delay", "size", "flights", "share", "small", "x"),
        *("STRING", "INT64", "INT32", "FLOAT", "DOUBLE", "BYTES", "UNIX_TIMESTAMP", "FLOAT_LIST"),
        *("string", "integer", "number", "timestamp", "null", "reject", "00", "zz", "0a0b", ""),
    ]
)
_MAX_BYTES: Final = 20_000_000


@st.composite
def broken_manifests(draw: st.DrawFn) -> bytes:
    """Return a manifest with up to three members, and sometimes some bytes, broken."""
    document = copy.deepcopy(_MANIFEST)
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(["plan", "plan", "request", "golden_keys", "output", ""]))
        inside = document.get(part) if part else document
        break_member(draw, inside if isinstance(inside, dict | list) else document, _NAMES)
    text = json.dumps(document).encode()
    return break_bytes(draw, text) if draw(st.integers(0, 9)) == 0 else text


def compile_or_refuse(content: bytes) -> bool:
    """Return whether a manifest is accepted; nothing but a refusal may be raised."""
    tracemalloc.start()
    try:
        manifest = Manifest.model_validate_json(content)
        plan = ReadPlan(manifest.request, manifest.plan)
        plan.check_golden_keys(manifest.golden_keys)
        ModelSchema(manifest, 1, _LIMITS)
    except (ValidationError, ModelRefusedError):
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < _MAX_BYTES, (peak, content)
    return True


_PLAN: Final = ReadPlan(FIELDS, PLAN)
_ROW: Final = ("UA", "EWR", "IAH", 100, 1400.5, False, 0.0)
_NOW_US: Final = 1_380_628_800_000_000
_WHOLE: Final = [
    Value(float_val=2.5),
    Value(string_val="big"),
    Value(string_val="unknown"),
    Value(int64_val=-3),
    Value(int64_val=2**62 + 1),
    Value(double_val=0.125),
    Value(double_val=math.nan),
    Value(bool_val=True),
    Value(null_val=NULL),
    Value(),
]
_FIELDS: Final = {"FLOAT": "float_val", "STRING": "string_val", "INT64": "int64_val"} | {
    "DOUBLE": "double_val"
}


@st.composite
def broken_cells(draw: st.DrawFn) -> list[list[bytes | None]]:
    """Return the cells of some rows, as Feast writes them or broken, a list a row."""
    rows: list[list[bytes | None]] = []
    for _ in range(draw(st.integers(1, 3))):
        cells: list[bytes | None] = []
        for feature in _PLAN.features:
            right = [one for one in _WHOLE if one.WhichOneof("val") == _FIELDS[feature.type.name]]
            cell = draw(st.sampled_from([*right, *right, Value(), *_WHOLE])).SerializeToString()
            cells.append(break_bytes(draw, cell) if draw(st.integers(0, 6)) == 0 else cell)
        rows.append(cells)
    return rows


def assemble_or_refuse(rows: list[list[bytes | None]]) -> bool:
    """Return whether some rows are decoded; check that each value is what protobuf reads."""
    entities: list[list[list[bytes | None]]] = []
    start = 0
    for lookup in _PLAN.layout.lookups:
        entities.append([row[start : start + lookup.n_features] for row in rows])
        start += lookup.n_features
    places = np.arange(len(rows), dtype=np.intp)[:, None].repeat(len(entities), 1)
    event_us = np.full((len(rows), start), _NOW_US)
    stored = StoredFeatures(_PLAN.layout, entities, places, event_us)
    try:
        matrix = _PLAN.assemble([_ROW] * len(rows), stored, _NOW_US)
    except OnlineValueError as refusal:
        named = str(refusal).startswith("Feature ")
        assert named, refusal  # noqa: PT017 - most are no refusals
        return False
    for row, values in zip(rows, matrix.values, strict=True):
        expected = [_expect(number, cell) for number, cell in enumerate(row)]
        for feature, value in zip(_PLAN.features, expected, strict=True):
            assert feature.column is not None
            np.testing.assert_equal(values[feature.column], value)
    return True


def _expect(number: int, cell: bytes | None) -> np.float32:
    """Return the float32 of a cell by protobuf's own reader."""
    feature = _PLAN.features[number]
    message = Value()
    try:
        message.ParseFromString(cell or b"")
    except DecodeError as error:
        raise AssertionError(f"protobuf refuses {cell!r}") from error
    field = _FIELDS[feature.type.name]
    if message.WhichOneof("val") in (None, "null_val"):
        return np.float32(np.nan)
    assert message.WhichOneof("val") == field, cell
    value: Any = getattr(message, field)
    if feature.codes is not None:
        value = feature.codes.get(value, math.nan)
    with np.errstate(over="ignore"):
        return np.float32(value)
