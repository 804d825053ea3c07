"""The targets that the project set itself, and what a run says of each."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.http_measures import CONNECTIONS, find_measure
from benchmarks.sides.bentoml import BentoMl
from benchmarks.sides.empty import EmptyFastApi
from benchmarks.sides.fastapi_sdk import CarefulSdk, UsualSdk
from benchmarks.sides.feast_serve import FeastServe
from benchmarks.sides.mlserver import MlServer
from benchmarks.sides.ours import Ours

__all__ = ["Target", "count_failures", "find_targets", "our_label", "peak"]

CPU_RATIOS: Final = {"redis": {1: 18, 10: 14, 100: 25}, "sqlite": {1: 10, 10: 8, 100: 10}}
HTTP_RATIOS: Final = (
    (1, None, f"{UsualSdk.title}, redis", 20.0),
    (1, None, f"{CarefulSdk.title}, redis", 20.0),
    (1, None, f"{FeastServe.title}, redis", 20.0),
    (1, 8, MlServer.title, 3.0),
    (1, None, BentoMl.title, None),
    (1, 1, EmptyFastApi.title, 0.45),
    (1, 8, EmptyFastApi.title, 0.45),
    (1, 64, EmptyFastApi.title, 0.6),
    (100, None, f"{UsualSdk.title}, redis", 15.0),
    (100, None, f"{CarefulSdk.title}, redis", 15.0),
)
"""Rows, connections (``None`` for each side's best number of them), the other side, the least."""

P99_OVER_P50: Final = 3.0
P99_OVER_P50_WHILE_CHANGING: Final = 5.0
RESIDENT_MB: Final = 110


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio, what was wanted, and whether it was reached; ``None`` where nothing was wanted."""

    what: str
    ratio: float
    wanted: str
    is_met: bool | None


def find_targets(results: dict[str, Any]) -> list[Target]:
    """Return the targets for which a run has both sides."""
    return [
        *_cpu_targets(results),
        *_http_targets(results),
        *_latency_targets(results),
        *_memory_targets(results),
    ]


def count_failures(results: dict[str, Any]) -> dict[str, int]:
    """Return how many requests failed, for the sides and loads where any did.

    Their figures are worth nothing: a refusal costs less than an answer.
    """
    growth = results.get("growth", {})
    loads = [*results.get("http", []), *growth.get("history", []), *growth.get("models", [])]
    failures = {
        f"{load['label']}, {load['n_rows']} rows, {load['connections']} connections": load["errors"]
        for load in loads
    }
    for measure in results.get("latency", []):
        failed = sum(seen["failed"] for seen in measure["seen"])
        failures[f"{measure['label']}, at a fixed rate"] = failed
    return {what: count for what, count in failures.items() if count}


def our_label(store: str) -> str:
    """Return the label of the service over a store."""
    return f"{Ours.title}, {store}"


def peak(measures: list[dict[str, Any]], label: str, n_rows: int) -> float:
    """Return the most requests a second that a side answered, over the numbers of connections.

    Raises
    ------
    KeyError
        If the side was not measured.
    """
    return max(
        median(find_measure(measures, label, n_rows, connections)["per_sec"])
        for connections in CONNECTIONS
    )


def _cpu_targets(results: dict[str, Any]) -> Iterator[Target]:
    for store, seen in results.get("in_process", {}).items():
        for n_rows, wanted in CPU_RATIOS[store].items():
            sdk, ours = (median(seen[name][str(n_rows)]) for name in ("Feast SDK", "Zeroskew"))
            what = f"CPU of a read, {store}, {n_rows} rows: Feast SDK ÷ ours"
            yield _judge(what, sdk / ours, wanted, operator.ge, "≥")


def _http_targets(results: dict[str, Any]) -> Iterator[Target]:
    measures = results.get("http", [])
    labels = {measure["label"] for measure in measures}
    if our_label("redis") not in labels:
        return
    for n_rows, connections, other, wanted in HTTP_RATIOS:
        if other in labels:
            ours, others = (
                peak(measures, label, n_rows)
                if connections is None
                else median(find_measure(measures, label, n_rows, connections)["per_sec"])
                for label in (our_label("redis"), other)
            )
            at = "" if connections is None else f", {connections} connections"
            what = f"requests a second, redis, {n_rows} rows{at}: ours ÷ {other}"
            yield _judge(what, ours / others, wanted, operator.ge, "≥")


def _latency_targets(results: dict[str, Any]) -> Iterator[Target]:
    for measure in results.get("latency", []):
        if measure["label"] != EmptyFastApi.title:
            ratio = median(seen["p99_ms"] / seen["p50_ms"] for seen in measure["seen"])
            what = f"p99 ÷ p50 at half of the peak: {measure['label']}"
            is_changing = measure.get("n_changes") is not None
            wanted = P99_OVER_P50_WHILE_CHANGING if is_changing else P99_OVER_P50
            yield _judge(what, ratio, wanted, operator.le, "≤")


def _memory_targets(results: dict[str, Any]) -> Iterator[Target]:
    of_ours = [m for m in results.get("http", []) if m["label"].startswith(Ours.title)]
    for label in dict.fromkeys(measure["label"] for measure in of_ours):
        resident_mb = max(m["resident_mb"] for m in of_ours if m["label"] == label)
        yield _judge(
            f"resident MB after the load: {label}", resident_mb, RESIDENT_MB, operator.le, "≤"
        )


def _judge(
    what: str,
    ratio: float,
    wanted: float | None,
    compare: Callable[[float, float], bool],
    sign: str,
) -> Target:
    if wanted is None:
        return Target(what, ratio, "", None)
    return Target(what, ratio, f"{sign} {wanted:g}", compare(ratio, wanted))
