"""Requests that are ready together are one batch, and each gets its own scores."""

import asyncio
from typing import Any

import numpy as np
import pytest

from api.prediction.model_batches import ModelBatches
from api.prediction.model_session import ModelSession
from tests.support.manifests import sum_graph


class CountingSession(ModelSession):
    """Notes the size of each batch, and fails where a row holds the number 13."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        super().__init__(sum_graph(1, 1), n_features=1, n_request_inputs=1)
        self.inline_rows = 10
        self.batches.clear()

    def run(self, features: Any, request: Any) -> Any:
        self.batches.append(len(features))
        if (features == 13).any():
            raise RuntimeError("thirteen")
        return super().run(features, request)


def rows(*values: float) -> tuple[Any, Any]:
    column = np.array(values, np.float64).reshape(-1, 1)
    return column.astype(np.float32), column * 1000


def test_what_is_ready_together_runs_once_and_comes_back_apart() -> None:
    session = CountingSession()

    async def run_all() -> list[Any]:
        batches = ModelBatches()
        asked = [rows(1), rows(2, 3), rows(4)]
        return await asyncio.gather(*(batches.run(session, *one) for one in asked))

    scores = asyncio.run(run_all())
    assert [one.tolist() for one in scores] == [[1001.0], [2002.0, 3003.0], [4004.0]]
    assert session.batches == [4]


def test_a_batch_is_no_longer_than_the_loop_can_bear() -> None:
    session = CountingSession()

    async def run_all() -> list[Any]:
        batches = ModelBatches()
        return await asyncio.gather(*(batches.run(session, *rows(*[n] * 4)) for n in range(5)))

    scores = asyncio.run(run_all())
    assert [one.tolist() for one in scores] == [[n * 1001.0] * 4 for n in range(5)]
    assert session.batches == [8, 8, 4]


def test_a_failure_reaches_everybody_of_its_batch_and_nobody_else() -> None:
    session = CountingSession()

    async def run_all() -> None:
        batches = ModelBatches()
        results = await asyncio.gather(
            *(batches.run(session, *rows(n)) for n in (1, 13)), return_exceptions=True
        )
        assert [str(one) for one in results] == ["thirteen", "thirteen"]
        assert (await batches.run(session, *rows(2))).tolist() == [2002.0]

    asyncio.run(run_all())


def test_a_client_that_went_away_does_not_shift_the_others_scores() -> None:
    session = CountingSession()

    async def run_all() -> None:
        batches = ModelBatches()
        tasks = [asyncio.create_task(batches.run(session, *rows(n))) for n in (1, 2, 3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        results: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[0].tolist() == [1001.0]
        assert isinstance(results[1], asyncio.CancelledError)
        assert results[2].tolist() == [3003.0]

    asyncio.run(run_all())


@pytest.mark.parametrize("n_requests", [1, 7])
def test_requests_over_many_turns_are_all_answered(n_requests: int) -> None:
    session = CountingSession()

    async def ask(batches: ModelBatches, number: int) -> None:
        for turn in range(20):
            await asyncio.sleep(0)
            value = number * 100 + turn + 20
            assert (await batches.run(session, *rows(value))).tolist() == [value * 1001.0]

    async def run_all() -> None:
        batches = ModelBatches()
        await asyncio.gather(*(ask(batches, number) for number in range(n_requests)))

    asyncio.run(run_all())
    assert sum(session.batches) == n_requests * 20
