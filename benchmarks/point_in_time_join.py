"""Point-in-time join of the flights: Feast's duckdb store, this project's store, bare polars.

    python -m benchmarks.point_in_time_join [--labels N] [--lake PATH] [--repeats K] [--write]

Each engine runs in a fresh process, over the same Parquet files and the same labels, with the
created cutoff on. The first run of a process warms it and is not counted, except for Feast's
duckdb store, which runs once. The lake is the worked example's, prepared if it is missing.
``--write`` puts the table into docs/offline_store.md.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import polars as pl
import pyarrow as pa
from feast import FeatureStore, FeatureView

from tests.support.feast_repos import ASOF_STORE, entity, feature_store, view

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "offline_store.md"
ENGINES: Final = ("feast duckdb", "ours to_arrow", "ours to_df", "bare join_asof")
PACKAGES: Final = ("feast", "polars", "duckdb", "pandas", "pyarrow")


class Measurement(NamedTuple):
    """Medians over the counted runs, the peak memory of the process, and what came out."""

    wall_sec: float
    cpu_sec: float
    peak_mb: float
    n_values: int


def load_views() -> list[FeatureView]:
    """Return the feature views of the worked example."""
    sys.path.insert(0, str(ROOT / "feature_repo"))
    found = vars(import_module("feature_views")).values()
    return [defined for defined in found if isinstance(defined, FeatureView)]


def read_entity_rows(lake: Path, n_labels: int | None) -> pl.DataFrame:
    """Return the keys and prediction times of flights spread over the year."""
    table = pl.read_parquet(lake / "arrival_labels", hive_partitioning=False)
    if n_labels is not None:
        table = table.gather_every(max(1, table.height // n_labels)).head(n_labels)
    return table.select("carrier", "origin", "dest", "tailnum", "event_timestamp")


def bare_join_asof(lake: Path, flights: pl.DataFrame, views: list[FeatureView]) -> pa.Table:
    """Join with nothing but polars: the same rows, cutoff, ttl and order, and no checks."""
    joined = flights.with_row_index("label").sort("event_timestamp")
    for joined_view in views:
        keys, features = sorted(joined_view.join_keys), feature_names(joined_view)
        rows = (
            pl.scan_parquet(lake / joined_view.name / "**/*.parquet", hive_partitioning=False)
            .select(*keys, *features, "event_timestamp", "created")
            .rename({"event_timestamp": "event"})
            .with_columns(known=pl.max_horizontal("event", "created"))
            .sort("known", "event", "created")
            .filter(pl.col("event") == pl.col("event").cum_max().over(keys))
            .drop("created")
            .collect()
        )
        joined = joined.join_asof(
            rows,
            left_on="event_timestamp",
            right_on="known",
            by=keys,
            check_sortedness=False,
            coalesce=True,
        )
        if joined_view.ttl:
            alive = pl.col("event") >= pl.col("event_timestamp") - joined_view.ttl
            joined = joined.with_columns(pl.when(alive).then(pl.col(*features)))
        joined = joined.drop("event", "known", strict=False)
    return joined.sort("label").drop("label").to_arrow()


def feature_names(of_view: FeatureView) -> list[str]:
    """Return a view's feature names; they are distinct over all views of the example."""
    return [feature.name for feature in of_view.features]


def flights_store(folder: Path, lake: Path, **options: Any) -> FeatureStore:
    """Return a store in ``folder`` with the example's views over ``lake``.

    ``options`` are those of the offline store; ``type`` is this project's where it is left out.
    """
    suffix = "/**/*.parquet" if options.get("type") == "duckdb" else ""
    views = load_views()
    entities = {key: entity(key) for known in views for key in known.join_keys}
    redefined = [
        view(
            known.name,
            f"{lake / known.name}{suffix}",
            [entities[key] for key in sorted(known.join_keys)],
            {feature.name: feature.dtype for feature in known.features},
            ttl=known.ttl,
        )
        for known in views
    ]
    return feature_store(folder, [*entities.values(), *redefined], offline_store=options)


