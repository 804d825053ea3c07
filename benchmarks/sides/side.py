"""What every side of the HTTP comparison has."""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from benchmarks.bench_project import Batch, BenchProject, as_line, write_lines
from benchmarks.server_process import (
    SERVER_CORE,
    ServerError,
    ServerProcess,
    free_port,
    wait_for_http,
)
from tests.support.flights_project import ROOT

__all__ = ["Context", "Side", "ask", "require_close"]

N_CHECKED_BATCHES: Final = 50
N_TRIES: Final = 5
RETRY_DELAY_SEC: Final = 0.2
TOLERANCE: Final = 1e-6
"""Of float32 features and float64 scores, which JSON carries in full, only rounding differs."""


@dataclass(frozen=True)
class Context:
    """What a side needs of the run: the project, and where its Redis is."""

    project: BenchProject
    redis_port: int


class Side(ABC):
    """One server: how to start it, what to send, and what is a right answer.

    Parameters
    ----------
    context
        The run.
    store
        ``redis``, ``sqlite``, or ``none`` where no feature is looked up.
    """

    title: ClassVar[str]
    """What the report calls it."""

    stores: ClassVar[tuple[str, ...]]
    """The stores that it is measured on."""

    ready_path: ClassVar[str] = "/ready"

    def __init__(self, context: Context, store: str) -> None:
        self.context = context
        self.store = store
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.server: ServerProcess | None = None
        self._lines: dict[int, Path] = {}

    @property
    def label(self) -> str:
        """Title and store."""
        return self.title if self.store == "none" else f"{self.title}, {self.store}"

    @property
    def folder(self) -> Path:
        """Where the side writes."""
        folder = self.context.project.home / "sides" / f"{type(self).__name__}-{self.store}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def feature_repo(self) -> Path:
        """The Feast repo over this side's store."""
        project = self.context.project
        return project.redis_repo if self.store == "redis" else project.feature_repo

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the program that serves, and its arguments."""

    @abstractmethod
    def request(self, batch: Batch) -> tuple[str, Any]:
        """Return the path and the JSON body that ask for a batch."""

    @abstractmethod
    def check_answer(self, batch: Batch, answer: Any) -> None:
        """Compare a parsed answer with what is right.

        Raises
        ------
        ServerError
            If it differs.
        """

    def environment(self) -> dict[str, str]:
        """Return the variables of the server's process."""
        return {}

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.server = ServerProcess(
            self.label,
            self.command(),
            environment=self.environment(),
            core=SERVER_CORE,
            log=self.folder / "server.log",
            folder=ROOT,
        )
        wait_for_http(self.server, self.base + self.ready_path)

    def stop(self) -> None:
        """Stop the server, if it runs."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    def check(self, n_rows: int) -> None:
        """Compare the answers to the first batches with what is right."""
        for batch in islice(self.context.project.batches(n_rows), N_CHECKED_BATCHES):
            path, body = self.request(batch)
            self.check_answer(batch, ask(self.base + path, body))

    def lines(self, n_rows: int) -> Path:
        """Return the file of all requests of ``n_rows``."""
        if n_rows not in self._lines:
            batches = self.context.project.batches(n_rows)
            requests = [as_line(*self.request(batch)) for batch in batches]
            path = self.folder / f"requests-{n_rows}.txt"
            self._lines[n_rows] = write_lines(path, requests)
        return self._lines[n_rows]


def ask(url: str, body: Any) -> Any:
    """Post a JSON body and return the parsed answer; only answers are checked this way.

    A refusal because a store was slow, which happens on a busy machine, is no wrong answer:
    it is asked again.

    Raises
    ------
    ServerError
        If the answer is another one than 200, and 503 several times over.
    """
    request = urllib.request.Request(  # noqa: S310 - loopback
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    for _ in range(N_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            refusal = f"{error.code}: {error.read(1000).decode(errors='replace')}"
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            time.sleep(RETRY_DELAY_SEC)
    raise ServerError(f"Got from {url}, but expected an answer: {refusal}")


def require_close(label: str, got: Sequence[Any], expected: Sequence[Any]) -> None:
    """Compare numbers, and anything else exactly; null equals null.

    Raises
    ------
    ServerError
        If they differ.
    """
    if len(got) != len(expected):
        raise ServerError(f"Got {len(got)} values from {label}, but expected {len(expected)}")
    for row, pair in enumerate(zip(got, expected, strict=True)):
        if not _is_close(*pair):
            raise ServerError(
                f"Got {pair[0]!r} in row {row} from {label}, but expected {pair[1]!r}"
            )


def _is_close(got: Any, expected: Any) -> bool:
    if isinstance(got, int | float) and isinstance(expected, int | float | np.floating):
        return math.isclose(got, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(got == expected)
