"""Small models with their manifests: graphs that add columns up, so targets are mental sums."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from zeroskew.contract.manifest import (
    Column,
    DataSnapshot,
    FeaturePlan,
    FieldType,
    GoldenKey,
    GoldenRow,
    JoinKey,
    Manifest,
    Metric,
    ModelFile,
    OnlineFeature,
    Output,
    RequestField,
    RequestInput,
    Scalar,
    ViewPlan,
)
from zeroskew.online.values.decode import ValueType, encode_key_prefix, encode_key_value
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

HOUR_US = 3_600_000_000
CARRIERS = ("UA", "AA", "DL")

FIELDS = (
    RequestField(
        name="carrier",
        type=FieldType.STRING,
        description="The airline's two-letter code.",
        example="UA",
        choices=CARRIERS,
    ),
    RequestField(name="origin", type=FieldType.STRING, description="From where.", example="EWR"),
    RequestField(
        name="dest", type=FieldType.STRING, description="To where.", example="IAH", nullable=True
    ),
    RequestField(name="seats", type=FieldType.INTEGER, description="How many seats.", example=100),
    RequestField(name="distance", type=FieldType.NUMBER, description="In miles.", example=1400.5),
    RequestField(
        name="international", type=FieldType.BOOLEAN, description="Abroad?", example=False
    ),
    RequestField(
        name="scheduled_departure",
        type=FieldType.TIMESTAMP,
        description="When it is to leave.",
        example="2013-10-01T10:17:00-04:00",
    ),
)
EXAMPLE = {field.name: field.example for field in FIELDS}


def view_plan(
    name: str,
    keys: dict[str, str],
    features: dict[str, str],
    *,
    ttl_us: int | None = HOUR_US,
    project: str = "trial",
    when_stale: Literal["null", "reject", "serve"] = "null",
    defaults: Mapping[str, Scalar] | None = None,
) -> ViewPlan:
    """Return the plan of a view; ``keys`` and ``features`` map names to Feast's types."""
    names = sorted(keys)
    return ViewPlan(
        name=name,
        table=f"{project}_{name}",
        join_keys=tuple(JoinKey(name=key, field=key, type=keys[key]) for key in names),
        key_prefix=encode_key_prefix(names).hex(),
        ttl_us=ttl_us,
        when_stale=when_stale,
        features=tuple(
            OnlineFeature(name=key, type=kind, default=(defaults or {}).get(key))
            for key, kind in features.items()
        ),
    )


PLAN = FeaturePlan(
    project="trial",
    feature_service="delay_v1",
    views=(
        view_plan(
            "carrier_stats", {"carrier": "STRING"}, {"mean_delay": "FLOAT", "size": "STRING"}
        ),
        view_plan(
            "route_stats",
            {"origin": "STRING", "dest": "STRING"},
            {"flights": "INT64", "share": "DOUBLE"},
            ttl_us=None,
        ),
    ),
    columns=(
        Column(name="share", view="route_stats", feature="share"),
        Column(name="mean_delay", view="carrier_stats", feature="mean_delay"),
        Column(name="size", view="carrier_stats", feature="size", categories=("small", "big")),
        Column(name="flights", view="route_stats", feature="flights"),
        Column(name="carrier", field="carrier", categories=CARRIERS),
        Column(name="distance", field="distance"),
    ),
    request_inputs=(
        RequestInput(name="scheduled_departure", field="scheduled_departure"),
        RequestInput(name="international", field="international"),
    ),
    request_features=("minutes_past",),
)


