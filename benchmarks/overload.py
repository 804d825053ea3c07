"""What the service does when it is asked three times as much as it can answer.

    python -m benchmarks.overload [--home PATH] [--rows 10,100]

For each number of rows: the most that the service answers (wrk); then three times that rate over
400 connections, answers and refusals counted apart; then, at once, half of the peak, to see
whether it is itself again. The service has one core, the load tool and
Redis another.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from pathlib import Path

from benchmarks.bench_project import bring_up, materialize_into_redis
from benchmarks.environments import find_wrk
from benchmarks.load_tools import flood, run_wrk
from benchmarks.server_process import start_redis
from benchmarks.sides.ours import Ours
from benchmarks.sides.side import Context
from tests.support.flights_project import ROOT

_HEADS = (
    *("rows", "peak req/s", "asked req/s", "answered req/s", "goodput", "refused"),
    *("refused p50 / p99 / max ms", "answered p99 ms", "other", "after: p99 ms", "after: refused"),
)
_N_CONNECTIONS = (8, 16, 64)


def measure(side: Ours, wrk: str, n_rows: int, *, duration_sec: int) -> list[str]:
    """Return a line of the table."""
    lines = side.lines(n_rows)
    run_wrk(wrk, side.base, lines, connections=8, duration_sec=2)
    loads = [
        run_wrk(wrk, side.base, lines, connections=n, duration_sec=duration_sec)
        for n in _N_CONNECTIONS
    ]
    # A refusal is no answer: only loads without any tell the peak.
    peak = max(load.per_sec for load in loads if not load.errors)
    seen = flood(side.base, lines, per_sec=3 * peak, duration_sec=duration_sec)
    after = flood(side.base, lines, per_sec=peak / 2, duration_sec=5)
    answered, refused = seen.answers(200), seen.answers(429)
    total = sum(answers.count for answers in seen.statuses.values())
    return [
        str(n_rows),
        f"{peak:,.0f}",
        f"{seen.asked / seen.seconds:,.0f}",
        f"{answered.count / seen.seconds:,.0f}",
        f"{answered.count / seen.seconds / peak:.2f}",
        f"{refused.count / max(1, total):.0%}",
        f"{refused.p50_ms:.1f} / {refused.p99_ms:.1f} / {refused.max_ms:.1f}",
        f"{answered.p99_ms:.1f}",
        str(total - answered.count - refused.count + seen.unsent + seen.lost),
        f"{after.answers(200).p99_ms:.1f}",
        str(after.answers(429).count),
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Ask the service for three times its peak.")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "bench")
    parser.add_argument("--rows", default="1,10,100")
    parser.add_argument("--duration-sec", type=int, default=10)
    options = parser.parse_args()
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    project = bring_up(home)
    redis, port = start_redis(home)
    side = Ours(Context(project, port), "redis")
    wrk = find_wrk()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            materialize_into_redis(project, port)
        side.start()
        rows = [
            measure(side, wrk, int(n_rows), duration_sec=options.duration_sec)
            for n_rows in options.rows.split(",")
        ]
    finally:
        side.stop()
        redis.stop()
    table = [_HEADS, ["---:"] * len(_HEADS), *rows]
    sys.stdout.writelines("| " + " | ".join(row) + " |\n" for row in table)


if __name__ == "__main__":
    main()
