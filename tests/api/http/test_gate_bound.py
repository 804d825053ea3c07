"""How the bound of requests under way follows the event loop's lateness."""

import asyncio
import time

import pytest

from api.http.gate import Place, RequestGate
from zeroskew.contract.errors.service import OverloadedError


def fill(gate: RequestGate, n: int) -> list[Place]:
    return [Place(gate, "whole") for _ in range(n)]


def count_admitted(gate: RequestGate) -> int:
    """Return how many requests may begin beside those under way, and take them back."""
    places = []
    while gate.admits("/v1"):
        places += fill(gate, 1)
    for place in places:
        place.leave()
    return len(places)


def test_the_bound_shrinks_below_what_is_under_way_while_the_loop_is_late() -> None:
    gate = RequestGate(max_requests=100, max_lag_sec=0.02)
    places = fill(gate, 50)
    gate.adapt(0.021)
    assert gate.admits("/v1")  # Once may be another program's doing.
    gate.adapt(0.021)
    assert not gate.admits("/v1")
    for place in places:
        place.leave()
    assert count_admitted(gate) == 35  # 50 * 0.7
    gate.adapt(1.0)
    gate.adapt(1.0)
    assert count_admitted(gate) == 8  # Never fewer, or a slow request could keep all others out.


def test_the_bound_grows_while_the_loop_is_punctual_and_never_beyond_the_first() -> None:
    gate = RequestGate(max_requests=20, max_lag_sec=0.02)
    fill(gate, 10)
    gate.adapt(0.03)
    gate.adapt(0.03)  # 10 * 0.7 = 7, but never below 8.
    gate.adapt(0.0)
    assert not gate.admits("/v1")
    for _ in range(30):
        gate.adapt(0.001)
    assert count_admitted(gate) == 10  # 20 in all, 10 of them under way.


def test_a_late_loop_never_lets_the_bound_grow() -> None:
    gate = RequestGate(max_requests=4, max_lag_sec=0.02)
    fill(gate, 4)
    gate.adapt(0.03)
    gate.adapt(0.03)  # Eight are never too many, but four were asked for.
    assert (gate.bound, gate.admits("/v1")) == (4, False)


def test_a_loop_that_is_a_little_late_keeps_the_bound() -> None:
    gate = RequestGate(max_requests=10, max_lag_sec=0.02)
    fill(gate, 10)
    gate.adapt(0.03)
    gate.adapt(0.03)
    for _ in range(10):
        assert not gate.admits("/v1")
        gate.adapt(0.015)
    assert not gate.admits("/v1")


def test_who_asks_for_the_lag_hides_it_from_nobody() -> None:
    async def hold_up_the_loop() -> tuple[float, float]:
        gate = RequestGate(max_requests=1, max_lag_sec=1.0)
        gate.open()
        await asyncio.sleep(0)
        time.sleep(0.1)
        while not gate.longest_lag_sec:
            await asyncio.sleep(0)
        told = gate.longest_lag_sec, gate.longest_lag_sec
        gate.close()
        return told

    first, second = asyncio.run(hold_up_the_loop())
    assert first == second > 0


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/ready"])
def test_health_is_always_answered(path: str) -> None:
    gate = RequestGate(max_requests=4, max_lag_sec=0.02)
    fill(gate, 4)
    assert gate.admits(path)
    assert not gate.admits("/v1/models")


def test_a_request_counts_once_and_leaves_once() -> None:
    gate = RequestGate(max_requests=1, max_lag_sec=0.02)
    place, other = Place(gate, "arriving"), Place(gate, "arriving")
    place.take_late("/v1")
    place.take_late("/v1")
    with pytest.raises(OverloadedError):
        other.take_late("/v1")
    other.leave()
    assert not gate.admits("/v1")
    place.leave()
    place.leave()
    assert gate.admits("/v1")
    assert gate.n_under_way == 0


def test_a_request_that_is_there_counts_from_the_start_and_a_late_one_never() -> None:
    gate = RequestGate(max_requests=1, max_lag_sec=0.02)
    whole = gate.enter("/v1")
    assert whole is not None
    assert gate.enter("/v1") is None
    assert gate.n_refused == 1
    whole.leave()
    late = Place(gate, "late")
    late.take_late("/v1")
    assert gate.n_under_way == 0
