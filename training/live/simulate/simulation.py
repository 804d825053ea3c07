"""Replays a span of the past as live traffic: rows land, predictions are asked for, labels come.

Each thing happens at its own moment of a simulated clock: a row of a feature table goes online when
it was created, a prediction is asked for at the label table's prediction time, and its label is
sent when it was known. The service is a real one, over HTTP; only its clock is moved.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from training import pipeline
from training.dataset.label_table import read_label_rows
from training.families.progress import Progress
from training.live.simulate.arriving_rows import ArrivingRows, open_online_copy
from training.live.simulate.simulated_service import SimulatedService
from training.project.online_store import open_online_store
from training.project.progress import quiet
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.label_columns import EVENT_TIMESTAMP, KNOWN_AT, LABEL
from zeroskew.contract.manifest import FieldType
from zeroskew.contract.time.moved_clock import ClockMover
from zeroskew.declarations.model_spec import ModelSpec

__all__ = ["Simulation", "SimulationReport", "prepare_simulation", "simulate"]


@dataclass(frozen=True)
class Simulation:
    """Where a simulation keeps its copy of the registry, its log and its labels."""

    folder: Path

    @property
    def database(self) -> Path:
        """The SQLite file of registry, prediction log and labels."""
        return self.folder / "zeroskew.db"


@dataclass
class SimulationReport:
    """What happened: rows that went online, predictions by model, and labels."""

    n_rows: int = 0
    n_predictions: dict[str, int] = field(default_factory=dict)
    n_labels: int = 0


@dataclass(frozen=True, eq=False)
class _Traffic:
    """One model's requests; ``rows`` are the label table's times."""

    spec: ModelSpec
    rows: pl.DataFrame
    instances: list[dict[str, Any]]
    labels: list[bool | float | str | None]


def prepare_simulation(workspace: Workspace, folder: Path, *, is_fresh: bool) -> Simulation:
    """Make the folder of a simulation, with a copy of the registry.

    Parameters
    ----------
    is_fresh
        Whether what an earlier simulation left is forgotten.

    Raises
    ------
    StepError
        If the registry is in no SQLite file, or something else than a simulation is in the folder.
    """
    simulation = Simulation(folder)
    _require_own_folder(workspace, simulation, is_fresh=is_fresh)
    if is_fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not simulation.database.exists():
        path = workspace.database_file
        if path is None or not path.exists():
            raise StepError("Got no registry in a SQLite file, but expected one to copy")
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(simulation.database)) as target,
        ):
            source.backup(target)
            # The registry alone: what the project has served is not this simulation's.
            target.execute("DELETE FROM prediction")
            target.execute("DELETE FROM label")
            target.commit()
            target.execute("VACUUM")
    return simulation


def _require_own_folder(workspace: Workspace, simulation: Simulation, *, is_fresh: bool) -> None:
    """Raise where a simulation would write into what is not its own, or remove it."""
    folder = simulation.folder.resolve()
    places = (workspace.home, workspace.feature_repo, workspace.models, workspace.database_file)
    if any(place is not None and place.resolve().is_relative_to(folder) for place in places):
        raise StepError(
            f"Got {simulation.folder}, which holds the project, but expected a simulation's own "
            "folder"
        )
    is_others = folder.is_dir() and any(folder.iterdir()) and not simulation.database.exists()
    if is_fresh and is_others:
        raise StepError(
            f"Got {simulation.folder}, which no simulation has left, but expected one that may be "
            "removed"
        )


def simulate(
    workspace: Workspace,
    simulation: Simulation,
    specs: Sequence[ModelSpec],
    start: datetime,
    end: datetime,
    *,
    speed: float,
    progress: Progress,
) -> SimulationReport:
    """Replay what happened from `start` on and before `end`.

    Labels that become known at `end` or later are not sent.

    Parameters
    ----------
    specs
        The models whose callers are replayed.
    speed
        Simulated seconds in a second; 0 is as fast as it goes.

    Raises
    ------
    StepError
        If the project lacks what is needed, or the service refuses something.
    NotSupportedError
        If its online store is a server.
    """
    online = open_online_store(workspace).make_empty_copy(simulation.folder)
    store = open_online_copy(workspace.open_feature_store(), online)
    traffic = [_read_traffic(workspace, spec, start, end) for spec in specs]
    with quiet():
        pipeline.materialize_views(store, start, lambda _done, _total: None)
    clock = ClockMover(simulation.folder / "clock", start)
    settings = {
        "ZEROSKEW_CLOCK_FILE": str((simulation.folder / "clock").resolve()),
        "ZEROSKEW_DATABASE_URL": f"sqlite:///{simulation.database.resolve()}",
        "ZEROSKEW_ARTIFACTS_DIR": str(workspace.artifacts_dir),
        "ZEROSKEW_ONLINE_STORE": online.address,
        "ZEROSKEW_LOG_SPOOL_DIR": str(simulation.folder.resolve() / "spool"),
    }
    before = _count_logged(simulation)
    with (
        contextlib.closing(ArrivingRows(store, start, end)) as arriving,
        SimulatedService(simulation.folder, settings) as service,
    ):
        report = _run(service, clock, arriving, traffic, start, end, speed, progress)
    n_asked = sum(report.n_predictions.values())
    if (n_logged := _count_logged(simulation) - before) != n_asked:
        raise StepError(
            f"Got {n_logged:,} logged predictions, but expected {n_asked:,}; see {service.log}"
        )
    return report


def _count_logged(simulation: Simulation) -> int:
    query = "SELECT coalesce(sum(n_rows), 0) FROM prediction WHERE role = 'answer'"
    with contextlib.closing(sqlite3.connect(simulation.database)) as connection:
        (count,) = connection.execute(query).fetchone()
    return int(count)


def _run(
    service: SimulatedService,
    clock: ClockMover,
    arriving: ArrivingRows,
    traffic: Sequence[_Traffic],
    start: datetime,
    end: datetime,
    speed: float,
    progress: Progress,
) -> SimulationReport:
    report = SimulationReport(n_predictions={one.spec.name: 0 for one in traffic})
    waiting: dict[datetime, list[dict[str, Any]]] = {}
    for one in traffic:
        known = one.rows[KNOWN_AT].drop_nulls()
        waiting |= {moment: [] for moment in known.filter((known >= start) & (known < end))}
    requests = [_group_by_moment(one) for one in traffic]
    moments = sorted({*waiting, *(moment for group in requests for moment in group)})
    began = time.monotonic()
    for done, moment in enumerate(moments):
        progress(done, len(moments))
        if speed:
            due = began + (moment - start).total_seconds() / speed
            time.sleep(max(0.0, due - time.monotonic()))
        report.n_rows += arriving.write_until(moment)
        clock.move(moment)
        for one, group in zip(traffic, requests, strict=True):
            places = group.get(moment, [])
            if places:
                _ask(service, one, places, waiting)
                report.n_predictions[one.spec.name] += len(places)
        labels = waiting.pop(moment, [])
        service.send_labels(labels)
        report.n_labels += len(labels)
    report.n_rows += arriving.write_until(end)
    progress(len(moments), len(moments))
    return report


def _ask(
    service: SimulatedService,
    traffic: _Traffic,
    places: Sequence[int],
    waiting: dict[datetime, list[dict[str, Any]]],
) -> None:
    """Ask for predictions, and note the labels that will become known."""
    answered = service.predict(traffic.spec.name, [traffic.instances[place] for place in places])
    for place, (prediction_id, number) in zip(places, answered, strict=True):
        known_at, label = traffic.rows[KNOWN_AT][place], traffic.labels[place]
        if label is not None and known_at in waiting:
            waiting[known_at].append(
                {
                    "prediction_id": prediction_id,
                    "row": number,
                    "value": label,
                    "observed_at": known_at.isoformat(),
                }
            )


def _group_by_moment(traffic: _Traffic) -> dict[datetime, list[int]]:
    groups: dict[datetime, list[int]] = {}
    for place, moment in enumerate(traffic.rows[EVENT_TIMESTAMP]):
        groups.setdefault(moment, []).append(place)
    return groups


def _read_traffic(
    workspace: Workspace, spec: ModelSpec, start: datetime, end: datetime
) -> _Traffic:
    """Read who asked and when; what has no label in the end is asked for all the same."""
    read = read_label_rows(workspace.lake, spec)
    asked = read.labels[EVENT_TIMESTAMP].is_between(start, end, closed="left")
    for one in spec.request:
        if not one.nullable:
            asked &= read.request[one.name].is_not_null()
    request, rows = read.request.filter(asked), read.labels.filter(asked)
    if rows.is_empty():
        raise StepError(
            f"Got no row of {spec.labels.table} from {start:%Y-%m-%d %H:%M} to "
            f"{end:%Y-%m-%d %H:%M} UTC, but expected the traffic of {spec.name}"
        )
    stamps = [field.name for field in spec.request if field.type is FieldType.TIMESTAMP]
    return _Traffic(
        spec,
        rows,
        request.with_columns(
            pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z") for name in stamps
        ).to_dicts(),
        [_to_label(spec, value) for value in rows[LABEL]],
    )


def _to_label(spec: ModelSpec, value: float | None) -> bool | float | str | None:
    """Return a label as feedback takes it."""
    if value is None:
        return None
    if spec.output.kind == "probabilities":
        return spec.objective.classes[int(value)]
    return bool(value) if spec.output.kind == "probability" and value in (0, 1) else value
