"""Work ends in its time, by one timer for all of it, and as `asyncio.timeout` ends it."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from api.predict.predictor import Deadlines
from zeroskew.contract.errors.service import DeadlineError

SOON_SEC = 0.05


def run(trial: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(trial, 60))


def test_each_ends_in_its_turn_and_the_quick_do_not() -> None:
    async def trial() -> None:
        deadlines, ended = Deadlines(SOON_SEC), []

        async def work(name: int) -> None:
            with pytest.raises(DeadlineError, match=r"within 0\.05 seconds"):
                await deadlines.finish(asyncio.Event().wait())
            ended.append(name)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

        tasks = []
        for name in range(5):
            tasks.append(asyncio.create_task(work(name)))
            await asyncio.sleep(SOON_SEC / 5)
            assert await deadlines.finish(asyncio.sleep(0, name)) == name
        await asyncio.gather(*tasks)
        assert ended == [0, 1, 2, 3, 4]

    run(trial())


def test_it_watches_again_when_it_had_nothing_to_watch() -> None:
    async def trial() -> None:
        deadlines = Deadlines(SOON_SEC)
        for _ in range(2):
            with pytest.raises(DeadlineError):
                await deadlines.finish(asyncio.Event().wait())
            await asyncio.sleep(2 * SOON_SEC)

    run(trial())


def test_a_caller_who_goes_away_is_no_deadline() -> None:
    async def trial() -> None:
        deadlines = Deadlines(60)
        task = asyncio.create_task(deadlines.finish(asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(trial())


@pytest.mark.parametrize("ends", ["result", "error"])
def test_work_that_ends_in_another_way_when_it_is_cancelled_leaves_nothing_behind(
    ends: str,
) -> None:
    async def trial() -> None:
        async def stubborn() -> str:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if ends == "error":
                    raise KeyError(ends) from None
            return ends

        with suppress(KeyError):
            assert await Deadlines(SOON_SEC).finish(stubborn()) == "result"
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        async with asyncio.timeout(60):
            await asyncio.sleep(0)

    run(trial())
