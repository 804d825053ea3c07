"""Redis behind a failing network for half a minute; `make soak` runs it."""

import asyncio
import random
import time
from pathlib import Path

import pytest
import uvloop

from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.redis_crowd import KEYS, LONGEST_ANSWER_SEC, Crowd, recover
from tests.support.redis_rows import write_entities
from tests.support.redis_servers import RedisServer
from zeroskew.online.schemes import open_store

pytestmark = pytest.mark.soak

SECONDS = 30


def test_no_answer_is_anothers_in_half_a_minute_of_faults(tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311 - moments of faults, not secrets

    async def fail_at_random(crowd: Crowd, proxy: FaultProxy, server: RedisServer) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            await asyncio.sleep(dice.uniform(0.0, 0.3))
            if dice.random() < 0.2:
                server.freeze()
                await asyncio.sleep(dice.uniform(0.02, 0.4))
                server.thaw()
            else:
                proxy.fault = dice.choice(list(Fault)[1:])
                await asyncio.sleep(dice.uniform(0.02, 0.4))
                proxy.fault = Fault.NONE
                if dice.random() < 0.5:
                    proxy.cut()
        proxy.cut()
        await recover(crowd.reader)

    async def trial(server: RedisServer) -> Crowd:
        async with FaultProxy(server.port) as proxy:
            crowd = Crowd(open_store(proxy.url).open_reader(timeout_sec=None))
            await crowd.run(fail_at_random(crowd, proxy, server))
            await crowd.reader.close()
        return crowd

    with RedisServer(tmp_path) as server:
        with server.client() as client:
            write_entities(client, *KEYS)
        crowd = uvloop.run(trial(server))
    crowd.assert_mixed()
    assert crowd.longest_sec <= LONGEST_ANSWER_SEC
    print(crowd.outcomes, f"longest {crowd.longest_sec * 1e3:.0f} ms")  # noqa: T201 - a trial tells its numbers


def test_a_long_absence_does_not_slow_the_recovery(tmp_path: Path) -> None:
    async def trial(server: RedisServer) -> float:
        reader = open_store(server.url).open_reader(timeout_sec=None)
        await recover(reader)
        server.kill()
        await asyncio.sleep(10.0)
        await asyncio.to_thread(server.start)
        seconds = await recover(reader)
        await reader.close()
        return seconds

    with RedisServer(tmp_path) as server:
        with server.client() as client:
            write_entities(client, *KEYS)
        assert uvloop.run(trial(server)) < 1.5
