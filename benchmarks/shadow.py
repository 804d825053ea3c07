"""What a shadow costs the callers: the service with one and without, by turns in one run.

    python -m benchmarks.shadow [--home PATH] [--rounds N]

The shadow is as large as the champion and scores every answer along. Both services are asked at the
same fixed rate, a share of the most that one of them answers, one after the other, so that whatever
slows the machine slows both.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sqlite3
import statistics
import sys
from pathlib import Path
from typing import Final

from benchmarks.bench_project import MODEL, BenchProject, bring_up, materialize_into_redis
from benchmarks.environments import find_wrk
from benchmarks.load_tools import flood, run_wrk
from benchmarks.server_process import start_redis
from benchmarks.sides.ours import Ours
from benchmarks.sides.side import Context
from tests.support.flights_project import ROOT
from zeroskew.contract.rollout import Rollout
from zeroskew.records.registry.model_registry import ModelRegistry

_HEADS: Final = (
    *("share of the peak", "asked req/s", "alone p50 / p99 ms", "shadowed p50 / p99 ms"),
    *("p99 shadowed ÷ alone", "answers shadowed", "refused"),
)
_SHARES: Final = (0.1, 0.25, 0.5)
_SECONDS: Final = 6


class Alone(Ours):
    """The service with its log, and a database of its own."""

    database = "alone.db"

    def environment(self) -> dict[str, str]:
        """Return its settings."""
        path = self.context.project.home / self.database
        changes = {"ZEROSKEW_LOG_MODE": "buffered", "ZEROSKEW_DATABASE_URL": f"sqlite:///{path}"}
        return super().environment() | changes


class Shadowed(Alone):
    """The service whose answers have a shadow."""

    database = "shadowed.db"


def prepare(project: BenchProject) -> None:
    """Give each side a copy of the registry, and one of them a shadow."""
    source = project.flights.workspace.database_url.removeprefix("sqlite:///")
    for side in (Alone, Shadowed):
        for path in project.home.glob(f"{side.database}*"):
            path.unlink()
        shutil.copy(source, project.home / side.database)
    rollout = Rollout.model_validate(
        {
            "kind": "canary",
            "arms": [{"name": "champion", "alias": "champion", "weight": 1}],
            "shadows": [{"name": "shadow", "version": 1}],
        }
    )
    registry = ModelRegistry.open(f"sqlite:///{project.home / Shadowed.database}")
    registry.set_rollout(MODEL, rollout)
    registry.close()


def measure(alone: Ours, shadowed: Ours, rate: float, share: float, n_rounds: int) -> list[str]:
    """Return a line of the table: medians over the rounds."""
    times: dict[Ours, list[tuple[float, float]]] = {alone: [], shadowed: []}
    n_refused = 0
    before = count_rows(shadowed)
    for number in range(n_rounds + 1):
        for side in (alone, shadowed) if number % 2 else (shadowed, alone):
            seen = flood(side.base, side.lines(1), per_sec=rate * share, duration_sec=_SECONDS)
            answers = seen.answers(200)
            n_refused += seen.answers(429).count
            if number:  # The first warms up.
                times[side].append((answers.p50_ms, answers.p99_ms))
    after = count_rows(shadowed)
    said = {
        side: [statistics.median(column) for column in zip(*rounds, strict=True)]
        for side, rounds in times.items()
    }
    n_answers, n_shadows = (after[role] - before[role] for role in ("answer", "shadow"))
    return [
        *(f"{share:.0%}", f"{rate * share:,.0f}"),
        *(f"{said[side][0]:.2f} / {said[side][1]:.2f}" for side in (alone, shadowed)),
        *(f"{said[shadowed][1] / said[alone][1]:.2f}", f"{n_shadows / max(1, n_answers):.0%}"),
        str(n_refused),
    ]


def count_rows(side: Ours) -> dict[str, int]:
    """Return how many answers and shadows the log has."""
    path = side.environment()["ZEROSKEW_DATABASE_URL"].removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = dict(connection.execute("SELECT role, count(*) FROM prediction GROUP BY role"))
    return {"answer": 0, "shadow": 0} | found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="What a shadow costs the callers.")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "bench")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    project = bring_up(home)
    prepare(project)
    redis, port = start_redis(home)
    alone, shadowed = (kind(Context(project, port), "redis") for kind in (Alone, Shadowed))
    table = [list(_HEADS), ["---:"] * len(_HEADS)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            materialize_into_redis(project, port)
        alone.start()
        shadowed.start()
        load = run_wrk(find_wrk(), alone.base, alone.lines(1), connections=8, duration_sec=5)
        table += [
            measure(alone, shadowed, load.per_sec, share, options.rounds) for share in _SHARES
        ]
    finally:
        alone.stop()
        shadowed.stop()
        redis.stop()
    sys.stdout.writelines("| " + " | ".join(row) + " |\n" for row in table)


if __name__ == "__main__":
    main()
