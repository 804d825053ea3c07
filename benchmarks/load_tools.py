"""Load tools: wrk for the most a server can answer, flood.py for its latency at a fixed rate.

wrk keeps each connection busy, the next request following the last answer, so its latencies
are those of a server under full load. flood.py sends at a fixed rate whatever the server does; a
stall then shows in every request that it held up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.server_process import LOAD_CORE, ServerError, pinned

__all__ = ["Answers", "Flood", "FullLoad", "flood", "run_wrk"]

SCRIPTS: Final = Path(__file__).with_name("load")
N_FLOOD_CLIENTS: Final = 400
"""Each has a connection and one request under way; what more would send is counted as unsent."""


@dataclass(frozen=True, slots=True)
class FullLoad:
    """What wrk saw: answers a second, and the latency of a request in milliseconds."""

    per_sec: float
    p50_ms: float
    p99_ms: float
    requests: int
    errors: int


@dataclass(frozen=True, slots=True)
class Answers:
    """How many answers of a kind there were, and their latencies in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Flood:
    """What came back from a server that was asked too much, by HTTP status."""

    asked: int
    unsent: int
    lost: int
    seconds: float
    statuses: dict[str, Answers]

    def answers(self, status: int) -> Answers:
        """Return the answers with a status; there may be none."""
        return self.statuses.get(str(status), Answers(0, 0.0, 0.0, 0.0))


def run_wrk(wrk: str, base: str, lines: Path, *, connections: int, duration_sec: float) -> FullLoad:
    """Post ``lines`` to ``base`` over some keep-alive connections, each always busy.

    Parameters
    ----------
    lines
        One request a line: a path, a space, and a JSON body.
    duration_sec
        How long; wrk counts whole seconds, so it is rounded up.
    """
    command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(duration_sec))}s"]
    command += ["--latency", "--timeout", "10s", "-s", str(SCRIPTS / "post_lines.lua")]
    seen = _run([*command, base, "--", str(lines)])
    return FullLoad(
        per_sec=seen["requests"] / seen["duration_us"] * 1e6,
        p50_ms=seen["p50_us"] / 1e3,
        p99_ms=seen["p99_us"] / 1e3,
        requests=seen["requests"],
        errors=seen["bad_status"] + seen["broken"],
    )


def flood(base: str, lines: Path, *, per_sec: float, duration_sec: float) -> Flood:
    """Post ``lines`` to ``base`` at a rate that may be too much for it."""
    host, port = base.removeprefix("http://").split(":")
    command = [sys.executable, str(SCRIPTS / "flood.py"), host, port, str(lines.resolve())]
    seen = _run([*command, str(per_sec), str(duration_sec), str(N_FLOOD_CLIENTS)])
    statuses = {name: Answers(**of_status) for name, of_status in seen.pop("statuses").items()}
    return Flood(statuses=statuses, **seen)


def _run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - built above
        pinned(command, LOAD_CORE), capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        raise ServerError(f"Got from {command[0]}:\n{done.stdout}{done.stderr}")
    seen: dict[str, Any] = json.loads(lines[-1])
    return seen
