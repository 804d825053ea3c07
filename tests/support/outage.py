"""A service on Redis under load while its store goes away, each answer checked against its key."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.manifests import make_manifest, publish, sum_graph, view_plan
from tests.support.online_stores import EVENT_TIME
from tests.support.redis_servers import RedisServer, free_port
from tests.support.waiting import PATIENCE_SEC, wait_until
from zeroskew.contract.manifest import Column, FeaturePlan, FieldType, RequestField
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.online.values.decode import ValueType, encode_key_prefix, encode_key_value

__all__ = ["Load", "running_service", "write_gates"]

ROOT: Final = Path(__file__).parents[2]
N_GATES: Final = 64
FEATURES: Final = ("walk", "stairs")
DEFAULT: Final = -1
MODELS: Final = ("failing", "defaulting")


def write_gates(server: RedisServer) -> None:
    """Write a row for each gate, in Feast's layout; every feature is the gate's number."""
    at = Timestamp(seconds=to_epoch_us(EVENT_TIME) // 1_000_000).SerializeToString()
    prefix = encode_key_prefix(["gate"])
    with server.client() as client:
        for gate in range(N_GATES):
            cell = Value(int64_val=gate).SerializeToString()
            row: dict[bytes | str, bytes] = {_mmh3(f"gates:{name}"): cell for name in FEATURES}
            key = prefix + encode_key_value(gate, ValueType.INT64) + b"trial"
            client.hset(key, mapping={**row, "_ts:gates": at})


@contextmanager
def running_service(folder: Path, server: RedisServer) -> Iterator[int]:
    """Serve a model that fails and one that answers from defaults; give the port."""
    graph = sum_graph(len(FEATURES), 0)
    request = (RequestField(name="gate", type=FieldType.INTEGER, description="", example=1),)
    for model, policy in zip(MODELS, ("fail", "defaults"), strict=True):
        plan = FeaturePlan(
            project="trial",
            feature_service="gates_v1",
            views=(
                view_plan(
                    "gates",
                    {"gate": "INT64"},
                    dict.fromkeys(FEATURES, "INT64"),
                    ttl_us=None,
                    defaults=dict.fromkeys(FEATURES, DEFAULT),
                ),
            ),
            columns=tuple(Column(name=name, view="gates", feature=name) for name in FEATURES),
            when_store_down=policy,
        )
        manifest = make_manifest(
            graph, model=model, plan=plan, request=request, example={"gate": 1}
        )
        publish(folder, manifest, graph)
    port = free_port()
    environment = os.environ | {
        "ZEROSKEW_DATABASE_URL": f"sqlite:///{folder}/zeroskew.db",
        "ZEROSKEW_ARTIFACTS_DIR": str(folder / "artifacts"),
        "ZEROSKEW_ONLINE_STORE": server.url,
        "ZEROSKEW_CLOCK": EVENT_TIME.isoformat(),
        "ZEROSKEW_PORT": str(port),
        "ZEROSKEW_LOG_FORMAT": "json",
        "ZEROSKEW_ONLINE_STORE_TIMEOUT_SEC": "0.05",
    }
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=environment, stderr=log
        )
        try:
            path = folder / "service.log"
            wait_until(lambda: b"running on" in path.read_bytes(), what="the service to start")
            yield port
        finally:
            process.terminate()
            process.wait()


@dataclass
class Load:
    """Clients of the service, each with a gate of its own, and what they were answered."""

    port: int
    outcomes: Counter[str] = field(default_factory=Counter)
    latest_good_sec: float = 0.0
    stopped: bool = False

    async def run(self, outage: Callable[[], Awaitable[None]], *, n_clients: int) -> None:
        """Let clients ask until `outage` is over.

        Raises
        ------
        AssertionError
            If an answer is neither right for its gate nor what its model's policy says.
        """
        clients = [asyncio.create_task(self._ask_on(gate)) for gate in range(n_clients)]
        try:
            await outage()
        finally:
            self.stopped = True
        await asyncio.gather(*clients)

    async def recovery_sec(self) -> float:
        """Return how long it takes from now until an answer is good again."""
        begin = time.monotonic()
        async with asyncio.timeout(PATIENCE_SEC):
            while self.latest_good_sec < begin:
                await asyncio.sleep(0.01)
        return self.latest_good_sec - begin

    async def outage(self) -> None:
        """Return once both models have answered without their store."""
        begin = dict(self.outcomes)
        async with asyncio.timeout(PATIENCE_SEC):
            while any(
                self.outcomes[outcome] == begin.get(outcome, 0)
                for outcome in ("refused", "defaults")
            ):
                await asyncio.sleep(0.01)

    async def _ask_on(self, gate: int) -> None:
        model = MODELS[gate % 2]
        body = json.dumps({"instances": [{"gate": gate}]}).encode()
        head = (
            f"POST /v1/models/{model}:predict?with_features=true HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while not self.stopped:
                writer.write(head.encode() + body)
                status, headers, answer = await _read_answer(reader)
                self._judge(gate, model, status, headers, answer)
                await asyncio.sleep(0.005)
        finally:
            writer.close()
            await writer.wait_closed()

    def _judge(self, gate: int, model: str, status: int, headers: str, answer: Any) -> None:
        if status == 503:
            assert (model, answer["code"]) == ("failing", "online_store_unavailable"), answer
            self.outcomes["refused"] += 1
            return
        assert status == 200, answer
        details = answer["features"][0]
        given = {
            (details[f"gates:{f}"]["value"], details[f"gates:{f}"]["status"]) for f in FEATURES
        }
        if "degraded" in answer:
            assert model == "defaulting"
            assert "zeroskew-degraded: online_store_unavailable" in headers.lower()
            assert given == {(DEFAULT, "default")}
            self.outcomes["defaults"] += 1
        else:
            assert given == {(gate, "present")}
            assert answer["predictions"] == [{"value": gate * len(FEATURES)}]
            self.outcomes["good"] += 1
            self.latest_good_sec = time.monotonic()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, str, Any]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SEC)).decode()
    length = next(
        int(line.split(":")[1])
        for line in head.splitlines()
        if line.lower().startswith("content-length")
    )
    return int(head.split()[1]), head, json.loads(await reader.readexactly(length))
