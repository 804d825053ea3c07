"""CPU of one read, without HTTP: the SDK, this project's reader, and what lies below both.

    python -m benchmarks.in_process --home PATH --store redis|sqlite --redis-port PORT

Prints one JSON object: for each contender and number of rows, the CPU of one read in
microseconds, once for each repeat. All contenders run in this one process, in turn, so that
whatever slows the machine slows all of them. Their answers are compared before they are timed.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import hiredis
import numpy as np
import redis

from benchmarks.apps.sdk_scorer import SdkScorer
from benchmarks.bench_project import BenchProject
from benchmarks.our_read import OurRead, as_request_rows
from benchmarks.server_process import ServerError
from tests.support.flights_project import FlightsProject
from zeroskew.model.model_session import ModelSession
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.model.requests.instances import RequestRow
from zeroskew.online.redis.hash_fields import name_hash_fields

N_ROWS: Final = (1, 10, 100)
N_REQUESTS: Final = 20
_BUFFER_BYTES: Final = 1 << 16

Reads = Callable[[], object]
"""Does the reads of some requests, one after another."""


@dataclass(frozen=True)
class Requests:
    """The same requests as each contender takes them."""

    rows: list[list[dict[str, Any]]]
    request_rows: list[list[RequestRow]]

    @classmethod
    def cut(cls, project: BenchProject, n_rows: int) -> Requests:
        """Take `N_REQUESTS` requests of ``n_rows`` from the project's rows, spread over them."""
        starts = np.linspace(0, len(project.rows) - n_rows, N_REQUESTS).astype(int)
        rows = [project.rows[start : start + n_rows] for start in starts]
        return cls(rows, [as_request_rows(project.manifest, part) for part in rows])


def sdk_reads(scorer: SdkScorer, requests: Requests) -> dict[str, Reads]:
    """Return the SDK's call for the stored features, with its answer as a dictionary."""
    asked = [scorer.ask_stored(rows) for rows in requests.rows]
    get = scorer.store.get_online_features
    return {"Feast SDK": lambda: [get(**arguments).to_dict() for arguments in asked]}


def our_reads(reader: OurRead, requests: Requests) -> dict[str, Reads]:
    """Return this project's read: keys, store, matrix."""
    return {"Zeroskew": lambda: reader.read(requests.request_rows)}


def redis_reads(plan: ReadPlan, requests: Requests, port: int) -> dict[str, Reads]:
    """Return the bare reads of the same hashes: redis-py's pipeline, and a socket with hiredis."""
    commands = [hash_commands(plan, rows) for rows in requests.request_rows]
    client = redis.Redis(port=port)
    pipeline = client.pipeline(transaction=False)

    def read_with_redis_py() -> list[list[Any]]:
        replies = []
        for request in commands:
            for command in request:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            replies.append(pipeline.execute())
        return replies

    packed = [b"".join(map(hiredis.pack_command, request)) for request in commands]
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    parser = hiredis.Reader()

    def read_with_socket() -> list[list[Any]]:
        replies: list[list[Any]] = []
        for request, sent in zip(commands, packed, strict=True):
            connection.sendall(sent)
            replies.append([])
            while len(replies[-1]) < len(request):
                reply = parser.gets()
                if reply is False:
                    parser.feed(connection.recv(_BUFFER_BYTES))
                else:
                    replies[-1].append(reply)
        return replies

    if read_with_redis_py() != read_with_socket():
        raise ServerError("Got other replies from the bare socket than from redis-py")
    return {"redis-py pipeline": read_with_redis_py, "socket and hiredis": read_with_socket}


def hash_commands(plan: ReadPlan, rows: Sequence[RequestRow]) -> list[tuple[Any, ...]]:
    """Return one ``HMGET`` for each distinct entity of a request, as the service sends them."""
    project = plan.layout.project.encode()
    commands: list[tuple[Any, ...]] = []
    for lookup, keys in zip(plan.layout.lookups, plan.serialize_keys(rows), strict=True):
        named = [name_hash_fields(plan.layout.project, view) for view in lookup.views]
        fields = [field for one in named for field in one.features]
        fields += [one.event_time for one in named]
        distinct = dict.fromkeys(key for key in keys if key is not None)
        commands += [("HMGET", key + project, *fields) for key in distinct]
    return commands


