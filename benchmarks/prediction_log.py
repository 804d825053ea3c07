"""What the prediction log costs: the service with it and without, by turns in one run.

    python -m benchmarks.prediction_log [--home PATH] [--rounds N]

Both services are up the whole time, each on the same core, and are loaded one after the other, so
that whatever slows the machine slows both. The log goes to a SQLite file, whose writer shares the
service's core; with PostgreSQL the database's part of the work is another machine's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
from pathlib import Path
from typing import Final, Literal

from benchmarks.bench_project import bring_up, materialize_into_redis
from benchmarks.environments import find_wrk
from benchmarks.load_tools import FullLoad, run_wrk
from benchmarks.server_process import start_redis
from benchmarks.sides.ours import Ours
from benchmarks.sides.side import Context
from tests.support.flights_project import ROOT

_HEADS: Final = (
    *("store", "rows", "off req/s", "buffered req/s", "buffered ÷ off"),
    *("off p50 / p99 ms", "buffered p50 / p99 ms", "errors"),
)
_CONNECTIONS: Final = 8


class LoggedOurs(Ours):
    """The service with a mode of the log."""

    mode: Literal["off", "buffered"] = "off"

    def environment(self) -> dict[str, str]:
        """Return its settings, with the mode."""
        return super().environment() | {"ZEROSKEW_LOG_MODE": self.mode}


class BufferedOurs(LoggedOurs):
    """The service that logs."""

    mode = "buffered"


def measure(off: Ours, on: Ours, wrk: str, n_rows: int, *, n_rounds: int) -> list[str]:
    """Return a line of the table: medians over the rounds."""
    loads: dict[Ours, list[FullLoad]] = {off: [], on: []}
    for number in range(n_rounds + 1):
        for side in (off, on) if number % 2 else (on, off):
            lines = side.lines(n_rows)
            load = run_wrk(wrk, side.base, lines, connections=_CONNECTIONS, duration_sec=5)
            if number:  # The first warms up.
                loads[side].append(load)
    rates = {side: statistics.median(load.per_sec for load in loads[side]) for side in loads}
    times = {
        side: (
            f"{statistics.median(load.p50_ms for load in seen):.1f} / "
            f"{statistics.median(load.p99_ms for load in seen):.1f}"
        )
        for side, seen in loads.items()
    }
    return [
        *(off.store, str(n_rows), f"{rates[off]:,.0f}", f"{rates[on]:,.0f}"),
        *(f"{rates[on] / rates[off]:.2f}", times[off], times[on]),
        str(sum(load.errors for seen in loads.values() for load in seen)),
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="What the prediction log costs.")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "bench")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    project = bring_up(home)
    redis, port = start_redis(home)
    wrk = find_wrk()
    table = [list(_HEADS), ["---:"] * len(_HEADS)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            materialize_into_redis(project, port)
        for store in Ours.stores:
            off = LoggedOurs(Context(project, port), store)
            on = BufferedOurs(Context(project, port), store)
            try:
                off.start()
                on.start()
                table += [
                    measure(off, on, wrk, n_rows, n_rounds=options.rounds) for n_rows in (1, 10)
                ]
            finally:
                off.stop()
                on.stop()
    finally:
        redis.stop()
    sys.stdout.writelines("| " + " | ".join(row) + " |\n" for row in table)


if __name__ == "__main__":
    main()
