"""The online benchmark: the service beside everything it is compared with, in one run.

    python -m benchmarks.online [--quick] [--only NAME,NAME] [--write] [--home PATH]

Starts a Redis, brings the worked example up, starts every side, compares their answers with
LightGBM on the SDK's features, and measures them in turn, several times over. Servers run on
one core; the load tool and Redis on another. ``--only`` chooses among the sides and parts
(see ``--help``). ``--write`` puts the result of a run that was not quick into
docs/benchmarks.md; ``--report`` writes that page again from the last run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.bench_project import bring_up, materialize_into_redis
from benchmarks.changing_models import ChangingModels
from benchmarks.environments import find_wrk
from benchmarks.growth import GrownOurs, ManyModels, copy_history
from benchmarks.http_measures import Durations, HttpMeasures
from benchmarks.online_report import write_report
from benchmarks.online_targets import count_failures, our_label
from benchmarks.run_facts import collect_facts
from benchmarks.server_process import SERVER_CORE, ServerError, pinned, start_redis
from benchmarks.sides.bentoml import BentoMl
from benchmarks.sides.empty import EmptyFastApi
from benchmarks.sides.fastapi_sdk import CarefulSdk, UsualSdk
from benchmarks.sides.feast_serve import FeastServe
from benchmarks.sides.mlserver import MlServer
from benchmarks.sides.ours import Ours
from benchmarks.sides.side import Context, Side
from tests.support.flights_project import ROOT

SIDES: Final[dict[str, type[Side]]] = {
    "ours": Ours,
    "empty": EmptyFastApi,
    "sdk": UsualSdk,
    "sdk-tuned": CarefulSdk,
    "feast-serve": FeastServe,
    "mlserver": MlServer,
    "bentoml": BentoMl,
}
PARTS: Final = ("in-process", "latency", "growth")
N_MODELS: Final = (1, 10, 50)


class Benchmark:
    """One run, into a dictionary that becomes the results file."""

    def __init__(
        self, context: Context, chosen: set[str], durations: Durations, path: Path
    ) -> None:
        self.path = path
        self.context = context
        self.chosen = chosen
        self.durations = durations
        self.results: dict[str, Any] = {}
        self.wrk = find_wrk()
        self.http = HttpMeasures(self.wrk, durations, say)

    def run(self) -> None:
        """Measure all that was chosen."""
        self.results["facts"] = collect_facts(self.context, self.wrk)
        self.results["quick"] = self.durations.is_quick
        if "in-process" in self.chosen:
            self.results["in_process"] = {
                store: self._run_module("in_process", store) for store in Ours.stores
            }
            self._save()
        self._compare_servers()
        self._save()
        if "growth" in self.chosen:
            self._grow()
            self._save()

    def _save(self) -> None:
        """Write what is there: a run that fails later has not been for nothing."""
        self.path.write_text(json.dumps(self.results, indent=1))

    def _compare_servers(self) -> None:
        chosen = [side for name, side in SIDES.items() if name in self.chosen]
        sides = [side(self.context, store) for side in chosen for store in side.stores]
        with started(sides):
            self.results["ways"] = self.http.choose_ways(sides)
            self.results["http"] = self.http.measure_full_load(sides)
            if "latency" in self.chosen:
                steady = [side for side in sides if isinstance(side, Ours | EmptyFastApi)]
                self.results["latency"] = self.http.measure_fixed_rate(steady, self.results["http"])
        if self.results.get("latency"):
            self.results["latency"].append(self._measure_changes())

    def _measure_changes(self) -> dict[str, Any]:
        """Ask at the same rate while versions are published and loaded."""
        steady = next(m for m in self.results["latency"] if m["label"] == our_label("redis"))
        changing = ChangingModels(self.context, "redis")
        with started([changing]), changing:
            measure = self.http.measure_at(changing, steady["rate"])
        return measure | {"n_changes": changing.n_changes}

    def _grow(self) -> None:
        growth: dict[str, Any] = {
            "rows_and_views": {store: self._run_module("growth", store) for store in Ours.stores}
        }
        say("copying the stored history")
        copy_history(self.context.project, self.context.redis_port)
        histories: list[Side] = [
            side(self.context, store) for side in (Ours, GrownOurs) for store in Ours.stores
        ]
        with started(histories):
            growth["history"] = self.http.measure_one_row(histories)
        models: list[Side] = [ManyModels(self.context, "redis", n) for n in N_MODELS]
        with started(models):
            growth["models"] = self.http.measure_one_row(models)
        self.results["growth"] = growth

    def _run_module(self, module: str, store: str) -> Any:
        say(f"CPU of a read: {module}, {store}")
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", "--store", store]
        command += ["--home", str(self.context.project.home)]
        command += ["--redis-port", str(self.context.redis_port)]
        if self.durations.is_quick:
            command += ["--repeats", "1", "--duration-sec", "0.1"]
        done = subprocess.run(  # noqa: S603 - built above
            pinned(command, SERVER_CORE), capture_output=True, text=True, check=False, cwd=ROOT
        )
        if done.returncode != 0:
            raise ServerError(f"Got from {module}:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def started(sides: list[Side]) -> Iterator[None]:
    """Start the sides' servers, and stop them at the end."""
    with contextlib.ExitStack() as stack:
        for side in sides:
            say(f"starting {side.label}")
            stack.callback(side.stop)
            side.start()
        yield


def say(line: str) -> None:
    """Print a line of progress with the time."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


def run(home: Path, chosen: set[str], durations: Durations, path: Path) -> None:
    """Bring everything up, measure, and write the results."""
    say("bringing up the worked example")
    project = bring_up(home)
    server, port = start_redis(home)
    try:
        say("materializing into Redis")
        with contextlib.redirect_stdout(io.StringIO()):
            materialize_into_redis(project, port)
        Benchmark(Context(project, port), chosen, durations, path).run()
    finally:
        server.stop()


def main() -> None:
    """Run the benchmark; an expected failure is one clear line and exit status 1."""
    parser = argparse.ArgumentParser(description="Compare the service with what it replaces.")
    parser.add_argument("--quick", action="store_true", help="short and inexact, to try it out")
    parser.add_argument("--only", default="", help=f"some of {', '.join((*SIDES, *PARTS))}")
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks.md, unless quick"
    )
    parser.add_argument("--report", action="store_true", help="write it from the last run")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "bench")
    options = parser.parse_args()
    chosen = set(filter(None, options.only.split(","))) or {*SIDES, *PARTS}
    if unknown := chosen - {*SIDES, *PARTS}:
        parser.error(f"Got {sorted(unknown)}, but expected some of {[*SIDES, *PARTS]}")
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    path = home / "results.json"
    if not options.report:
        begin = time.monotonic()
        try:
            run(home, chosen, Durations(is_quick=options.quick), path)
        except ServerError as error:
            sys.exit(str(error))
        say(f"done in {(time.monotonic() - begin) / 60:.1f} minutes")
    results = json.loads(path.read_text())
    is_for_docs = options.report or (options.write and not results["quick"])
    folder = ROOT / "docs" if is_for_docs else home
    sys.stdout.write(write_report(results, folder))
    if count_failures(results):
        sys.exit("Got failed requests, but expected none; the page lists them")


if __name__ == "__main__":
    main()
