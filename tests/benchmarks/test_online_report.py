"""The page says what the figures say; the figures here are made up and easy to divide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.online_report import render_report, write_report
from benchmarks.online_targets import count_failures, find_targets

OURS, MLSERVER, BENTOML = "Zeroskew, redis", "MLServer (model alone)", "BentoML (model alone)"


def measure(label: str, per_sec: float, connections: int, *, errors: int = 0) -> dict[str, Any]:
    return {
        "label": label,
        "store": "redis",
        "n_rows": 1,
        "connections": connections,
        "per_sec": [per_sec, per_sec / 2, per_sec * 2],
        "p50_ms": [0.5],
        "p99_ms": [1.25],
        "cpu_us": [321.0],
        "errors": errors,
        "resident_mb": 99.0,
    }


def results(*, ours: float = 3000.0, errors: int = 0) -> dict[str, Any]:
    loads = [measure(OURS, ours + c, c, errors=errors) for c in (1, 8, 64)]
    loads += [measure(other, 936.0 + c, c) for other in (MLSERVER, BENTOML) for c in (1, 8, 64)]
    sdk, own = [600.0, 600.0, 9.0], [30.0, 40.0, 50.0]
    seen = {"count": 90, "p50_ms": 0.5, "p99_ms": 2.5, "max_ms": 3.0, "failed": 0}
    keys = ("date", "machine", "python", "packages", "servers", "redis", "wrk")
    return {
        "quick": False,
        "facts": dict.fromkeys((*keys, "model", "plan"), "-"),
        "in_process": {
            "redis": {
                "Feast SDK": {"1": sdk, "10": sdk, "100": sdk},
                "Zeroskew": {"1": own, "10": own, "100": own},
            }
        },
        "http": loads,
        "latency": [
            {"label": OURS, "rate": 1500, "peak": 3000.0, "seen": [seen]},
            {
                "label": f"{OURS}, changing",
                "rate": 1500,
                "peak": 3e3,
                "seen": [seen],
                "n_changes": 3,
            },
        ],
    }


def test_ratios_are_of_medians_and_of_peaks() -> None:
    ratios = {target.what: (target.ratio, target.is_met) for target in find_targets(results())}

    assert ratios["CPU of a read, redis, 1 rows: Feast SDK ÷ ours"] == (15.0, False)
    what = f"requests a second, redis, 1 rows, 8 connections: ours ÷ {MLSERVER}"
    assert ratios[what] == (3008 / 944, True)
    # At 64 connections both are at their best: 3064 and 1000.
    assert ratios[f"requests a second, redis, 1 rows: ours ÷ {BENTOML}"] == (3.064, None)
    assert ratios[f"p99 ÷ p50 at half of the peak: {OURS}"] == (5.0, False)
    assert ratios[f"p99 ÷ p50 at half of the peak: {OURS}, changing"] == (5.0, True)
    assert ratios[f"resident MB after the load: {OURS}"] == (99.0, True)


def test_a_missed_target_is_shown_as_missed() -> None:
    lines = render_report(results(ours=1000.0)).splitlines()

    (line,) = [line for line in lines if f"÷ {MLSERVER}" in line and "| " in line]
    assert line.endswith("| 1.07 | ≥ 3 | **missed** |")


def test_failed_requests_are_listed() -> None:
    failing = results(errors=7)

    assert count_failures(results()) == {}
    assert count_failures(failing) == {f"{OURS}, 1 rows, {c} connections": 7 for c in (1, 8, 64)}
    assert "## Failed requests" in render_report(failing)


@pytest.mark.parametrize("missing", ["in_process", "latency"])
def test_what_was_not_measured_is_left_out(missing: str) -> None:
    partial = results()
    del partial[missing]

    assert "## Full load, 1 row a request" in render_report(partial)


def test_the_figure_stands_beside_the_page(tmp_path: Path) -> None:
    page = write_report(results(), tmp_path)

    assert (tmp_path / "benchmarks.md").read_text() == page
    assert "3,064" in (tmp_path / "benchmarks.svg").read_text()