def sum_graph(n_features: int, n_request: int, *, output: str = "value") -> bytes:
    """Return a graph whose score is the sum of all inputs that are not NaN.

    With a request it has one request-time feature, which is the first of its columns.
    ``exponential`` is its exponential, ``probability`` its sigmoid, ``probabilities`` that of
    both classes.
    """
    nodes = [
        helper.make_node("Cast", ["features"], ["wide"], to=TensorProto.DOUBLE),
        *_sum_known("wide", "sum_features"),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", n_features])]
    total = "sum_features"
    outputs: list[onnx.ValueInfoProto] = []
    constants: list[onnx.TensorProto] = []
    if n_request:
        inputs.append(
            helper.make_tensor_value_info("request", TensorProto.DOUBLE, ["n", n_request])
        )
        nodes += [
            *_sum_known("request", "sum_request"),
            helper.make_node("Add", ["sum_features", "sum_request"], ["total"]),
        ]
        nodes += [
            helper.make_node("Gather", ["request", "first"], ["first_column"], axis=1),
            helper.make_node("Cast", ["first_column"], ["request_features"], to=TensorProto.FLOAT),
        ]
        outputs.append(
            helper.make_tensor_value_info("request_features", TensorProto.FLOAT, ["n", 1])
        )
        constants.append(helper.make_tensor("first", TensorProto.INT64, [1], [0]))
        total = "total"
    shape: list[Any] = ["n"]
    constants += [
        helper.make_tensor("zero", TensorProto.DOUBLE, [], [0.0]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
    ]
    if output == "value":
        nodes.append(helper.make_node("Identity", [total], ["scores"]))
    elif output == "exponential":
        nodes.append(helper.make_node("Exp", [total], ["scores"]))
    elif output == "probability":
        nodes.append(helper.make_node("Sigmoid", [total], ["scores"]))
    else:
        shape = ["n", 2]
        constants.append(helper.make_tensor("one", TensorProto.DOUBLE, [], [1.0]))
        nodes += [
            helper.make_node("Sigmoid", [total], ["yes"]),
            helper.make_node("Sub", ["one", "yes"], ["no"]),
            helper.make_node("Unsqueeze", ["yes", "last"], ["yes_column"]),
            helper.make_node("Unsqueeze", ["no", "last"], ["no_column"]),
            helper.make_node("Concat", ["no_column", "yes_column"], ["scores"], axis=1),
        ]
    outputs.insert(0, helper.make_tensor_value_info("scores", TensorProto.DOUBLE, shape))
    graph = helper.make_graph(nodes, "sum", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def batch_mean_graph(n_features: int, n_request: int) -> bytes:
    """Return a faulty graph: each row's score moves with the mean over the whole batch."""
    model = onnx.load_from_string(sum_graph(n_features, n_request))
    nodes = model.graph.node
    nodes[-1].output[0] = "sums"
    nodes.append(helper.make_node("ReduceMean", ["sums"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Add", ["sums", "mean"], ["scores"]))
    return bytes(model.SerializeToString())


def _sum_known(name: str, result: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("IsNaN", [name], [f"{name}_nan"]),
        helper.make_node("Where", [f"{name}_nan", "zero", name], [f"{name}_known"]),
        helper.make_node("ReduceSum", [f"{name}_known", "last"], [result], keepdims=0),
    ]


def golden_row(graph: bytes, features: list[float], request: list[float]) -> GoldenRow:
    """Return a row with the score that the runtime itself gives for it."""
    feed = {"features": np.array([features], "<f4")}
    if request:
        feed["request"] = np.array([request], "<f8")
    scores = onnxruntime.InferenceSession(graph).run(["scores"], feed)[0]
    return GoldenRow(
        features=np.array(features, "<f4").tobytes().hex(),
        request=np.array(request, "<f8").tobytes().hex(),
        scores=scores.astype("<f8").tobytes().hex(),
    )


def golden_keys(plan: FeaturePlan) -> tuple[GoldenKey, ...]:
    """Return one key for each view; tests elsewhere hold the encoder to Feast's own."""
    keys = []
    for view in plan.views:
        values = tuple("EWR" if key.type in ("STRING", "BYTES") else 7 for key in view.join_keys)
        parts = [
            encode_key_value(value, ValueType[key.type])
            for value, key in zip(values, view.join_keys, strict=True)
        ]
        serialized = bytes.fromhex(view.key_prefix) + b"".join(parts)
        keys.append(GoldenKey(view=view.name, values=values, serialized=serialized.hex()))
    return tuple(keys)


def make_manifest(graph: bytes, **changes: Any) -> Manifest:
    """Return the manifest of the flights-like model with ``changes`` to its fields."""
    plan: FeaturePlan = changes.get("plan", PLAN)
    n_features, n_request = len(plan.columns), len(plan.request_inputs)
    fields: dict[str, Any] = {
        "model": "arrival_delay",
        "description": "How late will it be?",
        "objective": "regression",
        "output": Output(kind="value", description="Arrival delay.", unit="minutes"),
        "request": FIELDS,
        "plan": plan,
        "model_file": ModelFile(
            sha256=hashlib.sha256(graph).hexdigest(), size_bytes=max(1, len(graph))
        ),
        "golden_rows": (golden_row(graph, [0.25] * n_features, [1.5] * n_request),)
        if "golden_rows" not in changes
        else (),
        "golden_keys": golden_keys(plan),
        "example": EXAMPLE,
        "metrics": {"mae": Metric(value=1.0, low=0.9, high=1.1)},
        "baselines": {},
        "parity": {"rows": 1},
        "data": DataSnapshot(
            sha256="0" * 64,
            rows={"train": 1},
            spans={"train": (datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC))},
        ),
        "parameters": {},
        "libraries": {},
        "code_revision": "test",
    }
    return Manifest(**(fields | changes))


def publish(
    folder: Path,
    manifest: Manifest,
    graph: bytes,
    *,
    alias: str | None = "champion",
    signature: str | None = None,
    database_url: str | None = None,
) -> int:
    """Store and register a version in ``folder`` and return its number."""
    artifacts = ArtifactStore(folder / "artifacts")
    registry = ModelRegistry.open(database_url or f"sqlite:///{folder}/zeroskew.db")
    version = registry.register(
        model=manifest.model,
        manifest_sha256=artifacts.put(manifest.model_dump_json().encode()),
        model_sha256=artifacts.put(graph),
        created_by="test",
        reason="test",
        signature=signature,
    ).version
    if alias is not None:
        registry.set_alias(manifest.model, alias, version)
    registry.close()
    return version
