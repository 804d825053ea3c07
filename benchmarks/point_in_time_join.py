"""Point-in-time join: Feast's duckdb store, this project's store, and bare polars.

    python -m benchmarks.point_in_time_join [--labels N] [--lake PATH] [--repeats K]

Each engine runs in a fresh process, over the same Parquet files and the same labels, with the
created cutoff on. The first run of a process warms it and is not counted, except for Feast's
duckdb store, which runs once. ``--lake`` reads ``<lake>/<view>/**.parquet`` of the stand-in's
views; without it they are written to a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import polars as pl
import pyarrow as pa
from feast import FeatureStore

from tests.support.feast_repos import ASOF_STORE, feature_store
from tests.support.synthetic_flights import (
    FLIGHTS_IN_2013,
    LAKE_VIEWS,
    definitions,
    labels,
    write_lake,
)

ENGINES: Final = ("feast duckdb", "ours to_arrow", "ours to_df", "bare join_asof")
PACKAGES: Final = ("feast", "polars", "duckdb", "pandas", "pyarrow")
REFS: Final = [f"{view.name}:{feature}" for view in LAKE_VIEWS for feature in view.features]


class Measurement(NamedTuple):
    """Medians over the counted runs, the peak memory of the process, and what came out."""

    wall_sec: float
    cpu_sec: float
    peak_mb: float
    n_values: int


def bare_join_asof(lake: Path, flights: pl.DataFrame) -> pa.Table:
    """Join with nothing but polars: the same rows, cutoff, ttl and order, and no checks."""
    joined = flights.with_row_index("label").sort("event_timestamp")
    for view in LAKE_VIEWS:
        rows = (
            pl.scan_parquet(lake / view.name / "**/*.parquet", hive_partitioning=False)
            .rename({"event_timestamp": "event"})
            .with_columns(known=pl.max_horizontal("event", "created"))
            .sort("known", "event", "created")
            .filter(pl.col("event") == pl.col("event").cum_max().over(view.keys))
            .drop("created")
            .collect()
        )
        joined = joined.join_asof(
            rows,
            left_on="event_timestamp",
            right_on="known",
            by=list(view.keys),
            check_sortedness=False,
            coalesce=True,
        )
        if view.ttl is not None:
            alive = pl.col("event") >= pl.col("event_timestamp") - view.ttl
            joined = joined.with_columns(pl.when(alive).then(pl.col(*view.features)))
        joined = joined.drop("event", "known", strict=False)
    return joined.sort("label").drop("label").to_arrow()


def _store(engine: str, lake: Path, folder: Path) -> FeatureStore:
    kind = "duckdb" if engine == "feast duckdb" else ASOF_STORE
    suffix = "/**/*.parquet" if kind == "duckdb" else ""
    return feature_store(folder, definitions(lake, suffix), offline_store={"type": kind})


def _runner(engine: str, lake: Path, flights: pl.DataFrame, folder: Path) -> Callable[[], int]:
    """Return a run that answers how many values it found."""
    if engine == "bare join_asof":
        return lambda: _count_values(bare_join_asof(lake, flights))
    store = _store(engine, lake, folder)
    frame = flights.to_pandas()

    def run() -> int:
        job = store.get_historical_features(frame, REFS, filter_by_created_timestamp=True)
        if engine == "ours to_arrow":
            return _count_values(job.to_arrow())
        result = job.to_df()
        return sum(int(result[name].count()) for view in LAKE_VIEWS for name in view.features)

    return run


def _count_values(table: pa.Table) -> int:
    return sum(
        len(table) - table.column(name).null_count for view in LAKE_VIEWS for name in view.features
    )


def measure(engine: str, lake: Path, n_labels: int, repeats: int) -> Measurement:
    """Time one engine in this process."""
    flights = labels(n_labels)
    once = engine == "feast duckdb"
    walls, cpus, n_values = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        run = _runner(engine, lake, flights, Path(folder))
        if not once:
            run()
        for _ in range(1 if once else repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            n_values = run()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measurement(median(walls), median(cpus), peak_mb, n_values)


def _measure_in_fresh_process(
    engine: str, lake: Path, arguments: argparse.Namespace
) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.point_in_time_join", "--engine", engine]
    command += ["--lake", str(lake), "--labels", str(arguments.labels)]
    command += ["--repeats", str(arguments.repeats)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- this very module.
    return Measurement(*json.loads(finished.stdout.splitlines()[-1]))


def _report(results: dict[str, Measurement], n_labels: int) -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    ours = results["ours to_arrow"]
    lines = [
        f"Point-in-time join of {n_labels:,} labels with {len(LAKE_VIEWS)} views "
        f"({len(REFS)} features), {datetime.now(UTC):%Y-%m-%d}",
        f"Python {sys.version.split()[0]}, {versions}",
        "",
        f"{'engine':16}{'wall s':>9}{'cpu s':>9}{'peak MB':>9}{'values':>12}{'wall/ours':>11}",
    ]
    lines += [
        f"{engine:16}{got.wall_sec:9.2f}{got.cpu_sec:9.2f}{got.peak_mb:9.0f}{got.n_values:12,}"
        f"{got.wall_sec / ours.wall_sec:11.2f}"
        for engine, got in results.items()
    ]
    if "feast duckdb" in results:
        faster = results["feast duckdb"].wall_sec / results["ours to_df"].wall_sec
        lines.append(f"\nours to_df is {faster:.1f} times faster than Feast duckdb (target 25)")
    bare = results["bare join_asof"]
    lines.append(
        f"ours to_arrow takes {ours.wall_sec / bare.wall_sec:.2f} times the wall time and "
        f"{ours.cpu_sec / bare.cpu_sec:.2f} times the cpu time of bare join_asof (target 1.3)"
    )
    return "\n".join(lines)


def main() -> None:
    """Measure every engine and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=FLIGHTS_IN_2013)
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--without", action="append", default=[], choices=ENGINES)
    parser.add_argument("--engine", choices=ENGINES, help="measure one engine here, print JSON")
    arguments = parser.parse_args()
    if arguments.engine:
        result = measure(arguments.engine, arguments.lake, arguments.labels, arguments.repeats)
        print(json.dumps(result))  # noqa: T201 -- the parent process reads it.
        return
    with tempfile.TemporaryDirectory() as folder:
        lake = arguments.lake or write_lake(Path(folder) / "lake")
        results = {
            engine: _measure_in_fresh_process(engine, lake, arguments)
            for engine in ENGINES
            if engine not in arguments.without
        }
    print(_report(results, arguments.labels))  # noqa: T201 -- the table is the purpose.


if __name__ == "__main__":
    main()
