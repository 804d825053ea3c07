from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.environments import find_wrk
from benchmarks.growth import narrow_plan
from benchmarks.load_tools import run_wrk
from benchmarks.server_process import ServerError, ServerProcess, free_port, wait_for_http
from benchmarks.sides.side import ask, require_close
from tests.support.flights_project import ROOT
from tests.support.manifests import PLAN
from zeroskew.contract.manifest import FeaturePlan


@pytest.fixture
def empty_app(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    server = ServerProcess(
        "empty",
        [sys.executable, "-m", "uvicorn", "benchmarks.apps.empty_app:app", "--port", str(port)],
        environment={},
        core=0,
        log=tmp_path / "log.txt",
        folder=ROOT,
    )
    try:
        wait_for_http(server, f"http://127.0.0.1:{port}/ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


@pytest.fixture
def wrk() -> str:
    try:
        return find_wrk()
    except ServerError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("wrk is not installed")


def test_wrk_counts_answers_and_refusals(empty_app: str, wrk: str, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.txt", tmp_path / "wrong.txt"
    right.write_text('/empty {"instances":[{"a b":1}]}\n/empty {}\n')
    wrong.write_text("/empty {}\n/nowhere {}\n")

    good = run_wrk(wrk, empty_app, right, connections=2, duration_sec=1)
    bad = run_wrk(wrk, empty_app, wrong, connections=2, duration_sec=1)

    assert good.requests > 0
    assert good.errors == 0
    assert 0 < good.p50_ms <= good.p99_ms
    assert bad.errors == pytest.approx(bad.requests / 2, abs=2)


def test_a_refused_request_is_no_answer(empty_app: str) -> None:
    assert ask(f"{empty_app}/empty", {}) == {}
    with pytest.raises(ServerError, match="404"):
        ask(f"{empty_app}/nowhere", {})


@pytest.mark.parametrize(
    ("got", "expected"),
    [([1.0, 2.0], [1.0, 2.00001]), ([1.0], [1.0, 1.0]), ([None], [1.0]), ([math.nan], [None])],
)
def test_a_wrong_answer_is_refused(got: list[float | None], expected: list[float | None]) -> None:
    require_close("same", expected, expected)
    with pytest.raises(ServerError, match="Got"):
        require_close("other", got, expected)


def test_a_narrow_plan_keeps_what_its_views_give() -> None:
    plan: FeaturePlan = narrow_plan(PLAN, 1)

    assert [view.name for view in plan.views] == [PLAN.views[0].name]
    assert {column.view for column in plan.columns} == {PLAN.views[0].name, None}
