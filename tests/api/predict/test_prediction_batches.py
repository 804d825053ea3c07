"""Requests that are ready together are one batch, and each gets its own answer."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from api.predict.prediction_batches import PredictionBatches
from zeroskew.contract.errors.service import OnlineStoreUnavailableError, OnlineValueError
from zeroskew.model.requests.instances import Instances

MAX_ROWS = 10


@dataclass
class Answer:
    """Stands for a prediction: the rows it is about, and what they override."""

    rows: list[Any]
    overrides: list[Any]

    def take_rows(self, instances: Instances, first_row: int) -> "Answer":
        end = first_row + len(instances.rows)
        return Answer(self.rows[first_row:end], self.overrides[first_row:end])


class Model:
    """Stands for a loaded model; it notes its batches."""

    def __init__(self) -> None:
        self.session = SimpleNamespace(inline_rows=MAX_ROWS)
        self.batches: list[int] = []


async def predict(model: Any, instances: Instances) -> Any:
    """Answer after a turn of the loop; the numbers 13 and 14 are bad ones."""
    numbers = [row[0] for row in instances.rows]
    model.batches.append(len(numbers))
    await asyncio.sleep(0)
    if 13 in numbers:
        raise OnlineValueError("thirteen")
    if 14 in numbers:
        raise OnlineStoreUnavailableError("fourteen")
    return Answer(list(instances.rows), list(instances.overrides or [{}] * len(numbers)))


def instances(*numbers: int, override: Any = None) -> Instances:
    return Instances([(n,) for n in numbers], [override] * len(numbers) if override else ())


def ask_together(model: Any, *asked: Instances) -> list[Any]:
    async def run_all() -> list[Any]:
        batches = PredictionBatches(predict, lambda _: 1000)
        return await asyncio.gather(
            *(batches.predict(model, one) for one in asked), return_exceptions=True
        )

    return asyncio.run(run_all())


def test_what_is_ready_together_is_predicted_once_and_comes_back_apart() -> None:
    model = Model()
    answers = ask_together(model, instances(1), instances(2, 3), instances(4))
    assert [answer.rows for answer in answers] == [[(1,)], [(2,), (3,)], [(4,)]]
    assert model.batches == [4]


def test_models_are_not_mixed() -> None:
    async def run_all() -> None:
        batches = PredictionBatches(predict, lambda _: 1000)
        first: Any = Model()
        second: Any = Model()
        await asyncio.gather(
            *(batches.predict(model, instances(n)) for n, model in enumerate((first, second) * 2))
        )
        assert first.batches == second.batches == [2]

    asyncio.run(run_all())


def test_overrides_stay_with_their_request() -> None:
    given = {"view:feature": 1.5}
    answers = ask_together(Model(), instances(1, 2), instances(3, override=given), instances(4))
    assert [answer.overrides for answer in answers] == [[{}, {}], [given], [{}]]


def test_a_batch_is_no_longer_than_the_loop_can_bear() -> None:
    model = Model()
    answers = ask_together(model, *(instances(*[n] * 4) for n in range(5)))
    assert [answer.rows for answer in answers] == [[(n,)] * 4 for n in range(5)]
    assert model.batches == [8, 8, 4]


def test_one_requests_bad_value_fails_that_request_alone() -> None:
    model = Model()
    good, bad, also_good = ask_together(model, instances(1), instances(13), instances(2))
    assert (good.rows, also_good.rows) == ([(1,)], [(2,)])
    assert isinstance(bad, OnlineValueError)
    assert model.batches == [3, 1, 1, 1]


def test_a_store_that_is_down_fails_the_batch_and_is_not_asked_again() -> None:
    model = Model()
    answers = ask_together(model, instances(1), instances(14), instances(2))
    assert [str(answer) for answer in answers] == ["fourteen"] * 3
    assert len({id(answer) for answer in answers}) == 3
    assert model.batches == [3]


@pytest.mark.parametrize("n_turns", [0, 1, 2])
def test_a_client_that_went_away_does_not_shift_the_others_answers(n_turns: int) -> None:
    async def run_all() -> None:
        batches, model = PredictionBatches(predict, lambda _: 1000), cast("Any", Model())
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(batches.predict(model, instances(n))) for n in (1, 2, 3)
        ]
        for _ in range(n_turns):
            await asyncio.sleep(0)
        tasks[1].cancel()
        results: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[0].rows == [(1,)]
        assert isinstance(results[1], asyncio.CancelledError)
        assert results[2].rows == [(3,)]

    asyncio.run(run_all())


def test_requests_over_many_turns_are_all_answered() -> None:
    random = np.random.default_rng(7)

    async def ask(batches: PredictionBatches, model: Any, number: int) -> None:
        for turn in range(50):
            for _ in range(int(random.integers(0, 3))):
                await asyncio.sleep(0)
            value = number * 1000 + turn + 20
            answer: Any = await batches.predict(model, instances(value, value + 500))
            assert answer.rows == [(value,), (value + 500,)]

    async def run_all() -> Model:
        batches, model = PredictionBatches(predict, lambda _: 1000), Model()
        await asyncio.gather(*(ask(batches, model, number) for number in range(7)))
        return model

    model = asyncio.run(run_all())
    assert sum(model.batches) == 7 * 50 * 2
    assert max(model.batches) > 2
