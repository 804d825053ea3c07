"""A hundred swaps under a hundred requests a second, with two workers."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Manager, get_context
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from tests.api.models.test_hot_swap import answering_versions
from tests.support.numbered_versions import (
    Answers,
    NumberedCallers,
    many_trees,
    point_to,
    publish_number,
)
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerServer

N_SWAPS = 100
RATE = 100.0
FOLLOWED_SEC = 2.0
CALM_SEC = 20.0
STARTING_SEC = 10.0


@pytest.mark.soak
def test_a_hundred_swaps_fail_no_request_and_mix_no_versions(
    tmp_path: Path, online_store: Path
) -> None:
    trees = many_trees()
    for number in range(1, N_SWAPS + 2):
        publish_number(tmp_path, number, alias="champion" if number == 1 else None, trees=trees)
    server = WorkerServer(tmp_path, online_store)
    try:
        wait_until(lambda: server.count_ready() == 2)
        # In a process of their own: what this one does must not make them late.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, Manager() as manager:
            stopped = manager.Event()
            calling = pool.submit(_call_until, stopped, server.url)
            time.sleep(STARTING_SEC + CALM_SEC)
            begin = time.monotonic()
            followed_sec = [_swap(server.url, tmp_path, number) for number in range(2, 102)]
            stopped.set()
            answers = calling.result()
    finally:
        server.end()
    times, latencies = np.array(answers.times), 1000 * np.array(answers.latencies)
    for what, chosen in (("calm", times < begin), ("swapping", times >= begin)):
        part = latencies[chosen]
        percentiles = [round(float(np.percentile(part, p)), 1) for p in (50, 99, 99.9, 100)]
        print(f"{what}: {len(part)} answers, ms at p50, p99, p99.9, max: {percentiles}")  # noqa: T201 - as below
    print(f"followed in s: median {np.median(followed_sec):.2f}, max {max(followed_sec):.2f}")  # noqa: T201 - a trial tells its numbers
    assert not answers.faults
    assert set(answers.versions) == set(range(1, N_SWAPS + 2))
    assert max(followed_sec) < FOLLOWED_SEC


def _call_until(stopped: Event, url: str) -> Answers:
    with NumberedCallers(url, rate=RATE) as callers:
        stopped.wait()
    return callers.answers


def _swap(url: str, folder: Path, number: int) -> float:
    """Move the alias and return how long it took until no worker gave another version."""
    point_to(folder, number)
    begin = time.monotonic()
    last_other = begin
    while time.monotonic() < last_other + 0.3:
        if answering_versions(url, 3) != {number}:
            last_other = time.monotonic()
        time.sleep(0.03)
    return last_other - begin