def _runner(engine: str, lake: Path, flights: pl.DataFrame, folder: Path) -> Callable[[], int]:
    """Return a run that answers how many values it found."""
    views = load_views()
    names = [name for known in views for name in feature_names(known)]
    if engine == "bare join_asof":
        return lambda: _count_values(bare_join_asof(lake, flights, views), names)
    kind = "duckdb" if engine == "feast duckdb" else ASOF_STORE
    store = flights_store(folder, lake, type=kind)
    refs = [f"{known.name}:{name}" for known in views for name in feature_names(known)]
    frame = flights.to_pandas()

    def run() -> int:
        job = store.get_historical_features(frame, refs, filter_by_created_timestamp=True)
        if engine == "ours to_arrow":
            return _count_values(job.to_arrow(), names)
        result: Any = job.to_df()
        return sum(int(result[name].count()) for name in names)

    return run


def _count_values(table: pa.Table, names: list[str]) -> int:
    return sum(len(table) - table.column(name).null_count for name in names)


def measure(engine: str, lake: Path, n_labels: int | None, repeats: int) -> Measurement:
    """Time one engine in this process."""
    flights = read_entity_rows(lake, n_labels)
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
    command += ["--lake", str(lake), "--repeats", str(arguments.repeats)]
    if arguments.labels is not None:
        command += ["--labels", str(arguments.labels)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- this very module.
    return Measurement(*json.loads(finished.stdout.splitlines()[-1]))


def _report(results: dict[str, Measurement], n_labels: int) -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    views, ours, bare = load_views(), results["ours to_arrow"], results["bare join_asof"]
    n_features = sum(len(known.features) for known in views)
    lines = [
        f"{n_labels:,} labels, {len(views)} views, {n_features} features; "
        f"{datetime.now(UTC):%Y-%m-%d}; Python {sys.version.split()[0]}, {versions}.",
        "",
        "| engine | wall s | CPU s | peak MB | values | wall / ours |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {engine} | {got.wall_sec:.2f} | {got.cpu_sec:.2f} | {got.peak_mb:.0f} "
        f"| {got.n_values:,} | {got.wall_sec / ours.wall_sec:.2f} |"
        for engine, got in results.items()
    ]
    if "feast duckdb" in results:
        feast = results["feast duckdb"]
        lines.append(
            f"\nFeast's duckdb store takes {feast.wall_sec / ours.wall_sec:.1f} times the wall "
            f"time and {feast.cpu_sec / ours.cpu_sec:.1f} times the CPU time of ours (target 25)."
        )
    lines.append(
        f"\nOurs takes {ours.wall_sec / bare.wall_sec:.2f} times the wall time and "
        f"{ours.cpu_sec / bare.cpu_sec:.2f} times the CPU time of bare `join_asof` (target 1.3)."
    )
    return "\n".join(lines)


def _write_into_page(report: str) -> None:
    begin, end = "<!-- benchmark -->\n", "\n<!-- /benchmark -->"
    pattern = re.compile(re.escape(begin) + ".*" + re.escape(end), re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: begin + report + end, PAGE.read_text()))


def main() -> None:
    """Measure every engine and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, help="all flights by default")
    parser.add_argument("--lake", type=Path, default=ROOT / "var" / "lake")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--without", action="append", default=[], choices=ENGINES)
    parser.add_argument("--engine", choices=ENGINES, help="measure one engine here, print JSON")
    arguments = parser.parse_args()
    if arguments.engine:
        result = measure(arguments.engine, arguments.lake, arguments.labels, arguments.repeats)
        print(json.dumps(result))  # noqa: T201 -- the parent process reads it.
        return
    if not (arguments.lake / "arrival_labels").exists():
        sys.path.insert(0, str(ROOT / "feature_repo"))
        import_module("pipelines.prepare").prepare(arguments.lake)
    results = {
        engine: _measure_in_fresh_process(engine, arguments.lake, arguments)
        for engine in ENGINES
        if engine not in arguments.without
    }
    report = _report(results, read_entity_rows(arguments.lake, arguments.labels).height)
    print(report)  # noqa: T201 -- the table is the purpose.
    if arguments.write:
        _write_into_page(report)


if __name__ == "__main__":
    main()