def model_runs(project: BenchProject, reader: OurRead, requests: Requests) -> dict[str, Reads]:
    """Return the bare run of the model on matrices that are there already."""
    artifacts = project.flights.workspace.open_artifacts()
    session = ModelSession(
        artifacts.get(project.manifest.model_file.sha256),
        n_features=reader.plan.n_columns,
        n_request_inputs=reader.plan.n_request_inputs,
        n_request_features=len(project.manifest.plan.request_features),
    )
    matrices = reader.read(requests.request_rows)
    session.prepare(matrices[0].request)
    return {"sess.run": lambda: [session.run(matrix.values, matrix.request) for matrix in matrices]}


def check_equal(scorer: SdkScorer, reader: OurRead, requests: Requests) -> None:
    """Compare this project's matrix with the SDK's values, cell by cell.

    Raises
    ------
    ServerError
        If one cell differs.
    """
    columns = [column.name for column in scorer.manifest.plan.columns]
    for rows, request_rows in zip(requests.rows, requests.request_rows, strict=True):
        online = scorer.store.get_online_features(**scorer.ask_service(rows)).to_dict()
        expected = scorer.matrix(rows, online)[:, : len(columns)]
        (matrix,) = reader.read([request_rows])
        if not np.array_equal(matrix.values, expected, equal_nan=True):
            wrong = np.argwhere(matrix.values != expected)[0]
            raise ServerError(f"Got another value than the SDK's in {columns[wrong[1]]}")


def time_reads(reads: Reads, n_requests: int, duration_sec: float) -> float:
    """Return the CPU of one read in microseconds, where `reads` makes `n_requests` of them."""
    n_reads, begin, end = 0, time.process_time(), time.perf_counter() + duration_sec
    while time.perf_counter() < end:
        reads()
        n_reads += n_requests
    return (time.process_time() - begin) / n_reads * 1e6


def measure(
    project: BenchProject, store: str, redis_port: int, *, repeats: int, duration_sec: float
) -> dict[str, dict[int, list[float]]]:
    """Time all contenders in turn; return CPU microseconds by contender and number of rows."""
    repo = project.redis_repo if store == "redis" else project.feature_repo
    settings = project.flights.workspace.service_environment()
    url = f"redis://127.0.0.1:{redis_port}/0"
    scorer = SdkScorer(repo, project.booster_file, project.manifest_file)
    seen: dict[str, dict[int, list[float]]] = {}
    with OurRead(
        project.manifest, url if store == "redis" else settings["ZEROSKEW_ONLINE_STORE"]
    ) as reader:
        for n_rows in N_ROWS:
            requests = Requests.cut(project, n_rows)
            check_equal(scorer, reader, requests)
            contenders = sdk_reads(scorer, requests) | our_reads(reader, requests)
            if store == "redis":
                contenders |= redis_reads(reader.plan, requests, redis_port)
                contenders |= model_runs(project, reader, requests)
            for repeat in range(repeats + 1):
                for name, reads in contenders.items():
                    cpu_us = time_reads(reads, N_REQUESTS, duration_sec)
                    if repeat:  # The first round warms up.
                        seen.setdefault(name, {}).setdefault(n_rows, []).append(cpu_us)
    return seen


def main() -> None:
    """Measure one store in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--store", choices=("redis", "sqlite"), required=True)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--duration-sec", type=float, default=0.5)
    options = parser.parse_args()
    project = BenchProject(options.home, FlightsProject(options.home / "project"))
    seen = measure(
        project,
        options.store,
        options.redis_port,
        repeats=options.repeats,
        duration_sec=options.duration_sec,
    )
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
