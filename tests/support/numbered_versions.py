"""Versions that code their number into their scores, and callers who check each answer by it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import onnx
from onnx import TensorProto, helper
from onnx.compose import add_prefix

from tests.support.boosters import fit_booster
from tests.support.manifests import CARRIERS, EXAMPLE, PLAN, make_manifest, publish, sum_graph
from tests.support.waiting import PATIENCE_SEC
from training.export.export_onnx import export_onnx
from training.families.lightgbm.estimator import LightgbmEstimator
from zeroskew.records.registry.model_registry import ModelRegistry

MODEL: Final = "arrival_delay"
_STEP: Final = 100.0
_INSTANCES: Final = 3
# What the online store and the example give: share, mean delay, size, flights, distance, and
# the scheduled departure in seconds.
_SUM: Final = 0.125 + 2.5 + 1 + 3 + 1400.5 + 1380637020.0


def _carriers(number: int) -> tuple[str, ...]:
    turn = number % len(CARRIERS)
    return CARRIERS[turn:] + CARRIERS[:turn]


def expected_score(number: int) -> float:
    """Return what version `number` answers: its plan and its graph both have a part in it."""
    return _SUM + _carriers(number).index("UA") + _STEP * number


def many_trees() -> onnx.ModelProto:
    """Return an ensemble of 300 trees, as large as a real model's."""
    booster, _ = fit_booster(n_rows=3000, n_iterations=300, num_leaves=31, categorical=False)
    return add_prefix(export_onnx(LightgbmEstimator.of(booster), n_columns=6), "trees_")


def publish_number(
    folder: Path, number: int, *, alias: str | None = None, trees: onnx.ModelProto | None = None
) -> None:
    """Publish version `number`, which must be the next one; `trees` make it large, no more."""
    model = onnx.load_from_string(sum_graph(6, 2))
    model.graph.node[-1].output[0] = "sums"
    total = "sums"
    if trees is not None:
        total = _add_nothing(model, trees)
    model.graph.node.append(helper.make_node("Add", [total, "number"], ["scores"]))
    model.graph.initializer.append(
        helper.make_tensor("number", TensorProto.DOUBLE, [], [_STEP * number])
    )
    graph = bytes(model.SerializeToString())
    columns = tuple(
        column.model_copy(update={"categories": _carriers(number)})
        if column.name == "carrier"
        else column
        for column in PLAN.columns
    )
    manifest = make_manifest(graph, plan=PLAN.model_copy(update={"columns": columns}))
    assert publish(folder, manifest, graph, alias=alias) == number


def _add_nothing(model: onnx.ModelProto, trees: onnx.ModelProto) -> str:
    """Add 0 times the ensemble to the sums, and return the name of the result."""
    del model.opset_import[:]
    model.opset_import.extend(trees.opset_import)
    model.graph.initializer.extend(trees.graph.initializer)
    model.graph.initializer.append(helper.make_tensor("no", TensorProto.DOUBLE, [], [0.0]))
    model.graph.node.append(helper.make_node("Identity", ["features"], ["trees_features"]))
    model.graph.node.extend(trees.graph.node)
    model.graph.node.append(helper.make_node("Mul", ["trees_scores", "no"], ["nothing"]))
    model.graph.node.append(helper.make_node("Add", ["sums", "nothing"], ["same_sums"]))
    return "same_sums"


def point_to(folder: Path, number: int, alias: str = "champion") -> None:
    """Move an alias."""
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    registry.set_alias(MODEL, alias, number)
    registry.close()


@dataclass
class Answers:
    """What callers were told: when, how late in seconds, by which version; and what was wrong."""

    times: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class NumberedCallers:
    """Callers at a fixed rate, used as a context manager, who change their connection often.

    Every other request goes to the Open Inference Protocol.
    """

    def __init__(self, url: str, *, rate: float, n_callers: int = 4) -> None:
        self._address = urlsplit(url).netloc
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.answers = Answers()
        self._threads = [
            threading.Thread(target=self._call_until_stopped, args=(n_callers / rate, number))
            for number in range(n_callers)
        ]

    def __enter__(self) -> NumberedCallers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _call_until_stopped(self, pause_sec: float, number: int) -> None:
        due = time.monotonic() + pause_sec * number / len(self._threads)
        n_calls = 0
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_SEC)
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            if n_calls % 20 == 0:
                connection.close()
            try:
                version, fault = call(connection, is_v2=n_calls % 2 == 1)
            except (OSError, http.client.HTTPException) as error:
                version, fault = 0, repr(error)
            n_calls += 1
            with self._lock:
                self.answers.times.append(due)
                # Counted from when it was due: a caller who waits must not hide a stall.
                self.answers.latencies.append(time.monotonic() - due)
                self.answers.versions.append(version)
                if fault:
                    self.answers.faults.append(fault)
            due += pause_sec
        connection.close()


def call(connection: http.client.HTTPConnection, *, is_v2: bool = False) -> tuple[int, str]:
    """Send one request and return the version that answered, and what is wrong with the answer."""
    if is_v2:
        path = f"/v2/models/{MODEL}/infer"
        body: dict[str, Any] = {"inputs": _tensors()}
    else:
        path = f"/v1/models/{MODEL}:predict"
        body = {"instances": [EXAMPLE] * _INSTANCES}
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        return 0, f"{response.status} {content!r}"
    answer = json.loads(content)
    if is_v2:
        version = int(answer["model_version"])
        scores = next(one["data"] for one in answer["outputs"] if one["name"] == "value")
    else:
        version = answer["version"]
        scores = [one["value"] for one in answer["predictions"]]
    is_right = scores == [expected_score(version)] * _INSTANCES
    return version, "" if is_right else f"version {version} answered {scores}"


def _tensors() -> list[dict[str, Any]]:
    kinds = {str: "BYTES", int: "INT64", float: "FP64", bool: "BOOL"}
    return [
        {
            "name": name,
            "datatype": kinds[type(value)],
            "shape": [_INSTANCES],
            "data": [value] * _INSTANCES,
        }
        for name, value in EXAMPLE.items()
    ]
