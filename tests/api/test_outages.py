"""Redis killed, paused and stopped under load: every answer is right or follows the policy."""

import asyncio
from pathlib import Path

from tests.support.outage import Load, running_service, write_gates
from tests.support.redis_servers import RedisServer


def test_every_answer_obeys_the_policy_while_redis_goes_and_comes(tmp_path: Path) -> None:
    async def outages(server: RedisServer, load: Load) -> None:
        await load.recovery_sec()
        server.call("CLIENT", "PAUSE", "300")
        await asyncio.sleep(0.5)
        await load.recovery_sec()
        server.kill()
        await load.outage()
        await asyncio.to_thread(server.start)
        write_gates(server)
        await load.recovery_sec()

    with RedisServer(tmp_path) as server:
        write_gates(server)
        with running_service(tmp_path, server) as port:
            load = Load(port)
            asyncio.run(load.run(lambda: outages(server, load), n_clients=16))
    assert min(load.outcomes[outcome] for outcome in ("good", "refused", "defaults")) > 0
